"""Jobs, candidates, solutions and verdicts: the values that pool, engine and devices exchange."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant

NONCE_BITS = 64


@dataclass(frozen=True, slots=True)
class DeviceInfo:
    """Facts about a device that need no opening."""

    name: str
    """"opencl:0.0", "cuda:0", "ref"."""
    backend: str
    model: str
    kind: str
    """"gpu", "cpu" or "accelerator"."""
    driver: str
    memory: int
    """Bytes."""
    largest_allocation: int
    """Bytes in one buffer, as the driver states it (it may understate it)."""
    units: int
    """Compute units or cores."""
    vendor: str = ""
    """"nvidia", "amd", "intel", or the driver's name for it; empty: unknown."""
    pci: str | None = None
    """Address, as in "0000:01:00.0"."""
    uuid: str | None = None
    """As the vendor's tools print it, as in "GPU-…"."""
    unusable: str | None = None
    """Why it cannot be used, as a sentence; None: it can be."""

    @property
    def alike(self) -> tuple[str, str, str, int]:
        """Backend, model, driver and units, which are the same for equal devices."""
        return (self.backend, self.model, self.driver, self.units)


@dataclass(frozen=True, slots=True)
class NonceSpace:
    """The nonces under a pool's extranonce: `prefix` in the top `prefix_bits`, the rest free."""

    prefix: int = 0
    prefix_bits: int = 0

    @property
    def free_bits(self) -> int:
        return NONCE_BITS - self.prefix_bits

    @property
    def first(self) -> int:
        return self.prefix << self.free_bits

    @property
    def size(self) -> int:
        return 1 << self.free_bits

    def __contains__(self, nonce: int) -> bool:
        return self.first <= nonce < self.first + self.size


@dataclass(frozen=True, slots=True)
class NonceRange:
    """`count` nonces from `first`, searched by one launch of one device; never wraps 2**64."""

    first: int
    count: int


SearchKey = tuple[int, bytes, int, NonceSpace]
"""Session, header hash, height and nonces of a search."""


@dataclass(frozen=True, slots=True)
class Job:
    """A block header to find nonces for.

    `header_hash` is 32 bytes in display order. Targets are numbers that a final hash, read as a
    big-endian number, must not exceed.
    """

    session: int
    """Number of the connection that sent it; its shares go back over the same connection."""
    id: str
    variant: Variant
    header_hash: bytes
    height: int
    epoch: Epoch
    share_target: int
    nonces: NonceSpace
    block_target: int = 0
    """0: not given by the pool."""
    clean: bool = True
    """Whether shares of older jobs are worthless."""
    pool: str = ""
    """Label of the pool: its address without credentials."""
    other_algorithm: str = ""
    """Algorithm that makes this block instead of ours: the job must not be mined, and devices
    prepare for `epoch`, that of the next height. Empty: mine the job."""

    @property
    def difficulty(self) -> float:
        """Expected number of hashes per share."""
        return 2**256 / (self.target + 1)

    @property
    def target(self) -> int:
        """The easier of both targets: pools accept a block even if it misses the share target."""
        return max(self.share_target, self.block_target)

    @property
    def wait_reason(self) -> str | None:
        """Why the job must not be mined, for people; None: mine it."""
        if not self.other_algorithm:
            return None
        return f"waiting: height {self.height} is for {self.other_algorithm}"

    @property
    def period(self) -> int:
        return self.variant.period_at(self.height)

    @property
    def search_key(self) -> SearchKey:
        """Equal for jobs in which the same nonces give the same hashes, such as a header sent
        again with another id or target: the search then continues."""
        return (self.session, self.header_hash, self.height, self.nonces)


class JobSink(Protocol):
    """Works on jobs; called on the event loop."""

    def work_on(self, job: Job | None) -> None:
        """Work on `job` from now on; None: there is nothing to mine.

        A job of another algorithm is not mined, but the devices get ready for the next one.
        """


@dataclass(frozen=True, slots=True)
class Candidate:
    """A device's claim that `nonce` solves `job`, not yet checked."""

    job: Job
    nonce: int
    device: str
    found_at: float
    """Clock seconds."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A candidate proved on the CPU; only solutions are submitted."""

    job: Job
    nonce: int
    device: str
    found_at: float
    mix_hash: bytes
    final_hash: bytes

    @property
    def value(self) -> int:
        """The final hash as a big-endian number, to be compared with targets."""
        return int.from_bytes(self.final_hash, "big")

    @property
    def difficulty(self) -> float:
        """Expected number of hashes for a share as good as this one."""
        return 2**256 / (self.value + 1)

    @property
    def is_block(self) -> bool:
        return self.value <= self.job.block_target


class Outcome(Enum):
    """The result of a solution; the value is its name in files and APIs."""

    ACCEPTED = "accepted"
    STALE = "stale"
    LOW_DIFFICULTY = "low_difficulty"
    DUPLICATE = "duplicate"
    INVALID = "invalid"
    UNAUTHORIZED = "unauthorized"
    NOT_SENT = "not_sent"
    LOST = "lost"

    @property
    def phrase(self) -> str:
        """The name for people."""
        return "too late to send" if self is Outcome.NOT_SENT else self.value.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The pool's answer to a solution, or why there is none."""

    solution: Solution
    outcome: Outcome
    text: str = ""
    """The pool's message, made safe to show; empty when accepted."""
    seconds: float | None = None
    """From sending to the answer; None: not sent."""


class VerdictSink(Protocol):
    """Receives verdicts; called on the event loop."""

    def on_verdict(self, verdict: Verdict) -> None:
        """Receive the only verdict on a solution."""


class ShareSink(VerdictSink, Protocol):
    """Takes proved solutions; called on the event loop."""

    async def submit(self, solution: Solution) -> None:
        """Send `solution` to the pool; its verdict follows."""

"""Shares, sums and runs as the ledger returns them."""

from __future__ import annotations

from dataclasses import dataclass

from miner.ledger.schema import HARDWARE, UNANSWERED
from miner.work import Outcome

OUTCOMES = (*(outcome.value for outcome in Outcome), HARDWARE, UNANSWERED)
"""Every outcome that this version writes or reads."""

GROUPS = (
    "run", "day", "hour", "device", "pci", "uuid", "pool", "algorithm", "job", "height", "epoch",
    "period", "outcome",
)  # fmt: skip
"""Names by which shares can be summed; days and hours are UTC."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A selection of shares; None or empty selects all."""

    run: str | None = None
    """The name of a run or its beginning; "last" is the newest run."""
    device: str | None = None
    """Name, PCI address, UUID, or a pattern of the name, as in `device_names.is_called`."""
    pool: str | None = None
    """A part of the address; case is ignored."""
    algorithm: str | None = None
    """Case is ignored."""
    outcome: tuple[str, ...] = ()
    """Any of `OUTCOMES`."""
    since: float | None = None
    """Found at this UNIX second or later."""
    until: float | None = None
    """Found before this UNIX second."""
    blocks: bool = False
    """Only those that meet the block target, if the pool sent one."""


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """One candidate and its outcome; times are UNIX seconds, None for a step not reached."""

    id: int
    run: str
    number: int
    """Counts up from 1 within the run."""
    device: str
    pci: str | None
    uuid: str | None
    pool: str
    algorithm: str
    job: str
    height: int
    epoch: int
    period: int
    nonce: str
    """16 hex digits."""
    header: str
    """64 hex digits in display order."""
    difficulty_asked: float
    """Difficulty of its job, in hashes."""
    difficulty_reached: float
    """Difficulty that its hash reaches, in hashes."""
    is_block: bool
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """When its outcome was final, with or without an answer."""
    outcome: str
    """One of `OUTCOMES`, or an outcome of another version."""
    text: str
    """The pool's text, or the miner's if the pool sent none."""

    @property
    def answer_seconds(self) -> float | None:
        """Time from sending to the answer; None without an answer."""
        if self.sent_at is None or self.answered_at is None or self.outcome == Outcome.LOST.value:
            return None
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums over the shares of one group."""

    group: tuple[str | int | None, ...]
    """A value for each name of the grouping."""
    shares: int
    found: int
    """Proved on the CPU; equals the miner's counter of found shares."""
    accepted: int
    blocks: int
    """Accepted shares that meet the block target, if the pool sent one."""
    work: float
    """Sum of the difficulties of the jobs of the accepted shares, in hashes."""
    best: float | None
    """Highest difficulty that a share reached, without hardware errors."""
    answer_seconds: float | None
    """Mean time from sending to the answer."""
    first: float
    """UNIX seconds at which the first share was found."""
    last: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of the miner."""

    id: str
    started: float
    """UNIX seconds."""
    version: str
    rig: str
    shares: int

"""What is read from the ledger: shares, sums of them, and which ones are asked for."""

from __future__ import annotations

from dataclasses import dataclass

from miner.ledger.schema import HARDWARE, UNANSWERED
from miner.work import Outcome

OUTCOMES = (*(outcome.value for outcome in Outcome), HARDWARE, UNANSWERED)
"""Every word that this version writes, or reads, as a share's outcome."""

GROUPS = (
    "run", "day", "hour", "device", "pci", "uuid", "pool", "algorithm", "job", "height", "epoch",
    "period", "outcome",
)  # fmt: skip
"""What shares can be summed by; days and hours are those of UTC."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which shares are asked for; what is None or empty asks for all."""

    run: str | None = None
    """Its name or how that begins; "last" is the newest run."""
    device: str | None = None
    """Name, PCI address, UUID, or a pattern of the name, as `devices.selection` compares them."""
    pool: str | None = None
    """A part of its address, in any case."""
    algorithm: str | None = None
    """In any case."""
    outcome: tuple[str, ...] = ()
    """Any of `OUTCOMES`."""
    since: float | None = None
    """UNIX seconds at which it was found, or later."""
    until: float | None = None
    """It was found before."""
    blocks: bool = False
    """Only those that met the block's target, as far as the pool told that."""


@dataclass(frozen=True, slots=True)
class Share:
    """One candidate's whole life; times are UNIX seconds, None where it did not get so far."""

    id: int
    run: str
    number: int
    """Counted from 1 within the run."""
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
    """Hashes that one that is good enough costs on average."""
    difficulty_reached: float
    """Hashes that one as good as this one costs on average."""
    is_block: bool
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """When its life ended, by an answer or without one."""
    outcome: str
    """One of `OUTCOMES`, or the word of another version."""
    text: str
    """The pool's own words, or ours where it said none."""

    @property
    def answer_seconds(self) -> float | None:
        """From sending to the answer; None where there was none."""
        if self.sent_at is None or self.answered_at is None or self.outcome == Outcome.LOST.value:
            return None
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Sum:
    """Shares that are alike in what was asked for."""

    group: tuple[str | int | None, ...]
    """A value for each name that was summed by."""
    shares: int
    found: int
    """Proved on the CPU: the same as the miner's own counter of found shares."""
    accepted: int
    blocks: int
    """Those accepted ones that met the block's target, as far as the pool told that."""
    work: float
    """Hashes that the accepted ones stand for, each at the difficulty that was asked."""
    best: float | None
    """Difficulty reached by the best share that was not refuted."""
    answer_seconds: float | None
    """Mean time from sending to the answer."""
    first: float
    """UNIX seconds at which the first was found."""
    last: float


@dataclass(frozen=True, slots=True)
class RunOfShares:
    """A run of the miner that the ledger knows."""

    id: str
    started: float
    """UNIX seconds."""
    version: str
    rig: str
    shares: int

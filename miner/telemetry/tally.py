"""Counts of shares by outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from miner.work import Outcome

_STALE = (Outcome.STALE, Outcome.NOT_SENT)
_NOT_REJECTED = (Outcome.ACCEPTED, Outcome.INVALID, Outcome.LOST, *_STALE)


@dataclass(frozen=True, slots=True)
class Tally:
    """Shares by outcome."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    """Outcomes that occurred at least once."""
    hardware: int = 0
    """Hardware errors: candidates that the CPU refuted. They are not sent."""
    blocks: int = 0
    """Accepted shares that meet the block target, if the pool sends one."""

    @property
    def accepted(self) -> int:
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def stale(self) -> int:
        """Shares that were too late, according to the pool or, if not sent, to the miner."""
        return sum(self.outcomes.get(outcome, 0) for outcome in _STALE)

    @property
    def invalid(self) -> int:
        """Shares that are wrong according to the pool."""
        return self.outcomes.get(Outcome.INVALID, 0)

    @property
    def lost(self) -> int:
        """Shares that the pool never answered."""
        return self.outcomes.get(Outcome.LOST, 0)

    @property
    def rejected(self) -> int:
        """Shares refused for other reasons: difficulty, duplicate, account."""
        return sum(n for outcome, n in self.outcomes.items() if outcome not in _NOT_REJECTED)

    @property
    def answered(self) -> int:
        """Shares with a verdict; hardware errors have none."""
        return sum(self.outcomes.values())

    @property
    def not_accepted(self) -> int:
        return self.answered - self.accepted

"""Which shares a panel sees as accepted, as rejected and as invalid: the same in every shape."""

from __future__ import annotations

from dataclasses import dataclass

from miner.telemetry import Tally
from miner.work import Outcome

REFUSED = (
    Outcome.STALE,
    Outcome.LOW_DIFFICULTY,
    Outcome.DUPLICATE,
    Outcome.INVALID,
    Outcome.UNAUTHORIZED,
)
"""What a pool says no to."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Shares as panels sort them; the classes do not overlap."""

    accepted: int
    rejected: int
    """The pool refused them, for whatever reason."""
    invalid: int
    """The device claimed them, the CPU found them wrong; none of them was sent."""
    not_sent: int
    """Good, but too late to be worth sending; neither rejected nor invalid."""
    lost: int
    """Sent, and never answered; neither rejected nor invalid."""


def counts(tally: Tally) -> Counts:
    """Return how panels count `tally`."""
    outcomes = tally.outcomes
    return Counts(
        accepted=tally.accepted,
        rejected=sum(outcomes.get(outcome, 0) for outcome in REFUSED),
        invalid=tally.hardware,
        not_sent=outcomes.get(Outcome.NOT_SENT, 0),
        lost=tally.lost,
    )

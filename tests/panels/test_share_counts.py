"""The classes in which panels count shares."""

from __future__ import annotations

import pytest

from miner.panels.panel_figures import count_shares
from miner.telemetry import Tally
from miner.work import Outcome


def test_each_share_is_counted_once() -> None:
    outcomes = {outcome: 1 << index for index, outcome in enumerate(Outcome)}
    count = count_shares(Tally(outcomes, hardware=1000))
    assert count.invalid == 1000
    answered = count.accepted + count.rejected + count.not_sent + count.lost
    assert answered == sum(outcomes.values())


@pytest.mark.parametrize(
    ("outcome", "field"),
    [
        (Outcome.ACCEPTED, "accepted"),
        (Outcome.STALE, "rejected"),
        (Outcome.LOW_DIFFICULTY, "rejected"),
        (Outcome.DUPLICATE, "rejected"),
        (Outcome.INVALID, "rejected"),
        (Outcome.UNAUTHORIZED, "rejected"),
        (Outcome.NOT_SENT, "not_sent"),
        (Outcome.LOST, "lost"),
    ],
)
def test_the_class_of_each_outcome(outcome: Outcome, field: str) -> None:
    count = count_shares(Tally({outcome: 3}))
    fields = ("accepted", "rejected", "invalid", "not_sent", "lost")
    assert {name: getattr(count, name) for name in fields} == dict.fromkeys(fields, 0) | {field: 3}


def test_every_outcome_has_a_class() -> None:
    for outcome in Outcome:
        count = count_shares(Tally({outcome: 1}))
        assert count.accepted + count.rejected + count.not_sent + count.lost == 1

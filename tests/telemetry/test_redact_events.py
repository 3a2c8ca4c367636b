"""Foreign texts in events are redacted and made one line."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.safe_text import Redactor
from miner.telemetry.events import (
    CandidateRefuted,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    EpochSkipped,
    Event,
    NewJob,
    PoolLost,
    PoolNotice,
    PoolRemark,
    ShapeLeftOut,
    ShareAnswered,
    ShareFound,
    ShareSent,
    redacted,
)
from miner.work import Candidate, Job, Outcome, Solution, Verdict
from tests.fakes.device import job_at

DIRTY = "the driver\nsays \x1b[31msec\u200bret\x07 \ud800"
CLEAN = "the driver says [31m(hidden) "


REDACTOR = Redactor(["secret"])


def solution(job: Job) -> Solution:
    return Solution(job, 1, "a", 0.0, bytes(32), bytes(32))


@pytest.mark.parametrize(
    "event",
    [
        PoolLost("p", DIRTY, 1.0),
        DeviceFault("a", DIRTY),
        DeviceResting("a", DIRTY, 600.0, parked=True),
        EpochSkipped("a", 1, DIRTY),
        DeviceHanging("a", DIRTY),
        DevicePaused("a", DIRTY),
        ShapeLeftOut("a", "gpu", DIRTY),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_reason_is_redacted_on_one_line(event: Event) -> None:
    assert redacted(event, REDACTOR) == replace(event, reason=CLEAN)


@pytest.mark.parametrize("kind", [PoolNotice, PoolRemark])
def test_messages_of_a_pool_are_redacted(kind: type[PoolNotice] | type[PoolRemark]) -> None:
    assert redacted(kind("p", DIRTY), REDACTOR) == kind("p", CLEAN)


def test_the_text_of_a_verdict_is_redacted() -> None:
    share = solution(job_at())
    verdict = Verdict(share, Outcome.INVALID, DIRTY, 0.5)
    assert redacted(ShareAnswered(verdict), REDACTOR) == ShareAnswered(replace(verdict, text=CLEAN))


def _events_of(job: Job) -> list[Event]:
    share = solution(job)
    return [
        NewJob(job),
        ShareFound(share),
        ShareSent(share),
        ShareAnswered(Verdict(share, Outcome.ACCEPTED)),
        CandidateRefuted(Candidate(job, 1, "a", 0.0), bytes(32)),
    ]


@pytest.mark.parametrize("place", range(5))
def test_the_job_id_is_redacted_in_every_event(place: int) -> None:
    job = job_at()
    event = _events_of(replace(job, id="secret\x1b.7"))[place]
    assert redacted(event, REDACTOR) == _events_of(replace(job, id="(hidden).7"))[place]


def test_an_event_without_secrets_is_unchanged() -> None:
    for event in (
        *_events_of(job_at()),
        DevicePaused("a", None),
        NewJob(None),
        DeviceFault("a", "failed"),
    ):
        assert redacted(event, REDACTOR) == event

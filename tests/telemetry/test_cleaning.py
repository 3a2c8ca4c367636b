"""Words of others, before anything shows them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.telemetry import (
    CandidateRefuted,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Event,
    NewJob,
    PoolLost,
    PoolNotice,
    PoolRemark,
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.telemetry.redact_events import cleaned, shown
from miner.work import Candidate, Job, Outcome, Solution, Verdict
from tests.fakes.device import job_at

DIRTY = "the driver\nsays \x1b[31msec\u200bret\x07 \ud800"
CLEAN = "the driver says [31m(hidden) "


def hide(text: str) -> str:
    return text.replace("secret", "(hidden)")


def solution(job: Job) -> Solution:
    return Solution(job, 1, "a", 0.0, bytes(32), bytes(32))


@pytest.mark.parametrize(
    "event",
    [
        PoolLost("p", DIRTY, 1.0),
        DeviceFault("a", DIRTY),
        DeviceResting("a", DIRTY, None),
        DeviceHanging("a", DIRTY),
        DevicePaused("a", DIRTY),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_reason_is_shown_on_one_line_without_secrets(event: Event) -> None:
    assert cleaned(event, hide) == replace(event, reason=CLEAN)


@pytest.mark.parametrize("kind", [PoolNotice, PoolRemark])
def test_what_a_pool_says_is_shown_likewise(kind: type[PoolNotice] | type[PoolRemark]) -> None:
    assert cleaned(kind("p", DIRTY), hide) == kind("p", CLEAN)


def test_the_words_of_a_verdict_are_shown_likewise() -> None:
    share = solution(job_at())
    verdict = Verdict(share, Outcome.INVALID, DIRTY, 0.5)
    assert cleaned(ShareAnswered(verdict), hide) == ShareAnswered(replace(verdict, text=CLEAN))


def _of(job: Job) -> list[Event]:
    share = solution(job)
    return [
        NewJob(job),
        ShareFound(share),
        ShareSent(share),
        ShareAnswered(Verdict(share, Outcome.ACCEPTED)),
        CandidateRefuted(Candidate(job, 1, "a", 0.0), bytes(32)),
    ]


@pytest.mark.parametrize("place", range(5))
def test_what_is_shown_of_a_job_s_name_holds_no_secret(place: int) -> None:
    job = job_at()
    theirs = _of(replace(job, id="secret\x1b.7"))[place]
    assert cleaned(theirs, hide) == _of(replace(job, id="(hidden).7"))[place]


def test_what_holds_nothing_to_hide_is_what_it_was() -> None:
    for event in (*_of(job_at()), DevicePaused("a", None), NewJob(None), DeviceFault("a", "lies")):
        assert cleaned(event, hide) == event


def test_a_secret_that_is_there_only_before_or_only_after_is_hidden_all_the_same() -> None:
    assert shown("a sec\x00ret", hide) == "a (hidden)"
    assert shown("a b\x00c", lambda text: text.replace("b\x00c", "(hidden)")) == "a (hidden)"

"""Redaction of the foreign texts in events."""

from __future__ import annotations

from dataclasses import replace

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
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.work import Job, Solution


def redacted(event: Event, redactor: Redactor) -> Event:
    """Return `event` with the texts of pools, nodes and drivers redacted and on one line: pools
    echo wallets, even in job ids."""
    match event:
        case PoolLost() | DeviceFault() | DeviceResting() | EpochSkipped() | DeviceHanging():
            return replace(event, reason=redactor.one_line(event.reason))
        case DevicePaused(_, str(reason)):
            return replace(event, reason=redactor.one_line(reason))
        case PoolNotice() | PoolRemark():
            return replace(event, text=redactor.one_line(event.text))
        case NewJob(Job() as job):
            return NewJob(_job(job, redactor))
        case ShareFound(solution):
            return ShareFound(_solution(solution, redactor))
        case ShareSent(solution):
            return ShareSent(_solution(solution, redactor))
        case ShareAnswered(verdict):
            solution, text = _solution(verdict.solution, redactor), redactor.one_line(verdict.text)
            return ShareAnswered(replace(verdict, solution=solution, text=text))
        case CandidateRefuted(candidate):
            return replace(event, candidate=replace(candidate, job=_job(candidate.job, redactor)))
        case _:
            return event


def _solution(solution: Solution, redactor: Redactor) -> Solution:
    return replace(solution, job=_job(solution.job, redactor))


def _job(job: Job, redactor: Redactor) -> Job:
    name = redactor.one_line(job.id)
    # Nearly every id is unchanged; then the job stays the same object.
    return job if name == job.id else replace(job, id=name)

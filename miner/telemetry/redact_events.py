"""Words of others in events, freed of what must not be shown."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace

from miner.telemetry.events import (
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
from miner.work import Job, Solution

Clean = Callable[[str], str]
"""Returns a text without secrets."""


def cleaned(event: Event, clean: Clean) -> Event:
    """Return `event` with what a pool, a node or a driver said in it as it may be shown: pools
    echo wallets, even as names of jobs."""
    match event:
        case PoolLost() | DeviceFault() | DeviceResting() | DeviceHanging():
            return replace(event, reason=shown(event.reason, clean))
        case DevicePaused(_, str(reason)):
            return replace(event, reason=shown(reason, clean))
        case PoolNotice() | PoolRemark():
            return replace(event, text=shown(event.text, clean))
        case NewJob(Job() as job):
            return NewJob(_job(job, clean))
        case ShareFound(solution):
            return ShareFound(_solution(solution, clean))
        case ShareSent(solution):
            return ShareSent(_solution(solution, clean))
        case ShareAnswered(verdict):
            solution, text = _solution(verdict.solution, clean), shown(verdict.text, clean)
            return ShareAnswered(replace(verdict, solution=solution, text=text))
        case CandidateRefuted(candidate):
            return replace(event, candidate=replace(candidate, job=_job(candidate.job, clean)))
        case _:
            return event


def shown(text: str, clean: Clean) -> str:
    """Return `text` on one line, without secrets and without what would steer a terminal."""
    first = clean(text)
    if first.isprintable():
        return first
    line = "".join(" " if c.isspace() else c for c in first if c.isspace() or _is_visible(c))
    # What cannot be seen may have stood within a secret.
    return clean(line)


def _is_visible(character: str) -> bool:
    return unicodedata.category(character)[0] != "C"


def _solution(solution: Solution, clean: Clean) -> Solution:
    return replace(solution, job=_job(solution.job, clean))


def _job(job: Job, clean: Clean) -> Job:
    name = shown(job.id, clean)
    # Nearly always the same, and then so is the job.
    return job if name == job.id else replace(job, id=name)

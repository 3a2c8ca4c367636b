"""Which solutions of older jobs are still worth sending."""

from __future__ import annotations

from miner.work import Job

GRACE_SECONDS = 2.0
"""How long after a clean job of a greater height solutions of older jobs are still sent."""


class Staleness:
    """Compares jobs with the newest one; heights are compared only within one session."""

    def __init__(self) -> None:
        self._newest: Job | None = None
        self._clean: Job | None = None
        self._clean_since = 0.0

    def update(self, job: Job | None, now: float) -> None:
        """Make `job` the newest at clock second `now`; None: no pool is connected."""
        self._newest = job
        if job is None or not job.clean:
            return
        known = self._clean
        if known is None or (known.session, known.height) != (job.session, job.height):
            self._clean_since = now
        self._clean = job

    def is_stale(self, job: Job, now: float) -> bool:
        """Whether a solution of `job` is too old to be sent at clock second `now`.

        Without a newest job, or when that belongs to another session, nothing is stale: the pool
        client decides what to do with it.
        """
        newest, clean = self._newest, self._clean
        if newest is None or newest.session != job.session or job.height >= newest.height:
            return False
        if clean is None or clean.session != job.session or job.height >= clean.height:
            return False
        return now - self._clean_since > GRACE_SECONDS

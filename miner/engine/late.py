"""The one policy for solutions that are proved after a newer job came."""

from __future__ import annotations

from miner.work import Job

GRACE_SECONDS = 2.0
"""How long after a clean job of a greater height older work is still sent."""


class LatePolicy:
    """Knows the newest job; only heights of one session are compared."""

    def __init__(self) -> None:
        self._newest: Job | None = None
        self._clean: Job | None = None
        self._clean_since = 0.0

    def newest(self, job: Job | None, now: float) -> None:
        """Note that `job` became the newest at clock second `now`; None: there is no pool."""
        self._newest = job
        if job is None or not job.clean:
            return
        known = self._clean
        if known is None or (known.session, known.height) != (job.session, job.height):
            self._clean_since = now
        self._clean = job

    def sends(self, job: Job, now: float) -> bool:
        """Whether a solution of `job` is still worth sending at clock second `now`.

        Without a newest job, or when that belongs to another session, the answer is yes: the
        pool's client decides.
        """
        newest, clean = self._newest, self._clean
        if newest is None or newest.session != job.session or job.height >= newest.height:
            return True
        if clean is None or clean.session != job.session or job.height >= clean.height:
            return True
        return now - self._clean_since <= GRACE_SECONDS

"""Solutions that their connection's end kept from being sent, until a new one takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from miner.pool.url import PoolUrl
from miner.work import Job, Outcome, Solution, Verdict

MOST = 1000
"""Solutions that wait; more are lost at once."""

KEPT_ISSUERS = 64
"""Newest connections whose late shares are known to belong to a pool."""


class Waiting:
    """Keeps solutions by the pool that they are for; each ends in a verdict or is claimed."""

    def __init__(self, on_verdict: Callable[[Verdict], None]) -> None:
        self._on_verdict = on_verdict
        self._kept: list[tuple[PoolUrl, Solution, str]] = []
        self._issuers: dict[int, PoolUrl] = {}
        self._closed = False

    def issued_by(self, session: int, pool: PoolUrl) -> None:
        """Note that the jobs of connection number `session` are those of `pool`."""
        self._issuers[session] = pool
        self._issuers.pop(session - KEPT_ISSUERS, None)

    def keep(self, solution: Solution, reason: str) -> None:
        """Keep `solution`; `reason` says why it could not be sent."""
        pool = self._issuers.get(solution.job.session)
        if pool is None or self._closed or len(self._kept) >= MOST:
            self._on_verdict(Verdict(solution, Outcome.LOST, reason))
        else:
            self._kept.append((pool, solution, reason))

    def claim_all(self, pool: PoolUrl, session: int) -> list[Solution]:
        """Return what waits for `pool`, whose earlier session is gone on with as `session`."""
        return [
            replace(solution, job=replace(solution.job, session=session))
            for solution in self._taken(pool)
        ]

    def claim(self, pool: PoolUrl, job: Job) -> list[Solution]:
        """Return what waits for `pool` and solves `job` of a new session there; the rest is
        lost, since nothing tells the new session about older jobs."""
        claimed = []
        for solution in self._taken(pool):
            old = solution.job
            again = (old.id, old.header_hash, old.height) == (job.id, job.header_hash, job.height)
            if again and solution.nonce in job.nonces and solution.value <= job.target:
                claimed.append(replace(solution, job=job))
            else:
                text = "found while disconnected; the pool's new session does not know its job"
                self._on_verdict(Verdict(solution, Outcome.LOST, text))
        return claimed

    def close(self) -> None:
        """Give up on everything that waits or is still to come."""
        self._closed = True
        self._lose_all()

    def _taken(self, pool: PoolUrl) -> list[Solution]:
        """Take out what waits for `pool`; what waits for others is lost: we mine here now."""
        mine = [solution for url, solution, _ in self._kept if url == pool]
        self._kept = [entry for entry in self._kept if entry[0] != pool]
        self._lose_all()
        return mine

    def _lose_all(self) -> None:
        kept, self._kept = self._kept, []
        for _, solution, reason in kept:
            self._on_verdict(Verdict(solution, Outcome.LOST, reason))

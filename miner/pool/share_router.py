"""The way of each solution of a run: to the connection of its job, to a verdict."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from cachetools import FIFOCache

from miner.net.address import PoolUrl
from miner.pool.connections import Backlog, Connection, Connections
from miner.work import Job, Outcome, Solution, Verdict, VerdictSink

MAX_WAITING = 1000
"""Solutions that wait for a connection; further ones are lost at once."""

MAX_JOBS = 16
"""Newest jobs of a connection that a late solution of an earlier connection is matched with."""

MAX_ISSUERS = 64
"""Newest connections whose pool is known, for their late solutions."""

_JobKey = tuple[str, bytes, int]


@dataclass(slots=True)
class _Issuer:
    """The connection that issued a job, as its late solutions need it."""

    pool: PoolUrl
    backlog: Backlog | None
    end_reason: str = ""
    """Empty while the connection is open."""
    resumable: str | None = None
    """Session id under which a later connection can resume it, if the pool allows."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A solution that waits for a connection with `pool`."""

    solution: Solution
    pool: PoolUrl
    reason: str
    """Why it could not be sent."""


class ShareRouter:
    """Submits each solution to the connection that issued its job.

    If that connection has ended, the next one with the same pool, under any login, takes it where
    it knows the job. `verdicts` receives exactly one verdict for each solution, with the solution
    as it was found. Solutions for a node go to its backlog, whether or not it is connected.

    `begin`, `resumed`, `add_job` and `end` report the state of the current connection.
    """

    def __init__(self, verdicts: VerdictSink, connections: Connections) -> None:
        self._verdicts, self._connections = verdicts, connections
        self._connection: Connection | None = None
        self._pool: PoolUrl | None = None
        """Pool of the newest connection, which may have ended; likewise `_backlog`."""
        self._backlog: Backlog | None = None
        self._resumed: str | None = None
        """Id of the earlier session that the connection resumed."""
        self._jobs: FIFOCache[_JobKey, Job] = FIFOCache(MAX_JOBS)
        """Jobs of the connection that it has not made obsolete, newest last."""
        self._waiting: list[_Waiting] = []
        self._none_waits = asyncio.Event()
        self._none_waits.set()
        self._issuers: FIFOCache[int, _Issuer] = FIFOCache(MAX_ISSUERS)
        """By number of the connection."""
        self._backlogs: list[Backlog] = []
        """Backlogs of all nodes so far."""
        self._originals: dict[int, tuple[Solution, Solution]] = {}
        """Solutions submitted under a later connection's job, by their `id()`: each with the
        solution as it was found. Holding both keeps the id valid."""
        self._closed = False
        self.submitted = 0
        """Solutions found so far."""

    def begin(self, connection: Connection, pool: PoolUrl) -> None:
        """Use `connection`, a new connection with `pool`."""
        self._connection, self._pool, self._backlog = connection, pool, connection.backlog
        self._resumed = None
        self._jobs.clear()
        self._issuers[connection.number] = _Issuer(pool, self._backlog)
        if self._backlog is not None and self._backlog not in self._backlogs:
            self._backlogs.append(self._backlog)

    def end(self, reason: str) -> None:
        """Note that the connection ended."""
        if self._connection:
            issuer = self._issuers[self._connection.number]
            issuer.end_reason, issuer.resumable = reason, self._connection.resumable
        self._connection = None

    def resumed(self) -> None:
        """Note that the connection resumed an earlier session: submit that one's solutions."""
        if self._connection:
            self._resumed = self._connection.resumable
            self._submit_waiting()

    def add_job(self, job: Job) -> None:
        """Note a new job of the connection: submit waiting solutions that solve it."""
        if job.clean:
            self._jobs.clear()
        self._jobs[_key(job)] = job
        self._submit_waiting()

    def submit(self, solution: Solution) -> None:
        """Submit a solution that was just found, now or over the next connection."""
        self.submitted += 1
        self._connections.record_submission(solution)
        if self._connection and self._connection.number == solution.job.session:
            self._connection.submit(solution)
            return
        issuer = self._issuers.get(solution.job.session)
        why = f" ({issuer.end_reason})" if issuer and issuer.end_reason else ""
        reason = f"found after its connection had ended{why}"
        if issuer and issuer.backlog:
            issuer.backlog.take(solution, reason)
        else:
            self.keep(solution, reason)
            self._submit_waiting()

    def keep(self, solution: Solution, reason: str) -> None:
        """Keep `solution`, which could not be sent for `reason`, for the next connection."""
        solution = self.as_found(solution, last=True)
        issuer = self._issuers.get(solution.job.session)
        if issuer is None or self._closed or len(self._waiting) >= MAX_WAITING:
            self._lose(solution, reason)
        else:
            self._waiting.append(_Waiting(solution, issuer.pool, reason))
            self._none_waits.clear()

    def on_verdict(self, verdict: Verdict) -> None:
        solution = self.as_found(verdict.solution, last=True)
        self._verdicts.on_verdict(replace(verdict, solution=solution))

    def as_found(self, solution: Solution, *, last: bool = False) -> Solution:
        """Return the solution as it was found, where `solution` is a copy under a later job;
        `last`: and forget the copy."""
        entry = self._originals.get(id(solution))
        if entry and last:
            del self._originals[id(solution)]
        return entry[1] if entry else solution

    async def drained(self) -> None:
        """Return when every solution has its verdict."""
        while True:
            await self._none_waits.wait()
            backlog = self._backlog
            if backlog:
                await backlog.drained()
            if self._connection:
                await self._connection.drained()
            if not self._waiting and not (backlog and backlog.has_waiting):
                return

    def close(self) -> None:
        """Lose all solutions that wait or are still to come."""
        self._closed = True
        for waiting in self._take_waiting():
            self._lose(waiting.solution, waiting.reason)
        for backlog in self._backlogs:
            backlog.close()

    def _submit_waiting(self) -> None:
        """Submit the waiting solutions whose job the connection knows.

        After its first job the others are lost: this connection will not bring older jobs, and
        no other pool is connected.
        """
        connection = self._connection
        if not connection or not (self._resumed or self._jobs):
            return
        for waiting in self._take_waiting():
            if job := self._job_for(waiting, connection.number):
                copy = replace(waiting.solution, job=job)
                self._originals[id(copy)] = (copy, waiting.solution)
                self._connections.record_submission(copy)
                connection.submit(copy)
            elif not self._jobs:
                self._waiting.append(waiting)
                self._none_waits.clear()
            elif self._pool and waiting.pool.is_beside(self._pool):
                text = f"{waiting.reason}; the pool's new session does not know its job"
                self._lose(waiting.solution, text)
            else:
                text = f"{waiting.reason}, and the miner is connected to another pool now"
                self._lose(waiting.solution, text)

    def _job_for(self, waiting: _Waiting, number: int) -> Job | None:
        """Return the job under which connection `number` accepts the solution, if any."""
        old = waiting.solution.job
        issuer = self._issuers.get(old.session)
        resumed = issuer is not None and issuer.resumable == self._resumed is not None
        if resumed and waiting.pool == self._pool:
            return replace(old, session=number)
        if not self._pool or not waiting.pool.is_beside(self._pool):
            return None
        new = self._jobs.get(_key(old))
        solution = waiting.solution
        if new and solution.nonce in new.nonces and solution.value <= new.target:
            return new
        return None

    def _take_waiting(self) -> list[_Waiting]:
        waiting, self._waiting = self._waiting, []
        self._none_waits.set()
        return waiting

    def _lose(self, solution: Solution, reason: str) -> None:
        self._verdicts.on_verdict(Verdict(solution, Outcome.LOST, reason))


def _key(job: Job) -> _JobKey:
    """Return the identity of a job within a pool, across connections."""
    return (job.id, job.header_hash, job.height)

"""The solutions of a run on their way to the pools, each from its finding to its one verdict."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from miner.net.pool_url import PoolUrl
from miner.pool.connections import Connection
from miner.solo.node_session import NodeSession
from miner.solo.pending_blocks import Findings
from miner.work import Job, Outcome, Solution, Verdict

MOST = 1000
"""Solutions that wait for a connection; more are lost at once."""

KNOWN_JOBS = 16
"""Newest jobs of a connection that late shares of the one before it are held against."""

KEPT_ISSUERS = 64
"""Newest connections whose late shares are known to belong to a pool."""


@dataclass(slots=True)
class _Issuer:
    """A connection, as far as late shares matter."""

    pool: PoolUrl
    ended: str = ""
    """Why it ended; empty as long as it has not."""
    findings: Findings | None = None
    """Those of its node, where it is one: they take what is found when it has ended."""
    dialogue: str | None = None
    """The pool's name of what it was part of, where that can be gone on with."""


@dataclass(frozen=True, slots=True)
class _KeptShare:
    """A solution that waits for a connection with `pool`."""

    solution: Solution
    pool: PoolUrl
    reason: str
    """Why it could not be sent."""


class Shares:
    """Brings each solution to the connection that issued its job, or keeps it for the next one
    with the same pool, be it under another login; `on_verdict` is called once for each, with the
    solution as it was found. What is found for a node goes to the node's findings at once, which
    write it down: it is a block.

    `begin`, `resumed`, `know` and `end` tell of the connection of now. `handed` is called with
    each solution as it is handed to a connection, for the record.
    """

    def __init__(
        self, on_verdict: Callable[[Verdict], None], handed: Callable[[Solution], None]
    ) -> None:
        self._on_verdict, self._handed = on_verdict, handed
        self._connection: Connection | None = None
        self._pool: PoolUrl | None = None
        self._resumed: str | None = None
        """The pool's name of the dialogue that the connection goes on with."""
        self._jobs: dict[tuple[str, bytes, int], Job] = {}
        """Those of the connection that it has not called void, the newest last."""
        self._kept: list[_KeptShare] = []
        self._none_kept = asyncio.Event()
        self._none_kept.set()
        self._issuers: dict[int, _Issuer] = {}
        self._findings: dict[tuple[str, int], Findings] = {}
        """Of each node so far, by host and port."""
        self._as_found: dict[int, tuple[Solution, Solution]] = {}
        """Those that were handed in under a later connection's job, by their `id`, each with
        itself as it was found."""
        self._closed = False
        self.found = 0
        """Solutions so far."""

    def begin(self, connection: Connection, pool: PoolUrl) -> None:
        """Go on with `connection`, a new connection with `pool`."""
        self._connection, self._pool = connection, pool
        self._resumed = None
        self._jobs.clear()
        self._issuers[connection.number] = _Issuer(
            pool, findings=self._findings_of(connection, pool)
        )
        self._issuers.pop(connection.number - KEPT_ISSUERS, None)

    def end(self, reason: str) -> None:
        """Note that the connection has ended, and why."""
        if self._connection:
            issuer = self._issuers[self._connection.number]
            issuer.ended, issuer.dialogue = reason, self._connection.resumable
        self._connection = None

    def resumed(self) -> None:
        """Note that the connection goes on with an earlier one to this pool: what was found for
        that is handed in."""
        if self._connection:
            self._resumed = self._connection.resumable
            self._hand_in()

    def know(self, job: Job) -> None:
        """Note that the connection brought `job`; what waits is handed in, where it solves it."""
        if job.clean:
            self._jobs.clear()
        self._jobs[_key(job)] = job
        while len(self._jobs) > KNOWN_JOBS:
            del self._jobs[next(iter(self._jobs))]
        self._hand_in()

    def submit(self, solution: Solution) -> None:
        """Hand in a solution that was just found, now or once its pool is there again."""
        self.found += 1
        self._handed(solution)
        if self._connection and self._connection.number == solution.job.session:
            self._connection.submit(solution)
            return
        issuer = self._issuers.get(solution.job.session)
        why = f" ({issuer.ended})" if issuer and issuer.ended else ""
        reason = f"found after its connection had ended{why}"
        if issuer and issuer.findings:
            issuer.findings.take(solution, reason)
        else:
            self.keep(solution, reason)
            self._hand_in()

    def keep(self, solution: Solution, reason: str) -> None:
        """Keep `solution` for the next connection; `reason` says why it could not be sent."""
        solution = self.as_found(solution, last=True)
        issuer = self._issuers.get(solution.job.session)
        if issuer is None or self._closed or len(self._kept) >= MOST:
            self._lose(solution, reason)
        else:
            self._kept.append(_KeptShare(solution, issuer.pool, reason))
            self._none_kept.clear()

    def answered(self, verdict: Verdict) -> None:
        """Pass on a connection's verdict."""
        self._on_verdict(replace(verdict, solution=self.as_found(verdict.solution, last=True)))

    def as_found(self, solution: Solution, *, last: bool = False) -> Solution:
        """Return what was found, where `solution` is that under a later connection's job; with
        `last` it is asked for no more."""
        entry = self._as_found.get(id(solution))
        if entry and last:
            del self._as_found[id(solution)]
        return entry[1] if entry else solution

    async def drained(self) -> None:
        """Wait until every solution has its verdict."""
        while True:
            await self._none_kept.wait()
            findings = (
                self._findings.get((self._pool.host, self._pool.port)) if self._pool else None
            )
            if findings:
                await findings.carried()
            if self._connection:
                await self._connection.drained()
            if not self._kept and not (findings and findings.any_waits):
                return

    def close(self) -> None:
        """Give up on everything that waits or is still to come."""
        self._closed = True
        for one in self._take_kept():
            self._lose(one.solution, one.reason)
        for findings in self._findings.values():
            findings.close()

    def _findings_of(self, connection: Connection, pool: PoolUrl) -> Findings | None:
        """Return those that `connection` goes on with, None where it is not one with a node."""
        if not isinstance(connection, NodeSession):
            return None
        findings = self._findings.setdefault((pool.host, pool.port), connection.findings)
        connection.go_on_with(findings)
        return findings

    def _hand_in(self) -> None:
        """Send what waits, as far as the connection knows its job. Once it brought one the rest
        is lost: nothing tells this connection about older jobs, and we mine on no other pool
        now."""
        connection = self._connection
        if not connection or not (self._resumed or self._jobs):
            return
        for one in self._take_kept():
            if job := self._job_for(one, connection.number):
                claimed = replace(one.solution, job=job)
                self._as_found[id(claimed)] = (claimed, one.solution)
                self._handed(claimed)
                connection.submit(claimed)
            elif not self._jobs:
                self._kept.append(one)
                self._none_kept.clear()
            elif self._pool and one.pool.is_beside(self._pool):
                text = f"{one.reason}; the pool's new session does not know its job"
                self._lose(one.solution, text)
            else:
                self._lose(one.solution, f"{one.reason}, and another pool is mined on now")

    def _job_for(self, one: _KeptShare, number: int) -> Job | None:
        """Return the job under which connection `number` takes `one`."""
        old = one.solution.job
        issuer = self._issuers.get(old.session)
        goes_on = issuer is not None and issuer.dialogue == self._resumed is not None
        if goes_on and one.pool == self._pool:
            return replace(old, session=number)
        if not self._pool or not one.pool.is_beside(self._pool):
            return None
        new = self._jobs.get(_key(old))
        if new and one.solution.nonce in new.nonces and one.solution.value <= new.target:
            return new
        return None

    def _take_kept(self) -> list[_KeptShare]:
        kept, self._kept = self._kept, []
        self._none_kept.set()
        return kept

    def _lose(self, solution: Solution, reason: str) -> None:
        self._on_verdict(Verdict(solution, Outcome.LOST, reason))


def _key(job: Job) -> tuple[str, bytes, int]:
    """Return what tells a job from others of a pool, whatever the connection."""
    return (job.id, job.header_hash, job.height)

"""The pool client: keeps one connection with the best available pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from miner.clock import Clock, within
from miner.errors import ConnectionLost, EveryPoolRefused, NoAnswer, PoolError
from miner.net.address import PoolUrl
from miner.pool.attempt import Attempt, AttemptResult, FailoverRules, LeaveRules
from miner.pool.connections import Connection, Connections
from miner.pool.failover import Failover, GiveUpTimer, PoolEntry
from miner.pool.listener import AttemptListener, PoolMessages
from miner.pool.share_router import ShareRouter
from miner.telemetry import events
from miner.work import JobSink, Solution, VerdictSink

POOLS_REPLACED = "the settings name other pools"


class PoolClient:
    """Keeps one connection with the best available pool of a list, in order of preference.

    A pool that fails `MAX_FAILURES` times in a row gives way to the next; the client returns to
    the first as soon as it is reachable. A pool that refuses a login is not tried again, unless
    it accepted one before. After `give_up` seconds without a login, `run` ends; None: it retries
    without limit.

    `jobs` receives each job, and None when the connection has ended; `verdicts` receives exactly
    one verdict for each submitted solution.
    """

    def __init__(
        self,
        pools: Sequence[PoolUrl],
        connections: Connections,
        jobs: JobSink,
        verdicts: VerdictSink,
        emit: events.Emit,
        clock: Clock,
        random: Random,
        give_up: float | None = None,
    ) -> None:
        self._connections, self._jobs = connections, jobs
        self._emit, self._clock = emit, clock
        self._failover = Failover(pools, clock, random)
        self._rules = FailoverRules(self._failover, clock)
        self._give_up = GiveUpTimer(give_up, clock)
        self._shares = ShareRouter(verdicts, connections)
        self._messages = PoolMessages(emit, clock)
        self._pools_changed = asyncio.Event()
        self._leave_rules = LeaveRules(
            self._failover, connections, self._shares, jobs, self._give_up, self._pools_changed,
            clock,
        )  # fmt: skip
        self._attempt: Attempt | None = None
        """The newest attempt."""
        self._refusals: list[str] = []
        """Pool and reason of each pool that was given up."""
        self._last_failure = ""
        """Pool and reason of the newest failure since the last login."""

    async def run(self) -> None:
        """Mine until cancelled.

        Raises `EveryPoolRefused` when no pool is left to try, or after `give_up` seconds.
        """
        self._give_up.restart()
        try:
            await self._keep_connected()
        finally:
            self._shares.close()

    async def submit(self, solution: Solution) -> None:
        """Send `solution` over the connection that issued its job; its verdict follows.

        If that connection has ended, the next one with the same pool takes it if it can.
        """
        self._shares.submit(solution)

    def replace_pools(self, pools: Sequence[PoolUrl]) -> bool:
        """Use another list of pools; return whether the open connection is kept.

        It is kept if its pool is still listed. A pool that is preferred now is checked at once,
        and replaces it as soon as it is reachable.
        """
        attempt = self._attempt
        is_open = attempt is not None and attempt.is_open
        works = is_open and attempt is not None and attempt.logged_in_at is not None
        kept = self._failover.replace(pools, works=works)
        if attempt and not kept:
            attempt.leave(POOLS_REPLACED)
        self._refusals.clear()
        self._last_failure = ""
        self._pools_changed.set()
        return kept and is_open

    async def drain(self, seconds: float) -> None:
        """Return when every submitted solution has its verdict, at the latest after `seconds`."""
        await within(self._clock, seconds, self._shares.drained())

    async def _keep_connected(self) -> None:
        while self._failover:
            pool = self._failover.current
            if wait := self._failover.ban_remaining(pool):
                reason = "the pool refused us" if pool.refused else "the pool banned us"
                await self._pause(pool.url, reason, wait)
                continue
            result = await self._try(pool)
            if result.retry_in is None:
                refusal = f"{pool.url.label}: {result.reason}"
                if refusal not in self._refusals:
                    self._refusals.append(refusal)
                self._emit(events.PoolLost(pool.url.label, result.reason, None))
            else:
                await self._pause(pool.url, result.reason, result.retry_in)
        reasons = "; ".join(self._refusals) or "none is configured"
        raise EveryPoolRefused(f"no pool is left: {reasons}")

    async def _try(self, pool: PoolEntry) -> AttemptResult:
        """Connect to `pool` once."""
        self._pools_changed.clear()
        url = self._attempt.next_url(pool.url) if self._attempt else pool.url
        attempt = self._attempt = Attempt(pool, url)
        failure: PoolError | None = None
        try:
            reason = await self._run_attempt(attempt)
        except PoolError as error:
            failure, reason = error, str(error)
        if not self._failover.is_current(pool):
            return AttemptResult(POOLS_REPLACED, 0.0)  # its end says nothing about the new list
        result = self._rules.after(attempt, reason, failure)
        if failure is not None and result.retry_in is not None:
            self._last_failure = f"{pool.url.label}: {result.reason}"
        return result

    async def _pause(self, url: PoolUrl, reason: str, wait: float) -> None:
        """Wait, or less if the list of pools changes; raises `EveryPoolRefused` when the give-up
        timer runs out and no pool may be tried."""
        if (left := self._give_up.remaining) > 0:
            self._emit(events.PoolLost(url.label, reason, min(wait, left)))
            if wait:
                self._pools_changed.clear()
                await within(self._clock, min(wait, left), self._pools_changed.wait())
                if self._pools_changed.is_set():
                    return
            if wait <= left or not self._failover.is_banned(self._failover.current):
                return
        reasons = self._all_reasons(url.label, reason)
        self._emit(events.PoolLost(url.label, reasons, None))
        raise EveryPoolRefused(
            f"no pool for {self._give_up.seconds:g} s; the last reason, from {url.label}: {reasons}"
        )

    def _all_reasons(self, label: str, last: str) -> str:
        """Return `last`, the reason of the pool `label`, followed by the newest failure and the
        pools that were given up."""
        reasons = [last]
        failure = self._last_failure.removeprefix(f"{label}: ")
        if failure not in ("", last):
            other_pool = failure == self._last_failure
            reasons.append(f"before that{', from' if other_pool else ':'} {failure}")
        if self._refusals:
            reasons.append(f"given up before: {'; '.join(self._refusals)}")
        return "; ".join(reasons)

    async def _run_attempt(self, attempt: Attempt) -> str:
        """Connect and mine; return why the miner left. Raises `PoolError` for any other end."""
        pool, url = attempt.pool, attempt.url
        unverified = url.tls_insecure and url.transport.has_tls
        other_address = url.label if url.label != pool.url.label else ""
        self._emit(events.PoolConnecting(pool.url.label, unverified, other_address))
        listener = AttemptListener(
            attempt, self._failover, self._shares, self._jobs, self._messages, self._emit,
            self._clock,
        )  # fmt: skip
        connection = await self._connections.open(url, pool, listener)
        attempt.connected_at = attempt.idle_since = self._clock.now()
        self._shares.begin(connection, pool.url)
        reason = "the miner stopped"
        try:
            reason = await self._run_connection(connection, attempt)
        except PoolError as error:
            reason = str(error)
            raise
        finally:
            attempt.ended = True
            self._shares.end(reason)
            pool.resumable = connection.resumable
            if attempt.logged_in_at is not None:
                self._give_up.restart()
                self._last_failure = ""
            self._jobs.work_on(None)
        return reason

    async def _run_connection(self, connection: Connection, attempt: Attempt) -> str:
        """Run `connection` beside the leave rules."""
        reason = ""
        failure: PoolError | None = None
        async with asyncio.TaskGroup() as group:
            rules = self._leave_rules.watch(connection, attempt)
            tasks = [group.create_task(rule) for rule in rules]
            try:
                reason = await connection.run()
            except PoolError as error:
                failure = error
            for task in tasks:
                task.cancel()
        if attempt.leave_reason and type(failure) in (ConnectionLost, NoAnswer):
            return attempt.leave_reason  # the pool closed the connection before the miner did
        if failure is not None:
            raise failure
        return reason

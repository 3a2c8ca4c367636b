"""When the miner leaves a pool, and how: paused devices, drained shares, then a disconnect."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import inf
from typing import Any

from miner.clock import Clock, within
from miner.pool.attempt import Attempt
from miner.pool.connections import Connection, Connections
from miner.pool.failover import Failover, GiveUpTimer
from miner.pool.share_router import ShareRouter
from miner.work import JobSink

FIRST_JOB_SECONDS = 60.0
"""Limit for a connection's first job, where another pool may be tried instead."""

LAUNCH_SECONDS = 1.0
"""Without a solution for this long, all launches that were in flight are taken to be done."""

MAX_LAUNCH_WAITS = 10
"""Waits of `LAUNCH_SECONDS` before a connection is left, at most."""

ANSWER_SECONDS = 5.0
"""Wait for the answers to the shares in flight before a connection is left."""


class LeaveRules:
    """Watches an attempt and ends it when another pool is better or this one is useless.

    `pools_changed` is set when the list of `failover` is replaced.
    """

    def __init__(
        self,
        failover: Failover,
        connections: Connections,
        shares: ShareRouter,
        jobs: JobSink,
        give_up: GiveUpTimer,
        pools_changed: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._failover, self._connections, self._shares = failover, connections, shares
        self._jobs, self._give_up = jobs, give_up
        self._pools_changed, self._clock = pools_changed, clock

    def watch(
        self, connection: Connection, attempt: Attempt
    ) -> tuple[Coroutine[Any, Any, None], ...]:
        """Return what must run while `connection` does, the connection of `attempt`."""
        return (
            self._disconnect(connection, attempt),
            self._return_to_first(attempt),
            self._limit_login(attempt),
            self._limit_first_job(connection, attempt),
        )

    async def _disconnect(self, connection: Connection, attempt: Attempt) -> None:
        """Once the attempt is to be left, send what only this connection can deliver, then
        disconnect."""
        await attempt.leaving.wait()
        if attempt.logged_in_at is not None:
            self._jobs.work_on(None)
            for _ in range(MAX_LAUNCH_WAITS if attempt.job_received else 0):
                before = self._shares.submitted
                await self._clock.sleep(LAUNCH_SECONDS)
                if before == self._shares.submitted:
                    break
            await within(self._clock, ANSWER_SECONDS, self._shares.drained())
        connection.leave(attempt.leave_reason)

    async def _return_to_first(self, attempt: Attempt) -> None:
        """Leave for the first pool of the list as soon as it can be reached."""
        while True:
            await within(
                self._clock, self._failover.first_check_seconds, self._pools_changed.wait()
            )
            self._pools_changed.clear()
            if attempt.leave_reason:
                return
            first = self._failover.first  # the list may have been replaced
            if first is attempt.pool or self._failover.is_banned(first):
                continue
            if await self._connections.can_open(first.url) and first is self._failover.first:
                attempt.leave(f"{first.url.label} is reachable again", to_first=True)

    async def _limit_login(self, attempt: Attempt) -> None:
        """Leave a pool or node without a login when the give-up timer runs out."""
        if self._give_up.remaining < inf:
            await self._clock.sleep(max(self._give_up.remaining, 0.0))
            if attempt.logged_in_at is None:
                attempt.leave("the pool accepted no login and brought no job")

    async def _limit_first_job(self, connection: Connection, attempt: Attempt) -> None:
        """Leave a pool or node without a first job for another one."""
        while not attempt.job_received:
            await self._clock.sleep(FIRST_JOB_SECONDS)
            if attempt.job_received or not self._failover.has_alternative:
                continue
            await connection.drained()  # an earlier block may be on its way to a node
            if not attempt.job_received and self._failover.has_alternative:
                text = f"the pool brought no job within {FIRST_JOB_SECONDS:g} s"
                attempt.leave(text, no_work=True)

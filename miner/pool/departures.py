"""What has us leave a connection of our own accord."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from math import inf

from miner.clock import Clock
from miner.pool.connections import Connection, Connections
from miner.pool.limits import within
from miner.pool.patience import Patience
from miner.pool.turns import Turns
from miner.pool.visit import Visit

FIRST_JOB_SECONDS = 60.0
"""For a connection's first job, where another pool may be tried instead."""


class Departures:
    """Watches a visit, and has it part where another pool is to be had, or nothing is.

    `pools_changed` is set where the list of `turns` is another one.
    """

    def __init__(
        self,
        turns: Turns,
        connections: Connections,
        patience: Patience,
        pools_changed: asyncio.Event,
        clock: Clock,
    ) -> None:
        self._turns, self._connections, self._patience = turns, connections, patience
        self._pools_changed, self._clock = pools_changed, clock

    def watches(
        self, connection: Connection, visit: Visit
    ) -> tuple[Coroutine[None, None, None], ...]:
        """Return what is to run as long as `connection` does, which is that of `visit`."""
        return (
            self._look_for_first(visit),
            self._limit_absence(visit),
            self._limit_idling(connection, visit),
        )

    async def _limit_absence(self, visit: Visit) -> None:
        """Leave a pool or node that has not taken us in when our patience is over."""
        if self._patience.left < inf:
            await self._clock.sleep(max(self._patience.left, 0.0))
            if visit.ready_at is None:
                visit.part("it has neither accepted a login nor brought work")

    async def _limit_idling(self, connection: Connection, visit: Visit) -> None:
        """Leave a pool or node that brings no first job for another one."""
        while not visit.worked:
            await self._clock.sleep(FIRST_JOB_SECONDS)
            if visit.worked or not self._turns.has_another:
                continue
            await connection.drained()  # an earlier block may be on its way to a node
            if not visit.worked and self._turns.has_another:
                text = f"it brought no work within {FIRST_JOB_SECONDS:g} s"
                visit.part(text, workless=True)

    async def _look_for_first(self, visit: Visit) -> None:
        while True:
            await within(self._clock, self._turns.look_after, self._pools_changed.wait())
            self._pools_changed.clear()
            if visit.parting:
                return
            first = self._turns.first  # that of a list that may be new
            if first is visit.pool or self._turns.is_shut(first):
                continue
            if await self._connections.can_open(first.url) and first is self._turns.first:
                visit.part(f"{first.url.label} can be reached", for_first=True)

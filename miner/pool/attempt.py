"""One connection attempt: what happened on it, and when the miner leaves it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from math import inf

from miner.clock import Clock, within
from miner.errors import Banned, PoolError, PoolRefused, ProtocolError, WrongDialect
from miner.net.pool_url import PoolUrl
from miner.pool.connections import Connection, Connections
from miner.pool.failover import LONGEST, Patience, Standing, Turns
from miner.stratum.dialects import PROTOCOLS
from miner.stratum.pool_events import Reconnect
from miner.stratum.session import IGNORED_SHARES

STEADY_SECONDS = 60.0
"""A login that brings work and holds for so long makes earlier failures forgotten."""

ANOTHER_DIALECT_SECONDS = 1.0
"""Between two tries of different protocols with one pool that answers."""


@dataclass(slots=True, eq=False)
class Visit:
    """What is known of one connection with `pool`, from before it is opened."""

    pool: Standing
    to: PoolUrl
    """The address of `pool`, or that with a port that the pool named itself."""
    opened: bool = False
    spoke: bool = False
    """It said anything that we understood."""
    worked: bool = False
    """It brought a job."""
    sent: int = 0
    """Shares that it was sent."""
    answered: bool = False
    """It answered a share."""
    ready_at: float | None = None
    """Clock seconds of the accepted login."""
    asked: Reconnect | None = None
    """Its wish that we obey."""
    meant: Standing | None = None
    """The pool that it wishes us to."""
    stayed: bool = False
    """It wished us at another host, and was told on once."""
    parting: str = ""
    """Why we leave it; empty as long as we do not."""
    for_first: bool = False
    """We leave it for the first pool of the list."""
    workless: bool = False
    """We leave it since it brings no work."""
    over: bool = False
    """It has ended."""
    to_end: asyncio.Event = field(default_factory=asyncio.Event)
    """Set where we are to leave it."""

    @property
    def stays(self) -> bool:
        """Whether the connection is there, and nobody wants it to end."""
        return self.opened and not self.over and not self.parting

    def part(self, reason: str, *, for_first: bool = False, workless: bool = False) -> None:
        """Have it end on our side, `reason` says why; the first reason holds."""
        if not self.parting:
            self.parting, self.for_first, self.workless = reason, for_first, workless
            self.to_end.set()

    @property
    def barren(self) -> bool:
        """Whether it ended as one that was to bring us nothing: no work, or no share taken."""
        return self.workless or (self.sent >= IGNORED_SHARES and not self.answered)

    def steady(self, now: float) -> bool:
        """Return whether the login brought work and held until `now`, in clock seconds."""
        held = self.ready_at is not None and now - self.ready_at >= STEADY_SECONDS
        return held and self.worked and not self.barren

    def misunderstood(self, error: PoolError) -> bool:
        """Return whether, as it ended by `error`, the pool may speak another protocol: it said
        nothing to ours, or nonsense."""
        talked = self.spoke and not isinstance(error, ProtocolError)
        return self.opened and self.ready_at is None and not talked

    def onwards(self, url: PoolUrl) -> PoolUrl:
        """Return where to connect after this for the pool at `url`: with another port where this
        very pool named one that is no other pool's."""
        port = self.asked.port if self.asked and self.meant is self.pool else None
        return replace(url, port=port) if port and url == self.pool.url else url


@dataclass(frozen=True, slots=True)
class Ending:
    """How one try of a pool ended."""

    reason: str
    wait: float | None
    """Seconds until the next try, of whichever pool; None: this one is dropped."""


class Endings:
    """Has `turns` heed how the visit of the pool whose turn it is ended."""

    def __init__(self, turns: Turns, clock: Clock) -> None:
        self._turns, self._clock = turns, clock

    def ended(self, visit: Visit, reason: str, failure: PoolError | None) -> Ending:
        """Return what follows; `failure` is None where we left it on our side."""
        if steady := visit.steady(self._clock.now()):
            self._turns.forgive()
        match failure:
            case Banned():
                return Ending(reason, self._turns.shut_out())
            case PoolRefused():
                return self._refused(visit, failure)
            case None:
                return Ending(reason, self._left(visit, steady=steady))
        if visit.misunderstood(failure) and not visit.pool.detection.found:
            visit.pool.detection.misfit()
        return Ending(reason, self._failed(visit))

    def _refused(self, visit: Visit, refusal: PoolRefused) -> Ending:
        pool = visit.pool
        if isinstance(refusal, WrongDialect) and not pool.detection.named:
            if pool.detection.found and visit.ready_at is None:
                pool.detection.doubt()
                return Ending(str(refusal), self._failed(visit))
            title = PROTOCOLS[pool.detection.current].title
            if pool.detection.misfit():
                text = f"it does not take {title}, another protocol is tried"
                return Ending(text, ANOTHER_DIALECT_SECONDS)
            refusal = WrongDialect("it speaks no protocol of ours")
        if not pool.accepted:
            self._turns.drop()
            return Ending(str(refusal), None)
        return Ending(str(refusal), self._failed(visit))

    def _left(self, visit: Visit, *, steady: bool) -> float:
        if visit.for_first or visit.barren:
            return self._failed(visit)
        if visit.asked is None:
            return 0.0
        wait = min(visit.asked.wait, LONGEST)
        if visit.meant is not None:
            self._turns.go_to(visit.meant)
        return wait if steady else self._turns.failed(wait)

    def _failed(self, visit: Visit) -> float:
        if visit.for_first:
            return self._turns.return_to_first()
        return self._turns.barren() if visit.barren else self._turns.failed()


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

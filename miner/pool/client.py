"""The pools of a configuration as one source of jobs that takes solutions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from math import inf
from random import Random

from miner import telemetry
from miner.clock import Clock
from miner.errors import (
    Banned,
    EveryPoolRefused,
    PoolError,
    PoolRefused,
    ProtocolError,
    WrongDialect,
)
from miner.pool.backoff import LONGEST
from miner.pool.connections import Connection, Connections, Hearing
from miner.pool.detection import Detection
from miner.pool.notices import Notices
from miner.pool.protocols.events import (
    Authorized,
    JobReceived,
    Message,
    PoolEvent,
    Reconnect,
    ShareWritten,
    Subscribed,
)
from miner.pool.protocols.table import PROTOCOLS
from miner.pool.turns import Standing, Turns
from miner.pool.url import PoolUrl
from miner.pool.waiting import Waiting
from miner.work import Job, Solution, Verdict

STEADY_SECONDS = 60.0
"""A login that brings work and holds for so long makes earlier failures forgotten."""

RETURN_SECONDS = 600.0
"""While another pool is mined on, the first is looked for so often; twice as seldom after each
return that did not hold, up to `RETURN_LONGEST`."""

RETURN_LONGEST = 4800.0

ANOTHER_DIALECT_SECONDS = 1.0
"""Between two tries of different protocols with one pool that answers."""

LANDING_SECONDS = 1.0
"""What launches that are in flight are waited for, before a pool is left for good."""

ANSWER_WAIT_SECONDS = 5.0
"""What shares on their way are waited for, before a connection is left on our side."""


OTHER_POOLS = "the settings name other pools"


@dataclass(slots=True)
class _Visit:
    """What one connection brought so far."""

    opened: bool = False
    spoke: bool = False
    """It said anything that we understood."""
    resumed: bool = False
    """Its session is an earlier one, gone on with."""
    ready_at: float | None = None
    """Clock seconds of the accepted login."""
    newest: Job | None = None
    asked: Reconnect | None = None
    stayed: bool = False
    """It wished us at another host, and was told on once."""
    for_first: bool = False
    """We leave it for the first pool of the list."""


class PoolClient:
    """Keeps one session with the best pool that can be had.

    The list is in order of preference: a pool that fails `TRIES` times in a row gives way to the
    next, and the first is gone back to as soon as it can be reached. `give_up` is the number of
    seconds without an accepted login after which `run` ends; None: it tries for ever. A pool that
    refuses is tried no more, unless it had accepted the login before. `work_on` is called with
    each job, with None when its connection has ended; `on_verdict` once for each solution
    submitted.
    """

    def __init__(
        self,
        pools: Sequence[PoolUrl],
        connections: Connections,
        work_on: Callable[[Job | None], None],
        on_verdict: Callable[[Verdict], None],
        emit: telemetry.Emit,
        clock: Clock,
        random: Random,
        give_up: float | None = None,
    ) -> None:
        self._turns = Turns(pools, clock, random, _detection)
        self._connections = connections
        self._work_on, self._on_verdict, self._emit = work_on, on_verdict, emit
        self._clock, self._give_up = clock, give_up
        self._session: Connection | None = None
        self._waiting = Waiting(on_verdict)
        self._last: PoolUrl | None = None
        """The pool of the newest connection."""
        self._refusals: list[str] = []
        self._without_since = clock.now()
        self._visit = _Visit()
        self._notices = Notices(emit, clock)
        self._return_after = RETURN_SECONDS
        self._pools_changed = asyncio.Event()

    async def run(self) -> None:
        """Mine until cancelled.

        Raises `EveryPoolRefused` when no pool is left to try, or after `give_up` seconds.
        """
        self._without_since = self._clock.now()
        try:
            await self._keep_a_session()
        finally:
            self._waiting.close()

    async def _keep_a_session(self) -> None:
        while self._turns:
            pool = self._turns.current
            if (ended := await self._one_turn(pool)) is not None:
                reason, wait = ended
                await self._pause(pool.url, reason, wait)
            elif self._turns and (wait := self._turns.shut_for(self._turns.current)):
                await self._pause(self._turns.current.url, "it shut us out before", wait)
        raise EveryPoolRefused(f"no pool is left: {'; '.join(self._refusals) or 'none is named'}")

    async def _one_turn(self, pool: Standing) -> tuple[str, float] | None:
        """Try `pool` once; return how that ended and how long to wait, None if it is dropped."""
        failure: PoolError | None = None
        try:
            reason = await self._one_connection(self._redirected(pool.url), pool)
        except PoolError as error:
            failure, reason = error, str(error)
        if not self._turns.lists(pool):
            return reason, 0.0  # the list is another one since, and its pools did nothing
        return (reason, self._left()) if failure is None else self._after(failure, pool)

    def _after(self, failure: PoolError, pool: Standing) -> tuple[str, float] | None:
        """Return what `_one_turn` does where `pool` failed."""
        if isinstance(failure, Banned):
            return str(failure), self._turns.shut_out()
        if not isinstance(failure, PoolRefused):
            self._doubt(pool, failure)
            return str(failure), self._failed()
        if isinstance(failure, WrongDialect) and not pool.detection.named:
            if pool.detection.found and self._visit.ready_at is None:
                pool.detection.doubt()
                return str(failure), self._failed()
            title = PROTOCOLS[pool.detection.current].title
            if pool.detection.misfit():
                return (
                    f"it does not take {title}, another protocol is tried",
                    ANOTHER_DIALECT_SECONDS,
                )
            failure = WrongDialect("it speaks no protocol of ours")
        if not pool.accepted:
            self._drop(pool, str(failure))
            return None
        return str(failure), self._failed()

    def _failed(self) -> float:
        if self._visit.for_first:
            return self._turns.return_to_first()
        self._steadied()
        return self._turns.failed()

    def _left(self) -> float:
        """Return how long to wait after we left a pool in peace: for another, or as it asked."""
        if self._visit.for_first:
            return self._turns.return_to_first()
        asked = self._visit.asked
        if asked is None:
            return 0.0
        wait = min(asked.wait, LONGEST)
        steady = self._steadied()
        host = (asked.host or "").lower()
        if host and host != self._turns.current.url.host:
            self._turns.go_to(host)
        return wait if steady else self._turns.failed(wait)

    async def submit(self, solution: Solution) -> None:
        """Hand `solution` to the session that issued its job; a verdict follows in any case.

        Where that session has ended, the next one with the same pool takes it if it can.
        """
        self._connections.found(solution)
        if self._session and self._session.number == solution.job.session:
            self._session.submit(solution)
        else:
            self._waiting.keep(solution, "the connection that its job came from has ended")
            self._hand_in()

    async def take_pools(self, pools: Sequence[PoolUrl]) -> bool:
        """Go on with another list; return whether the connection of now is kept, as it is where
        its pool is still the one to be with."""
        stays = self._turns.replace(pools)
        if not stays and (session := self._session) is not None:
            # What the devices are at now can be handed in nowhere else.
            self._visit.for_first = True
            self._work_on(None)
            await self._clock.sleep(LANDING_SECONDS)
            await self.drain(ANSWER_WAIT_SECONDS)
            session.leave(OTHER_POOLS)
        self._pools_changed.set()
        return stays

    async def drain(self, seconds: float) -> None:
        """Return when every submitted solution has its verdict, at the latest after `seconds`."""
        if self._session is None:
            return
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._session.drained()),
                group.create_task(self._clock.sleep(seconds)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()

    async def _one_connection(self, to: PoolUrl, pool: Standing) -> str:
        """Connect, mine, return why we left; raises `PoolError` where we did not."""
        self._visit = _Visit()
        unverified = to.tls_insecure and to.transport.has_tls
        elsewhere = to.label if to.label != pool.url.label else ""
        self._emit(telemetry.PoolConnecting(pool.url.label, unverified, elsewhere))
        hearing = Hearing(
            lambda event: self._heard(event, pool, to), self._on_verdict, self._waiting.keep
        )
        session = self._session = await self._connections.open(to, pool, hearing)
        self._visit.opened = True
        if not self._turns.lists(pool):
            session.leave(OTHER_POOLS)
        self._last = pool.url
        self._waiting.issued_by(session.number, pool.url)
        try:
            return await self._watched(session, pool)
        finally:
            self._session = None
            pool.resumable = session.resumable
            if self._visit.ready_at is not None:
                self._without_since = self._clock.now()
            self._work_on(None)

    async def _watched(self, session: Connection, pool: Standing) -> str:
        """Run `session`; meanwhile look for the first pool, where it is with another one, and
        for the end of our patience, where there is one."""
        watches: list[Coroutine[None, None, None]] = []
        if pool is not self._turns.first:
            watches.append(self._look_for_first(session))
        if self._give_up is not None:
            watches.append(self._limit_absence(session, self._give_up))
        reason = ""
        failure: PoolError | None = None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch) for watch in watches]
            try:
                reason = await session.run()
            except PoolError as error:
                failure = error
            for task in tasks:
                task.cancel()
        if failure is not None:
            raise failure
        return reason

    async def _limit_absence(self, session: Connection, seconds: float) -> None:
        """Leave a pool or node that has not taken us in when `seconds` without any are over."""
        await self._clock.sleep(max(self._without_since + seconds - self._clock.now(), 0.0))
        if self._visit.ready_at is None:
            session.leave("it has neither accepted a login nor brought work")

    async def _look_for_first(self, session: Connection) -> None:
        first = self._turns.first
        while True:
            await self._clock.sleep(self._return_after)
            if self._turns.is_shut(first) or not await self._connections.can_open(first.url):
                continue
            self._visit.for_first = True
            self._return_after = min(2 * self._return_after, RETURN_LONGEST)
            await self.drain(ANSWER_WAIT_SECONDS)
            session.leave(f"{first.url.label} can be reached again")
            return

    def _heard(self, event: PoolEvent, pool: Standing, to: PoolUrl) -> None:
        label = pool.url.label
        match event:
            case Subscribed(_, resumed):
                self._visit.spoke, self._visit.resumed = True, resumed
                self._hand_in()
            case JobReceived(job):
                job = replace(job, pool=label)
                self._visit.spoke, self._visit.newest = True, job
                self._hand_in()
                if not self._visit.for_first:
                    self._work_on(job)
            case Authorized():
                self._visit.ready_at = self._clock.now()
                pool.accepted = True
                if pool.detection.fits():
                    title = PROTOCOLS[pool.detection.current].title
                    self._emit(telemetry.PoolNotice(label, f"it speaks {title}"))
                self._emit(telemetry.PoolReady(label))
            case ShareWritten(solution):
                self._emit(telemetry.ShareSent(solution))
            case Message(text):
                self._notices.pass_on(label, text)
            case Reconnect(host) if not self._may_go_to(host, to):
                if not self._visit.stayed:
                    text = "the pool asked us to go to another host; we stay"
                    self._emit(telemetry.PoolNotice(label, text))
                self._visit.stayed = True
            case Reconnect():
                self._visit.asked = event
                if self._session:
                    self._session.leave("the pool asked us to reconnect")

    def _hand_in(self) -> None:
        """Send what waits for the pool that we are with, as far as it still knows the jobs."""
        session, pool = self._session, self._last
        found: list[Solution] = []
        if not session or not pool or not self._waiting:
            return
        if self._visit.resumed:
            found = self._waiting.claim_all(pool, session.number)
        elif self._visit.newest:
            found = self._waiting.claim(pool, self._visit.newest)
        for solution in found:
            self._connections.found(solution)
            session.submit(solution)

    def _doubt(self, pool: Standing, error: PoolError) -> None:
        """A pool that says nothing to our protocol, or nonsense, may speak another one."""
        talked = self._visit.ready_at is not None or (
            self._visit.spoke and not isinstance(error, ProtocolError)
        )
        if self._visit.opened and not talked and not pool.detection.found:
            pool.detection.misfit()

    def _may_go_to(self, host: str | None, to: PoolUrl) -> bool:
        wanted = (host or to.host).lower()
        return wanted == to.host or self._turns.knows(wanted)

    def _redirected(self, url: PoolUrl) -> PoolUrl:
        """Return `url`, with the port that this very pool named when it asked us to reconnect."""
        asked = self._visit.asked
        if not asked or not asked.port or self._visit.for_first:
            return url
        here = url == self._last and (asked.host or url.host).lower() == url.host
        return replace(url, port=asked.port) if here else url

    def _steadied(self) -> bool:
        """Return whether the login brought work and held; then earlier failures are forgotten."""
        visit = self._visit
        if visit.ready_at is None or visit.newest is None:
            return False
        if self._clock.now() - visit.ready_at < STEADY_SECONDS:
            return False
        self._turns.steady()
        if self._last == self._turns.first.url:
            self._return_after = RETURN_SECONDS
        return True

    def _drop(self, pool: Standing, reason: str) -> None:
        self._turns.drop()
        self._refusals.append(f"{pool.url.label}: {reason}")
        self._emit(telemetry.PoolLost(pool.url.label, reason, None))

    async def _woken(self, seconds: float) -> bool:
        """Sleep; return early, and True, where the list of pools changes."""
        self._pools_changed.clear()
        async with asyncio.TaskGroup() as group:
            changed = group.create_task(self._pools_changed.wait())
            tasks = [changed, group.create_task(self._clock.sleep(seconds))]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        return self._pools_changed.is_set()

    async def _pause(self, url: PoolUrl, reason: str, wait: float) -> None:
        left = inf
        if self._give_up is not None:
            left = self._without_since + self._give_up - self._clock.now()
        if left > 0:
            self._emit(telemetry.PoolLost(url.label, reason, min(wait, left)))
            if wait and await self._woken(min(wait, left)):
                return
            if wait <= left or not self._turns.is_shut(self._turns.current):
                return
        self._emit(telemetry.PoolLost(url.label, reason, None))
        raise EveryPoolRefused(
            f"no pool for {self._give_up:g} s; the last reason, of {url.label}: {reason}"
        )


def _detection(url: PoolUrl) -> Detection:
    return Detection([url.protocol] if url.protocol else list(PROTOCOLS))

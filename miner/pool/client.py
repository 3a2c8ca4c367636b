"""The pool client: one connection with the best pool that is available."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from miner import telemetry
from miner.clock import Clock, within
from miner.errors import ConnectionLost, EveryPoolRefused, PoolError
from miner.net.pool_url import PoolUrl
from miner.pool.attempt import Departures, Ending, Endings, Visit
from miner.pool.connections import Connection, Connections, Hearing
from miner.pool.failover import Patience, Standing, Turns
from miner.pool.share_router import Shares
from miner.stratum.dialects import PROTOCOLS, Detection
from miner.stratum.pool_events import (
    Authorized,
    JobReceived,
    Message,
    PoolEvent,
    Reconnect,
    ShareWritten,
    Subscribed,
)
from miner.work import Job, Solution, Verdict

MOST = 20
"""Messages of pools in a minute that are passed on."""


class Notices:
    """Passes pools' messages on, a flood of them only in part, and all of our own remarks."""

    def __init__(self, emit: telemetry.Emit, clock: Clock) -> None:
        self._emit, self._clock = emit, clock
        self._passed: deque[float] = deque()
        """Clock seconds of the newest messages."""

    def remark(self, pool: str, text: str) -> None:
        """Report our own `text` on the pool that is labelled `pool`."""
        self._emit(telemetry.PoolRemark(pool, text))

    def pass_on(self, pool: str, text: str) -> None:
        """Report `text` of the pool that is labelled `pool`."""
        now = self._clock.now()
        while self._passed and self._passed[0] <= now - 60:
            self._passed.popleft()
        if len(self._passed) > MOST:
            return
        if len(self._passed) == MOST:
            self.remark(pool, f"more than {MOST} messages in a minute; the others are left out")
        else:
            self._emit(telemetry.PoolNotice(pool, text))
        self._passed.append(now)


LANDING_SECONDS = 1.0
"""Without a share for so long, all launches that were in flight are taken to have landed."""

LANDINGS = 10
"""How often that is waited for at most, before a connection is left on our side."""

ANSWER_WAIT_SECONDS = 5.0
"""What shares on their way are waited for then."""

OTHER_POOLS = "the settings name other pools"


class PoolClient:
    """Keeps one connection with the best pool that can be had.

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
        self._endings = Endings(self._turns, clock)
        self._connections = connections
        self._work_on, self._emit = work_on, emit
        self._clock = clock
        self._patience = Patience(give_up, clock)
        self._shares = Shares(on_verdict, connections.found)
        self._visit: Visit | None = None
        """The newest."""
        self._refusals: list[str] = []
        self._notices = Notices(emit, clock)
        self._pools_changed = asyncio.Event()
        self._departures = Departures(
            self._turns, connections, self._patience, self._pools_changed, clock
        )

    async def run(self) -> None:
        """Mine until cancelled.

        Raises `EveryPoolRefused` when no pool is left to try, or after `give_up` seconds.
        """
        self._patience.renew()
        try:
            await self._keep_connected()
        finally:
            self._shares.close()

    async def submit(self, solution: Solution) -> None:
        """Hand `solution` to the connection that issued its job; a verdict follows in any case.

        Where that connection has ended, the next one with the same pool takes it if it can.
        """
        self._shares.submit(solution)

    async def take_pools(self, pools: Sequence[PoolUrl]) -> bool:
        """Go on with another list; return whether there is a connection that is kept, as it is
        where its pool is still listed. It is left for another one that is preferred now only once
        that one can be reached, which is looked for at once."""
        visit = self._visit
        stays = visit is not None and visit.stays
        works = stays and visit is not None and visit.ready_at is not None
        kept = self._turns.replace(pools, works=works)
        if visit and not kept:
            visit.part(OTHER_POOLS)
        self._refusals.clear()
        self._pools_changed.set()
        return kept and stays

    async def drain(self, seconds: float) -> None:
        """Return when every submitted solution has its verdict, at the latest after `seconds`."""
        await within(self._clock, seconds, self._shares.drained())

    # Whose turn it is

    async def _keep_connected(self) -> None:
        while self._turns:
            pool = self._turns.current
            if wait := self._turns.shut_for(pool):
                await self._pause(pool.url, "it shut us out before", wait)
                continue
            ending = await self._one_turn(pool)
            if ending.wait is None:
                self._refusals.append(f"{pool.url.label}: {ending.reason}")
                self._emit(telemetry.PoolLost(pool.url.label, ending.reason, None))
            else:
                await self._pause(pool.url, ending.reason, ending.wait)
        raise EveryPoolRefused(f"no pool is left: {'; '.join(self._refusals) or 'none is named'}")

    async def _one_turn(self, pool: Standing) -> Ending:
        """Try `pool` once."""
        self._pools_changed.clear()
        to = self._visit.onwards(pool.url) if self._visit else pool.url
        visit = self._visit = Visit(pool, to)
        failure: PoolError | None = None
        try:
            reason = await self._one_connection(visit)
        except PoolError as error:
            failure, reason = error, str(error)
        if not self._turns.are_of(pool):
            return Ending(OTHER_POOLS, 0.0)  # how it ended is no matter of the new list
        return self._endings.ended(visit, reason, failure)

    async def _woken(self, seconds: float) -> bool:
        """Sleep; return early, and True, where the list of pools changes."""
        self._pools_changed.clear()
        await within(self._clock, seconds, self._pools_changed.wait())
        return self._pools_changed.is_set()

    async def _pause(self, url: PoolUrl, reason: str, wait: float) -> None:
        if (left := self._patience.left) > 0:
            self._emit(telemetry.PoolLost(url.label, reason, min(wait, left)))
            if wait and await self._woken(min(wait, left)):
                return
            if wait <= left or not self._turns.is_shut(self._turns.current):
                return
        self._emit(telemetry.PoolLost(url.label, reason, None))
        raise EveryPoolRefused(
            f"no pool for {self._patience.seconds:g} s; the last reason, of {url.label}: {reason}"
        )

    # One connection

    async def _one_connection(self, visit: Visit) -> str:
        """Connect, mine, return why we left; raises `PoolError` where we did not."""
        pool, to = visit.pool, visit.to
        unverified = to.tls_insecure and to.transport.has_tls
        elsewhere = to.label if to.label != pool.url.label else ""
        self._emit(telemetry.PoolConnecting(pool.url.label, unverified, elsewhere))
        hearing = Hearing(
            lambda event: self._heard(event, visit),
            lambda verdict: self._answered(verdict, visit),
            self._shares.keep,
        )
        connection = await self._connections.open(to, pool, hearing)
        visit.opened = True
        self._shares.begin(connection, pool.url)
        reason = "the miner stopped"
        try:
            reason = await self._watched(connection, visit)
        except PoolError as error:
            reason = str(error)
            raise
        finally:
            visit.over = True
            self._shares.end(reason)
            pool.resumable = connection.resumable
            if visit.ready_at is not None:
                self._patience.renew()
            self._work_on(None)
        return reason

    async def _watched(self, connection: Connection, visit: Visit) -> str:
        """Run `connection`; meanwhile look for what may have us leave it."""
        watches = (
            self._part(connection, visit),
            *self._departures.watches(connection, visit),
        )
        reason = ""
        failure: PoolError | None = None
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch) for watch in watches]
            try:
                reason = await connection.run()
            except PoolError as error:
                failure = error
            for task in tasks:
                task.cancel()
        if visit.parting and type(failure) is ConnectionLost:
            return visit.parting  # the pool was faster with the end that we wanted
        if failure is not None:
            raise failure
        return reason

    async def _part(self, connection: Connection, visit: Visit) -> None:
        """Leave `connection` once that is wanted, and what can be handed in nowhere else was."""
        await visit.to_end.wait()
        if visit.ready_at is not None:
            self._work_on(None)
            for _ in range(LANDINGS if visit.worked else 0):
                found = self._shares.found
                await self._clock.sleep(LANDING_SECONDS)
                if found == self._shares.found:
                    break
            await self.drain(ANSWER_WAIT_SECONDS)
        connection.leave(visit.parting)

    def _heard(self, event: PoolEvent, visit: Visit) -> None:
        pool, label = visit.pool, visit.pool.url.label
        match event:
            case Subscribed(_, resumed):
                visit.spoke = True
                if resumed:
                    self._shares.resumed()
            case JobReceived(job):
                job = replace(job, pool=label)
                visit.spoke = visit.worked = True
                self._shares.know(job)
                if not visit.parting:
                    self._work_on(job)
            case Authorized():
                visit.ready_at = self._clock.now()
                pool.accepted = True
                if pool.detection.fits():
                    title = PROTOCOLS[pool.detection.current].title
                    self._notices.remark(label, f"it speaks {title}")
                self._emit(telemetry.PoolReady(label))
            case ShareWritten(solution):
                visit.sent += 1
                self._emit(telemetry.ShareSent(self._shares.as_found(solution)))
            case Message(text, ours):
                # A node says nothing to a person: what its session tells is ours.
                ours = ours or pool.detection.current not in PROTOCOLS
                tell = self._notices.remark if ours else self._notices.pass_on
                tell(label, text)
            case Reconnect():
                self._asked_away(event, visit)

    def _asked_away(self, wish: Reconnect, visit: Visit) -> None:
        """Obey the wish to connect anew, unless it leads to where no pool of the list is."""
        if visit.parting:
            return
        meant = self._turns.at((wish.host or visit.to.host).lower(), wish.port)
        if meant is not None:
            visit.asked, visit.meant = wish, meant
            visit.part("the pool asked us to reconnect")
        elif not visit.stayed:
            visit.stayed = True
            text = "the pool asked us to go to another host or port; we stay"
            self._notices.remark(visit.pool.url.label, text)

    def _answered(self, verdict: Verdict, visit: Visit) -> None:
        visit.answered = visit.answered or verdict.seconds is not None
        self._shares.answered(verdict)


def _detection(url: PoolUrl) -> Detection:
    return Detection([url.protocol] if url.protocol else list(PROTOCOLS))

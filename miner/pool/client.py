"""The pools of a configuration as one source of jobs that takes solutions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Protocol

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
from miner.pool.backoff import LONGEST, delays
from miner.pool.detection import Detection
from miner.pool.dial import Dial, Stream
from miner.pool.limits import Limits
from miner.pool.protocols.events import (
    Authorized,
    JobReceived,
    Message,
    PoolEvent,
    Reconnect,
    Subscribed,
)
from miner.pool.protocols.stratum import Opening, Stratum
from miner.pool.protocols.table import PROTOCOLS
from miner.pool.session import Reports, SentNonces, Session
from miner.pool.url import PoolUrl
from miner.pool.waiting import Waiting
from miner.progpow.variant import Variant
from miner.work import Job, Solution, Verdict

TRIES = 3
"""Failures in a row after which the next pool of the list has its turn."""

STEADY_SECONDS = 60.0
"""A login that holds for so long makes earlier failures forgotten."""

RETURN_SECONDS = 600.0
"""While another pool is mined on, the first is looked for so often; twice as seldom after each
return that did not hold, up to `RETURN_LONGEST`."""

RETURN_LONGEST = 4800.0

BAN_SECONDS = 900.0
"""A pool that shut us out is left alone for so long, and up to a half more."""

ANSWER_WAIT_SECONDS = 5.0
"""What shares on their way are waited for, before a connection is left on our side."""


class Connection(Protocol):
    """One connection's life, over Stratum or with a node."""

    number: int

    async def run(self) -> str: ...
    def submit(self, solution: Solution) -> None: ...
    def leave(self, reason: str) -> None: ...
    async def drained(self) -> None: ...


class Tape(Protocol):
    """What keeps a record of the sessions."""

    def opened(
        self, stream: Stream, url: PoolUrl, protocol: str, opening: Opening, rig: bytes
    ) -> Stream:
        """Return a stream that does as `stream` and is recorded."""

    def found(self, solution: Solution) -> None:
        """Note that `solution` is handed in."""


NodeSessions = Callable[
    [int, PoolUrl, Callable[[PoolEvent], None], Callable[[Verdict], None]], Connection
]
"""(number, url, report, on_verdict) -> a session with a node."""


@dataclass(slots=True, eq=False)
class _Standing:
    """How one pool of the list has done so far."""

    url: PoolUrl
    detection: Detection
    waits: Iterator[float]
    sent: SentNonces
    accepted: bool = False
    """Its login worked once: a later refusal is its trouble, and may pass."""
    shut_until: float = 0.0
    """Clock seconds; before, it is left alone."""
    resumable: str | None = None


class PoolClient:
    """Keeps one session with the best pool that can be had.

    The list is in order of preference: a pool that fails `TRIES` times in a row gives way to the
    next, and the first is gone back to as soon as it can be reached. `give_up` is the number of
    seconds without an accepted login after which `run` ends; None: it tries for ever. A pool that
    refuses is tried no more, unless it had accepted the login before. `work_on` is called with
    each job, with None when its connection has ended; `on_verdict` once for each solution
    submitted. `reports`, where given, is sent to pools that take it.
    """

    def __init__(
        self,
        pools: Sequence[PoolUrl],
        variant: Variant,
        work_on: Callable[[Job | None], None],
        on_verdict: Callable[[Verdict], None],
        emit: telemetry.Emit,
        dial: Dial,
        clock: Clock,
        random: Random,
        agent: str,
        seed_of: Callable[[int], bytes] | None = None,
        diff1: int | None = None,
        give_up: float | None = None,
        limits: Limits | None = None,
        reports: Reports | None = None,
        tape: Tape | None = None,
        node_session: NodeSessions | None = None,
    ) -> None:
        self._pools = [
            _Standing(url, _detection(url), delays(random), SentNonces()) for url in pools
        ]
        self._variant, self._agent = variant, agent
        self._work_on, self._on_verdict, self._emit = work_on, on_verdict, emit
        self._dial, self._clock, self._random = dial, clock, random
        self._seed_of, self._diff1, self._give_up = seed_of, diff1, give_up
        self._limits, self._reports, self._tape = limits or Limits(), reports, tape
        self._node_session = node_session
        self._rig = reports.rig if reports else bytes(32)
        self._sessions = 0
        self._session: Connection | None = None
        self._waiting = Waiting(on_verdict)
        self._last: PoolUrl | None = None
        """The pool of the newest connection."""
        self._refusals: list[str] = []
        self._without_since = clock.now()
        self._ready_at: float | None = None
        self._opened = self._spoke = self._first_job = False
        self._asked: Reconnect | None = None
        self._first_is_back = False
        self._return_after = RETURN_SECONDS

    async def run(self) -> None:
        """Mine until cancelled.

        Raises `EveryPoolRefused` when no pool is left to try, or after `give_up` seconds.
        """
        self._without_since = self._clock.now()
        try:
            await self._keep_a_session()
        finally:
            self._waiting.lose_all()

    async def _keep_a_session(self) -> None:
        position = failures = 0
        while self._pools:
            pool = self._pools[position]
            failed = True
            wait = 0.0
            try:
                reason = await self._one_connection(self._redirected(pool.url), pool)
                failed = self._asked is not None and not self._was_steady()
            except Banned as error:
                reason = str(error)
                failures = TRIES
                wait = BAN_SECONDS * self._random.uniform(1.0, 1.5)
                pool.shut_until = self._clock.now() + wait
            except WrongDialect as error:
                reason = str(error)
                if not pool.detection.found and pool.detection.misfit():
                    await self._pause(pool.url, reason, 1.0)
                    continue
                if not pool.accepted:
                    reason = reason if pool.detection.found else "it speaks no protocol of ours"
                    self._drop(pool, reason)
                    position, failures = position % max(len(self._pools), 1), 0
                    continue
            except PoolRefused as error:
                if not pool.accepted:
                    self._drop(pool, str(error))
                    position, failures = position % max(len(self._pools), 1), 0
                    continue
                reason = str(error)
            except PoolError as error:
                reason = str(error)
                self._doubt(pool, error)
            if self._was_steady():
                failures, pool.waits = min(failures, TRIES) if wait else 0, delays(self._random)
            if self._asked:
                wait = max(wait, min(self._asked.wait, LONGEST))
            if failed:
                failures, wait = failures + 1, max(wait, next(pool.waits))
            if failures >= TRIES:
                position, failures = self._after(position), 0
                wait = self._time_to(self._pools[position], wait)
            if self._first_is_back:
                position, failures = 0, TRIES - 1
            elif (named := self._named_by_reconnect(pool)) is not None:
                position, failures, wait = named, 0, max(wait, 0.0)
            await self._pause(pool.url, reason, wait)
        raise EveryPoolRefused(f"no pool is left: {'; '.join(self._refusals) or 'none is named'}")

    async def submit(self, solution: Solution) -> None:
        """Hand `solution` to the session that issued its job; a verdict follows in any case.

        Where that session has ended, it waits for the next one with the same pool.
        """
        if self._tape:
            self._tape.found(solution)
        if self._session and self._session.number == solution.job.session:
            self._session.submit(solution)
        elif self._last is not None:
            self._keep(solution, "the connection that its job came from has ended")

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

    async def _one_connection(self, to: PoolUrl, pool: _Standing) -> str:
        """Connect, mine, return why we left; raises `PoolError` where we did not."""
        self._forget_connection()
        self._emit(telemetry.PoolConnecting(to.label, unverified=to.tls_insecure))
        self._last = pool.url
        protocol: Stratum | None = None
        if pool.detection.current in PROTOCOLS:
            stream = await self._dial.open(to)
            self._sessions += 1
            self._opened = True
            protocol, stream = self._dialogue(pool, to, stream)
            session: Connection = self._stratum(protocol, stream, pool, to)
        elif self._node_session is not None:
            self._sessions += 1
            session = self._node_session(
                self._sessions, to, lambda e: self._heard(e, pool, to), self._on_verdict
            )
        else:
            raise PoolRefused(f"{to.label}: mining with a node is not possible here")
        self._session = session
        try:
            return await self._watched(session, pool)
        finally:
            self._session = None
            pool.resumable = protocol.resumable if protocol else None
            if self._ready_at is not None:
                self._without_since = self._clock.now()
            self._work_on(None)

    def _forget_connection(self) -> None:
        self._ready_at = self._asked = None
        self._first_is_back = self._spoke = self._opened = False
        self._first_job = True

    def _dialogue(self, pool: _Standing, to: PoolUrl, stream: Stream) -> tuple[Stratum, Stream]:
        opening = Opening(
            user=to.user,
            password=to.password,
            agent=self._agent,
            variant=self._variant,
            session=self._sessions,
            host=to.host,
            port=to.port,
            diff1=self._diff1,
            seed_of=self._seed_of,
            resume=pool.resumable,
        )
        name = pool.detection.current
        if self._tape:
            stream = self._tape.opened(stream, to, name, opening, self._rig)
        return PROTOCOLS[name](opening), stream

    def _stratum(self, protocol: Stratum, stream: Stream, pool: _Standing, to: PoolUrl) -> Session:
        return Session(
            self._sessions,
            protocol,
            stream,
            self._clock,
            lambda event: self._heard(event, pool, to),
            self._on_verdict,
            on_unsent=self._keep,
            sent=pool.sent,
            limits=self._limits,
            reports=self._reports,
        )

    async def _watched(self, session: Connection, pool: _Standing) -> str:
        """Run `session`; unless it is with the first pool, look for that one meanwhile."""
        if pool is self._pools[0]:
            return await session.run()
        reason = ""
        failure: PoolError | None = None
        async with asyncio.TaskGroup() as group:
            watch = group.create_task(self._look_for_first(session))
            try:
                reason = await session.run()
            except PoolError as error:
                failure = error
            watch.cancel()
        if failure is not None:
            raise failure
        return reason

    async def _look_for_first(self, session: Connection) -> None:
        first = self._pools[0]
        while True:
            await self._clock.sleep(self._return_after)
            if self._clock.now() < first.shut_until:
                continue
            try:
                stream = await self._dial.open(first.url)
            except PoolError:
                continue
            await stream.close()
            self._first_is_back = True
            self._return_after = min(2 * self._return_after, RETURN_LONGEST)
            await self.drain(ANSWER_WAIT_SECONDS)
            session.leave(f"{first.url.label} can be reached again")
            return

    def _heard(self, event: PoolEvent, pool: _Standing, to: PoolUrl) -> None:
        match event:
            case Subscribed(_, resumed):
                self._spoke = True
                if resumed:
                    self._hand_in(self._waiting.claim_all(pool.url, self._sessions))
            case JobReceived(job):
                self._spoke = True
                if self._first_job:
                    self._first_job = False
                    self._hand_in(self._waiting.claim(pool.url, job))
                self._work_on(job)
            case Authorized():
                self._ready_at = self._clock.now()
                pool.accepted = True
                if pool.detection.fits():
                    title = PROTOCOLS[pool.detection.current].title
                    self._emit(telemetry.PoolNotice(to.label, f"it speaks {title}"))
                self._emit(telemetry.PoolReady(to.label))
            case Message(text):
                self._emit(telemetry.PoolNotice(to.label, text))
            case Reconnect(host) if not self._may_go_to(host, to):
                text = "the pool asked us to go to another host; we stay"
                self._emit(telemetry.PoolNotice(to.label, text))
            case Reconnect():
                self._asked = event
                if self._session:
                    self._session.leave("the pool asked us to reconnect")

    def _keep(self, solution: Solution, reason: str) -> None:
        if self._last is not None:
            self._waiting.keep(self._last, solution, reason)

    def _hand_in(self, solutions: list[Solution]) -> None:
        for solution in solutions:
            if self._session:
                self._session.submit(solution)

    def _doubt(self, pool: _Standing, error: PoolError) -> None:
        """A pool that says nothing to our protocol, or nonsense, may speak another one."""
        talked = self._ready_at is not None or (
            self._spoke and not isinstance(error, ProtocolError)
        )
        if self._opened and not talked and not pool.detection.found:
            pool.detection.misfit()

    def _may_go_to(self, host: str | None, to: PoolUrl) -> bool:
        wanted = (host or to.host).lower()
        return wanted == to.host or any(wanted == pool.url.host for pool in self._pools)

    def _named_by_reconnect(self, pool: _Standing) -> int | None:
        """Return which pool of the list was named by a wish to reconnect, if another one was."""
        host = self._asked.host.lower() if self._asked and self._asked.host else pool.url.host
        for index, other in enumerate(self._pools):
            if host != pool.url.host and other.url.host == host:
                return index
        return None

    def _redirected(self, url: PoolUrl) -> PoolUrl:
        """Return `url`, with the port that this pool named when it asked us to reconnect."""
        asked = self._asked
        if not asked or not asked.port or self._first_is_back:
            return url
        here = (asked.host or url.host).lower() == url.host
        return replace(url, port=asked.port) if here else url

    def _after(self, position: int) -> int:
        """Return the next pool in turn that is not to be left alone; else the soonest."""
        count = len(self._pools)
        turn = [(position + step) % count for step in range(1, count + 1)]
        now = self._clock.now()
        return min(turn, key=lambda index: max(self._pools[index].shut_until - now, 0.0))

    def _time_to(self, pool: _Standing, wait: float) -> float:
        """Return how long to wait for `pool`: another one's ban is no reason to wait."""
        left = max(pool.shut_until - self._clock.now(), 0.0)
        return max(left, min(wait, LONGEST))

    def _was_steady(self) -> bool:
        ready = self._ready_at
        steady = ready is not None and self._clock.now() - ready >= STEADY_SECONDS
        if steady and self._pools and self._last == self._pools[0].url:
            self._return_after = RETURN_SECONDS
        return steady

    def _drop(self, pool: _Standing, reason: str) -> None:
        self._pools.remove(pool)
        self._refusals.append(f"{pool.url.label}: {reason}")
        self._emit(telemetry.PoolLost(pool.url.label, reason, None))

    async def _pause(self, url: PoolUrl, reason: str, wait: float) -> None:
        if self._give_up is not None:
            left = self._without_since + self._give_up - self._clock.now()
            if left <= 0:
                self._emit(telemetry.PoolLost(url.label, reason, None))
                raise EveryPoolRefused(
                    f"no pool for {self._give_up:g} s; the last reason, of {url.label}: {reason}"
                )
            wait = min(wait, left)
        self._emit(telemetry.PoolLost(url.label, reason, wait))
        if wait:
            await self._clock.sleep(wait)


def _detection(url: PoolUrl) -> Detection:
    named = getattr(url, "protocol", None)
    return Detection([named] if named else list(PROTOCOLS))

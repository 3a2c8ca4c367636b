"""The pools of a configuration as one source of jobs that takes solutions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from miner import telemetry
from miner.clock import Clock
from miner.errors import EveryPoolRefused, PoolError, PoolRefused
from miner.pool.backoff import LONGEST, delays
from miner.pool.dial import Dial
from miner.pool.protocols.difficulty import DIFF1_KAWPOW
from miner.pool.protocols.events import Authorized, JobReceived, Message, PoolEvent, Reconnect
from miner.pool.protocols.kawpow import KawPow
from miner.pool.protocols.stratum import Opening
from miner.pool.session import Session
from miner.pool.url import PoolUrl
from miner.progpow.variant import Variant
from miner.work import Job, Outcome, Solution, Verdict

TRIES = 3
"""Failures in a row after which the next pool of the list has its turn."""

STEADY_SECONDS = 60.0
"""A login that holds for so long makes earlier failures forgotten."""

RETURN_SECONDS = 600.0
"""While another pool is mined on, the first is looked for so often."""

ANSWER_WAIT_SECONDS = 5.0
"""What shares on their way are waited for, before a connection is left on our side."""


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
        variant: Variant,
        work_on: Callable[[Job | None], None],
        on_verdict: Callable[[Verdict], None],
        emit: telemetry.Emit,
        dial: Dial,
        clock: Clock,
        random: Random,
        agent: str,
        seed_of: Callable[[int], bytes] | None = None,
        diff1: int = DIFF1_KAWPOW,
        give_up: float | None = None,
    ) -> None:
        self._pools = list(pools)
        self._variant, self._agent = variant, agent
        self._work_on, self._on_verdict, self._emit = work_on, on_verdict, emit
        self._dial, self._clock, self._random = dial, clock, random
        self._seed_of, self._diff1, self._give_up = seed_of, diff1, give_up
        self._sessions = 0
        self._session: Session | None = None
        self._refusals: list[str] = []
        self._accepted: set[PoolUrl] = set()
        """Pools whose login worked once: a later refusal is their trouble, and may pass."""
        self._without_since = clock.now()
        self._ready_at: float | None = None
        self._asked: Reconnect | None = None
        self._first_is_back = False

    async def run(self) -> None:
        """Mine until cancelled.

        Raises `EveryPoolRefused` when no pool is left to try, or after `give_up` seconds.
        """
        self._without_since = self._clock.now()
        position = failures = 0
        waits = delays(self._random)
        while self._pools:
            url = self._pools[position]
            failed = True
            try:
                reason = await self._one_connection(self._redirected(url), url)
                failed = self._asked is not None and not self._was_steady()
            except PoolRefused as error:
                if url not in self._accepted:
                    self._drop(url, str(error))
                    position, failures = position % max(len(self._pools), 1), 0
                    continue
                reason = str(error)
            except PoolError as error:
                reason = str(error)
            if self._was_steady():
                failures, waits = 0, delays(self._random)
            wait = min(self._asked.wait, LONGEST) if self._asked else 0.0
            if failed:
                failures, wait = failures + 1, max(wait, next(waits))
            if failures >= TRIES:
                position, failures = (position + 1) % len(self._pools), 0
            if self._first_is_back:
                position, failures = 0, TRIES - 1
            await self._pause(url, reason, wait)
        raise EveryPoolRefused(f"no pool is left: {'; '.join(self._refusals) or 'none is named'}")

    async def submit(self, solution: Solution) -> None:
        """Hand `solution` to the session that issued its job; a verdict follows in any case."""
        if self._session and self._session.number == solution.job.session:
            self._session.submit(solution)
        else:
            text = "the connection that its job came from has ended"
            self._on_verdict(Verdict(solution, Outcome.LOST, text))

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

    async def _one_connection(self, to: PoolUrl, url: PoolUrl) -> str:
        """Connect, mine, return why we left; raises `PoolError` where we did not."""
        self._forget_connection()
        self._emit(telemetry.PoolConnecting(to.label))
        stream = await self._dial.open(to)
        self._sessions += 1
        protocol = KawPow(
            Opening(
                to.user,
                to.password,
                self._agent,
                self._variant,
                self._sessions,
                to.host,
                to.port,
                self._diff1,
                self._seed_of,
            )
        )
        session = self._session = Session(
            self._sessions,
            protocol,
            stream,
            self._clock,
            lambda event: self._heard(event, url, to),
            self._on_verdict,
        )
        try:
            return await self._watched(session, url)
        finally:
            self._session = None
            if self._ready_at is not None:
                self._without_since = self._clock.now()
            self._work_on(None)

    def _forget_connection(self) -> None:
        self._ready_at = self._asked = None
        self._first_is_back = False

    async def _watched(self, session: Session, url: PoolUrl) -> str:
        """Run `session`; unless it is with the first pool, look for that one meanwhile."""
        if url is self._pools[0]:
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

    async def _look_for_first(self, session: Session) -> None:
        first = self._pools[0]
        while True:
            await self._clock.sleep(RETURN_SECONDS)
            try:
                stream = await self._dial.open(first)
            except PoolError:
                continue
            await stream.close()
            self._first_is_back = True
            await self.drain(ANSWER_WAIT_SECONDS)
            session.leave(f"{first.label} can be reached again")
            return

    def _heard(self, event: PoolEvent, pool: PoolUrl, url: PoolUrl) -> None:
        match event:
            case JobReceived(job):
                self._work_on(job)
            case Authorized():
                self._ready_at = self._clock.now()
                self._accepted.add(pool)
                self._emit(telemetry.PoolReady(url.label))
            case Message(text):
                self._emit(telemetry.PoolNotice(url.label, text))
            case Reconnect(host) if host is not None and host.lower() != url.host:
                text = "the pool asked us to go to another host; we stay"
                self._emit(telemetry.PoolNotice(url.label, text))
            case Reconnect():
                self._asked = event
                if self._session:
                    self._session.leave("the pool asked us to reconnect")

    def _redirected(self, url: PoolUrl) -> PoolUrl:
        """Return `url`, with the port that this pool named when it asked us to reconnect."""
        if self._asked and self._asked.port and not self._first_is_back:
            return replace(url, port=self._asked.port)
        return url

    def _was_steady(self) -> bool:
        ready = self._ready_at
        return ready is not None and self._clock.now() - ready >= STEADY_SECONDS

    def _drop(self, url: PoolUrl, reason: str) -> None:
        self._pools.remove(url)
        self._refusals.append(f"{url.label}: {reason}")
        self._emit(telemetry.PoolLost(url.label, reason, None))

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

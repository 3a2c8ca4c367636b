"""Clocks, limits on waiting, and an event loop with a virtual clock for replays and tests."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from time import monotonic
from typing import Any, Protocol, TypeVar, TypeVarTuple

T = TypeVar("T")
U = TypeVar("U")
Ts = TypeVarTuple("Ts")

_EXPIRED = object()


class Clock(Protocol):
    """Monotonic seconds, the time of day, waiting."""

    def now(self) -> float:
        """Return monotonic seconds; only differences mean anything."""

    def wall(self) -> float:
        """Return UNIX seconds, for people and files."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`."""


class SystemClock:
    """The clock of the operating system."""

    now = staticmethod(time.monotonic)  # called often
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Pace:
    """A budget: `burst` units at once, in the long run `rate` units a second."""

    def __init__(self, clock: Clock, rate: float, burst: float) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._left = burst
        self._counted_at = clock.now()

    async def spend(self, units: float) -> None:
        """Take `units`, and return at once unless the budget is used up; then it is refilled by a
        tenth first."""
        now = self._clock.now()
        self._left = min(self._burst, self._left + (now - self._counted_at) * self._rate) - units
        self._counted_at = now
        if self._left < 0:
            await self._clock.sleep((self._burst / 10 - self._left) / self._rate)


SET_SECONDS = 1.0
"""Change between time of day and monotonic seconds from which on the clock counts as set."""


class UnixZero:
    """The UNIX time of a clock's second 0, which turns its monotonic seconds into times of day.

    Setting the clock moves all these times alike, so that ages and differences stay right. Smaller
    changes are ignored: a time that did not change must not jitter.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._zero = clock.wall() - clock.now()

    def seconds(self) -> float:
        """Return the UNIX time of the clock's second 0."""
        zero = self._clock.wall() - self._clock.now()
        if abs(zero - self._zero) >= SET_SECONDS:
            self._zero = zero
        return self._zero


LATE_SECONDS = 1.0
"""A timer that fires this late shows that the process was suspended, or its loop held up."""

CATCH_UP_SECONDS = 1.0
"""Time in which the loop reads what has arrived in the sockets before a late timer."""


async def time_limit(clock: Clock, seconds: float) -> None:
    """Return after `seconds`, to judge whether something happened in time.

    After a suspension of the process, timers may fire before what arrived meanwhile is read; so
    it returns only after `CATCH_UP_SECONDS` without another one.
    """
    while True:
        due = clock.now() + seconds
        await clock.sleep(seconds)
        if clock.now() - due < LATE_SECONDS:
            return
        seconds = CATCH_UP_SECONDS


async def first_of(one: Coroutine[Any, Any, T], other: Coroutine[Any, Any, U]) -> T | U:
    """Return the result of whichever ends first, `one` if both do, and cancel the other.

    Raises what that one raises.
    """
    # A task group would wrap errors, and lose a cancellation that an error coincides with.
    tasks = asyncio.create_task(one), asyncio.create_task(other)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        first = tasks[0] if tasks[0].done() else tasks[1]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return first.result()


async def within(clock: Clock, seconds: float, waiting: Coroutine[Any, Any, object]) -> bool:
    """Return whether `waiting` ends within `seconds`; it is cancelled if not.

    Raises what `waiting` raises.
    """
    return await first_of(waiting, _limit(clock, seconds)) is not _EXPIRED


async def _limit(clock: Clock, seconds: float) -> object:
    await time_limit(clock, seconds)
    return _EXPIRED


SETTLE_SECONDS = 1e-6
"""Virtual seconds that `settle` takes."""


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock starts at 0 and jumps to the next timer when nothing is ready.

    While sockets are watched or threads work for the loop, time passes at normal speed. Raises
    `RuntimeError` from `run` when nothing is left that could wake a task.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._outside = 0
        super().__init__(_TimelessSelector(self._idle))

    def time(self) -> float:
        return self._seconds

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        self._outside += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._returned)
        return future

    async def shutdown_default_executor(self, *arguments: Any) -> None:
        self._outside += 1
        try:
            await super().shutdown_default_executor(*arguments)
        finally:
            self._outside -= 1

    def _returned(self, future: asyncio.Future[Any]) -> None:
        self._outside -= 1

    def _idle(self, timeout: float | None, watched: int, wait: Callable[[], None]) -> None:
        """Advance the clock by `timeout` seconds (None: until something happens).

        `watched` is the number of files, including one of the loop itself.
        """
        if self._outside or watched > 1:
            begun = monotonic()
            wait()
            passed = monotonic() - begun
            self._seconds += passed if timeout is None else min(passed, timeout)
        elif timeout is None:
            raise RuntimeError("nothing is left that could wake the simulation")
        else:
            self._seconds += timeout


class _TimelessSelector(selectors.BaseSelector):
    """The default selector, which never waits: when nothing is ready it calls `idle`."""

    def __init__(self, idle: Callable[[float | None, int, Callable[[], None]], None]) -> None:
        self._inner = selectors.DefaultSelector()
        self._idle = idle

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.modify(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = self._inner.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready

        def wait() -> None:
            ready.extend(self._inner.select(timeout))

        self._idle(timeout, len(self._inner.get_map()), wait)
        return ready

    def close(self) -> None:
        self._inner.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()


SIMULATION_EPOCH = 1_800_000_000.0
"""UNIX time of a simulation's second 0."""


class LoopClock:
    """The running loop's time as a `Clock`."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return SIMULATION_EPOCH + self.now()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def settle() -> None:
    """Run the tasks of a simulation until each waits for time or for another task."""
    await asyncio.sleep(SETTLE_SECONDS)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run `coroutine` on a new loop with a virtual clock and return its result."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        return runner.run(coroutine)

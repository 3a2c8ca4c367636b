"""Stalls of the event loop: how late it is, and what other threads did meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from miner.clock import Clock
from miner.telemetry.events import Emit, LoopDelayed

CHECK_SECONDS = 0.25
"""Interval of measuring the delay of the event loop; shorter activities explain no stall."""

REMEMBERED = 32
"""Newest ended activities that are kept."""


class CallsOfDevice(Protocol):
    """The driver calls of one device, one at a time; any thread may read them."""

    @property
    def current(self) -> tuple[str, float] | None:
        """The running call, and the clock second of its start."""


class Activity:
    """Records what the threads do, to explain stalls of the event loop; any thread may call it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running: dict[object, tuple[str, float]] = {}
        self._devices: list[CallsOfDevice] = []
        self._ended: deque[tuple[str, float, float]] = deque(maxlen=REMEMBERED)

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        """Record `what` as running during the block."""
        token, begun = object(), self._clock.now()
        self._running[token] = what, begun
        try:
            yield
        finally:
            del self._running[token]
            now = self._clock.now()
            if now - begun >= CHECK_SECONDS:
                self.ended(what, begun, now)

    def follow(self, device: CallsOfDevice) -> None:
        """Take the calls of `device` into account from now on; it reports those that end."""
        self._devices.append(device)

    def ended(self, what: str, begun: float, now: float) -> None:
        """Record that `what` ran from clock second `begun` to `now`, `CHECK_SECONDS` or more."""
        self._ended.append((what, begun, now))

    def during(self, begin: float, end: float) -> str:
        """Return what ran for at least half of the time from clock second `begin` to `end`; empty
        if unknown."""
        calls = [call for device in self._devices if (call := device.current) is not None]
        running = [(what, begun, end) for what, begun in [*list(self._running.values()), *calls]]
        found = [
            what
            for what, begun, ended in (*self._ended.copy(), *running)
            if min(ended, end) - max(begun, begin) >= (end - begin) / 2
        ]
        return ", ".join(dict.fromkeys(found))


class LoopWatch:
    """Measures the delay of the event loop."""

    def __init__(self, clock: Clock, activity: Activity, emit: Emit) -> None:
        self._clock, self._activity, self._emit = clock, activity, emit

    async def run(self) -> None:
        """Emit a `LoopDelayed` at each check, until cancelled."""
        while True:
            due = self._clock.now() + CHECK_SECONDS
            await self._clock.sleep(CHECK_SECONDS)
            now = self._clock.now()
            self._emit(LoopDelayed(max(now - due, 0.0), self._activity.during(due, now)))

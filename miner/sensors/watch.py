"""The loop that reads the sensors and has hot devices pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from miner.clock import Clock
from miner.sensors.heat import HeatGuard
from miner.telemetry import Emit, Reading, SensorsRead

LONGEST = 10.0
"""Seconds without an answer after which what was read before is no longer believed."""

Offload = Callable[[Callable[[], dict[str, Reading]]], Awaitable[dict[str, Reading]]]
"""Runs a blocking call off the event loop; in a pool of its own, since it may never return."""


class Readable(Protocol):
    """What the loop needs of sensors."""

    @property
    def missing(self) -> list[str]:
        """A sentence for each device that does not tell."""

    @property
    def news(self) -> list[str]:
        """What drivers told of between the last two reads."""

    def read(self) -> dict[str, Reading]:
        """Return each device's reading; blocks."""

    def close(self) -> None:
        """Let go of the drivers."""


async def keep_reading(
    sensors: Readable,
    offload: Offload,
    clock: Clock,
    emit: Emit,
    guard: HeatGuard,
    seconds: float = 2.0,
    *,
    hold: Callable[[str, str | None], None],
    report: Callable[[str], None],
) -> None:
    """Read every `seconds` until cancelled, and emit a `SensorsRead` for each device.

    `hold` is told of a device and why it must pause, or None once it may go on; `report` is told
    once of each sentence about sensors that fail, and of each error that a driver tells of. There
    is never more than one read at a time.
    """
    watch = _Watch(emit, guard, hold)
    said: set[str] = set()
    async with asyncio.TaskGroup() as tasks:
        while True:
            reading = tasks.create_task(_awaited(offload(sensors.read)))
            if not await _within(tasks, clock, reading, LONGEST):
                report(f"sensors did not answer within {LONGEST:g} s; readings are unknown")
                watch.forget()
                await asyncio.wait({reading})
                report("sensors answer again")
            watch.take(reading.result())
            missing = sensors.missing
            for sentence in [*sensors.news, *(s for s in missing if s not in said)]:
                report(sentence)
            said = set(missing)
            await clock.sleep(seconds)


class _Watch:
    """What was told last."""

    def __init__(
        self, emit: Emit, guard: HeatGuard, hold: Callable[[str, str | None], None]
    ) -> None:
        self._emit = emit
        self._guard = guard
        self._hold = hold
        self._held: dict[str, str | None] = {}

    def take(self, readings: dict[str, Reading]) -> None:
        for device, reading in readings.items():
            self._emit(SensorsRead(device, reading))
            reason = self._guard.judge(device, reading)
            if self._held.get(device) != reason:
                self._hold(device, reason)
            self._held[device] = reason

    def forget(self) -> None:
        self.take({device: Reading() for device in self._held})


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


async def _within(
    tasks: asyncio.TaskGroup, clock: Clock, task: asyncio.Task[Any], seconds: float
) -> bool:
    """Whether `task` ended within `seconds`; it goes on if not."""
    timer = tasks.create_task(clock.sleep(seconds))
    try:
        await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        timer.cancel()
    return task.done()

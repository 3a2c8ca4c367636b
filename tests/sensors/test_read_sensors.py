from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from miner.devices.tuning import TemperatureLimits
from miner.engine.threads import WorkPool
from miner.sensors.heat import HeatGuard
from miner.sensors.sensors import TIMEOUT, read_sensors
from miner.telemetry import Reading
from miner.telemetry.events import Event, SensorsRead
from tests.fakes.clock import FakeClock, settle
from tests.fakes.sensors import FakeSensors

COOL = Reading(temperature=60.0, power=120.0)
HOT = Reading(temperature=92.0, power=125.0)
WAIT = 60.0
"""Seconds after which a test has failed."""


class SensorLoop:
    """A loop over fake sensors, its thread, and its listener, which keeps every call.

    While `stuck`, a read does not return.
    """

    def __init__(self, readings: dict[str, Reading]) -> None:
        self.sensors = FakeSensors(readings)
        self.clock = FakeClock()
        self.guard = HeatGuard({"fake:0": TemperatureLimits(90.0)})
        self.events: list[Event] = []
        self.held: list[tuple[str, str | None]] = []
        self.reported: list[str] = []
        self.stuck: asyncio.Future[None] | None = None
        self.read = asyncio.Event()
        self.reading = self.most = 0

    async def offload(self, func: Callable[[], dict[str, Reading]]) -> dict[str, Reading]:
        self.reading += 1
        self.most = max(self.most, self.reading)
        try:
            if self.stuck is not None:
                await self.stuck
            return func()
        finally:
            self.reading -= 1

    def sensors_read(self, event: SensorsRead) -> None:
        self.events.append(event)
        self.read.set()

    def hold(self, device: str, reason: str | None) -> None:
        self.held.append((device, reason))

    def report(self, sentence: str) -> None:
        self.reported.append(sentence)

    def block(self) -> None:
        self.stuck = asyncio.get_running_loop().create_future()

    def release(self) -> None:
        assert self.stuck is not None
        stuck, self.stuck = self.stuck, None
        stuck.set_result(None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(read_sensors(self.sensors, self, self.clock, self.guard, self))
            await settle()
            yield
            task.cancel()

    def last(self, device: str = "fake:0") -> Reading:
        return [
            e.reading for e in self.events if isinstance(e, SensorsRead) and e.device == device
        ][-1]


async def test_each_device_is_read_every_two_seconds() -> None:
    loop = SensorLoop({"fake:0": COOL, "fake:1": Reading()})
    async with loop.running():
        assert loop.events == [SensorsRead("fake:0", COOL), SensorsRead("fake:1", Reading())]
        await loop.clock.advance(1.9)
        assert len(loop.events) == 2
        await loop.clock.advance(0.1)
        assert len(loop.events) == 4
        await loop.clock.advance(20.0)
        assert loop.sensors.reads == 12
    assert (loop.held, loop.reported) == ([], [])


async def test_a_hot_device_is_paused_once_and_resumed_once() -> None:
    loop = SensorLoop({"fake:0": HOT, "fake:1": HOT})
    async with loop.running():
        reason = "overheating: core 92 °C, limit 90 °C, resumes at 75 °C"
        assert loop.held == [("fake:0", reason)]
        loop.sensors.readings["fake:0"] = Reading(temperature=80.0)
        await loop.clock.advance(10.0)
        assert loop.held == [("fake:0", reason)]
        loop.sensors.readings["fake:0"] = COOL
        await loop.clock.advance(2.0)
        assert loop.held == [("fake:0", reason), ("fake:0", None)]


async def test_no_second_read_starts_while_one_blocks() -> None:
    loop = SensorLoop({"fake:0": COOL})
    async with loop.running():
        loop.block()
        await loop.clock.advance(100.0)
        assert (loop.reading, loop.sensors.reads) == (1, 1)
        loop.release()
        await loop.clock.advance(4.0)
        assert loop.sensors.reads > 2
    assert loop.most == 1


async def test_no_task_is_left_between_two_reads() -> None:
    loop = SensorLoop({"fake:0": COOL})
    async with loop.running():
        await loop.clock.advance(7.0)
        assert len(asyncio.all_tasks()) == 2, "this test and the loop"


async def test_after_ten_seconds_without_an_answer_all_readings_are_unknown() -> None:
    loop = SensorLoop({"fake:0": COOL, "fake:1": HOT})
    async with loop.running():
        loop.block()
        await loop.clock.advance(2.0 + TIMEOUT - 0.1)
        assert loop.last() == COOL
        assert loop.reported == []
        await loop.clock.advance(0.1)
        assert (loop.last(), loop.last("fake:1")) == (Reading(), Reading())
        assert loop.reported == ["sensors did not answer within 10 s; readings are unknown"]
        await loop.clock.advance(60.0)
        assert len(loop.reported) == 1
        loop.release()
        await settle()
        assert loop.last() == COOL
        assert loop.reported[1:] == ["sensors answer again"]


async def test_an_overheated_device_stays_paused_while_the_sensors_do_not_answer() -> None:
    loop = SensorLoop({"fake:0": HOT})
    async with loop.running():
        loop.block()
        await loop.clock.advance(30.0)
        device, reason = loop.held[-1]
        assert reason is not None
        assert reason.endswith("its temperature is unknown now")
        loop.sensors.readings["fake:0"] = COOL
        loop.release()
        await settle()
        assert loop.held[-1] == (device, None)


async def test_a_first_read_that_blocks_gives_no_readings() -> None:
    loop = SensorLoop({"fake:0": COOL})
    loop.block()
    async with loop.running():
        await loop.clock.advance(TIMEOUT)
        assert loop.events == []
        assert len(loop.reported) == 1


async def test_a_failure_is_reported_once_and_again_after_it_was_over() -> None:
    loop = SensorLoop({"fake:0": COOL})
    loop.sensors.missing = ["fake:0: sensors do not answer: cold"]
    async with loop.running():
        await loop.clock.advance(10.0)
        assert loop.reported == ["fake:0: sensors do not answer: cold"]
        loop.sensors.missing = []
        await loop.clock.advance(2.0)
        loop.sensors.missing = ["fake:0: sensors do not answer: cold"]
        await loop.clock.advance(10.0)
        assert loop.reported == ["fake:0: sensors do not answer: cold"] * 2


async def test_each_error_of_a_driver_is_reported() -> None:
    loop = SensorLoop({"fake:0": COOL})
    loop.sensors.driver_errors = ["fake:0: the driver reports Xid 31"]
    async with loop.running():
        await loop.clock.advance(2.0)
        assert loop.reported == ["fake:0: the driver reports Xid 31"] * 2


async def test_an_unexpected_exception_ends_the_loop() -> None:
    loop = SensorLoop({})

    def broken() -> dict[str, Reading]:
        raise ZeroDivisionError

    loop.sensors.read = broken  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        async with loop.running():
            pass
    assert caught.group_contains(ZeroDivisionError)


async def test_the_sensors_are_read_in_the_pools_thread() -> None:
    loop = SensorLoop({"fake:0": COOL})
    with WorkPool("sensors", 1) as pool:
        async with asyncio.TaskGroup() as group, asyncio.timeout(WAIT):
            task = group.create_task(read_sensors(loop.sensors, pool, loop.clock, loop.guard, loop))
            await loop.read.wait()
            task.cancel()
    assert loop.events == [SensorsRead("fake:0", COOL)]

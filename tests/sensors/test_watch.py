from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from miner.engine.threads import WorkPool
from miner.sensors.heat import HeatGuard, HeatLimits
from miner.sensors.sensors import LONGEST, keep_reading
from miner.telemetry import Event, Reading, SensorsRead
from tests.fakes.clock import FakeClock, settle
from tests.fakes.sensors import FakeSensors

COOL = Reading(temperature=60.0, power=120.0)
HOT = Reading(temperature=92.0, power=125.0)


class Room:
    """A loop over fake sensors with everything that it says written down.

    While `stuck`, a read does not come back.
    """

    def __init__(self, readings: dict[str, Reading]) -> None:
        self.sensors = FakeSensors(readings)
        self.clock = FakeClock()
        self.guard = HeatGuard({"fake:0": HeatLimits(90.0)})
        self.events: list[Event] = []
        self.held: list[tuple[str, str | None]] = []
        self.said: list[str] = []
        self.stuck: asyncio.Future[None] | None = None
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

    def block(self) -> None:
        self.stuck = asyncio.get_running_loop().create_future()

    def release(self) -> None:
        assert self.stuck is not None
        stuck, self.stuck = self.stuck, None
        stuck.set_result(None)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(
                keep_reading(
                    self.sensors, self.offload, self.clock, self.events.append, self.guard,
                    hold=lambda device, reason: self.held.append((device, reason)),
                    report=self.said.append,
                )
            )  # fmt: skip
            await settle()
            yield
            task.cancel()

    def last(self, device: str = "fake:0") -> Reading:
        return [
            e.reading for e in self.events if isinstance(e, SensorsRead) and e.device == device
        ][-1]


async def test_each_device_is_told_of_every_two_seconds() -> None:
    room = Room({"fake:0": COOL, "fake:1": Reading()})
    async with room.running():
        assert room.events == [SensorsRead("fake:0", COOL), SensorsRead("fake:1", Reading())]
        await room.clock.advance(1.9)
        assert len(room.events) == 2
        await room.clock.advance(0.1)
        assert len(room.events) == 4
        await room.clock.advance(20.0)
        assert room.sensors.reads == 12
    assert (room.held, room.said) == ([], [])


async def test_a_hot_device_is_held_once_and_let_go_once() -> None:
    room = Room({"fake:0": HOT, "fake:1": HOT})
    async with room.running():
        reason = "overheating: core 92 °C, limit 90 °C, goes on at 75 °C"
        assert room.held == [("fake:0", reason)]
        room.sensors.readings["fake:0"] = Reading(temperature=80.0)
        await room.clock.advance(10.0)
        assert room.held == [("fake:0", reason)]
        room.sensors.readings["fake:0"] = COOL
        await room.clock.advance(2.0)
        assert room.held == [("fake:0", reason), ("fake:0", None)]


async def test_a_read_that_blocks_is_never_joined_by_a_second_one() -> None:
    room = Room({"fake:0": COOL})
    async with room.running():
        room.block()
        await room.clock.advance(100.0)
        assert (room.reading, room.sensors.reads) == (1, 1)
        room.release()
        await room.clock.advance(4.0)
        assert room.sensors.reads > 2
    assert room.most == 1


async def test_nothing_is_left_waiting_between_two_reads() -> None:
    room = Room({"fake:0": COOL})
    async with room.running():
        await room.clock.advance(7.0)
        assert len(asyncio.all_tasks()) == 2, "this test and the loop"


async def test_after_ten_seconds_without_an_answer_all_is_unknown() -> None:
    room = Room({"fake:0": COOL, "fake:1": HOT})
    async with room.running():
        room.block()
        await room.clock.advance(2.0 + LONGEST - 0.1)
        assert room.last() == COOL
        assert room.said == []
        await room.clock.advance(0.1)
        assert (room.last(), room.last("fake:1")) == (Reading(), Reading())
        assert room.said == ["sensors did not answer within 10 s; readings are unknown"]
        await room.clock.advance(60.0)
        assert len(room.said) == 1
        room.release()
        await settle()
        assert room.last() == COOL
        assert room.said[1:] == ["sensors answer again"]


async def test_an_overheated_device_stays_held_while_nothing_answers() -> None:
    room = Room({"fake:0": HOT})
    async with room.running():
        room.block()
        await room.clock.advance(30.0)
        device, reason = room.held[-1]
        assert reason is not None
        assert reason.endswith("its temperature is unknown now")
        room.sensors.readings["fake:0"] = COOL
        room.release()
        await settle()
        assert room.held[-1] == (device, None)


async def test_a_first_read_that_blocks_tells_of_no_device() -> None:
    room = Room({"fake:0": COOL})
    room.block()
    async with room.running():
        await room.clock.advance(LONGEST)
        assert room.events == []
        assert len(room.said) == 1


async def test_a_sentence_is_told_once_and_again_after_it_was_over() -> None:
    room = Room({"fake:0": COOL})
    room.sensors.missing = ["fake:0: sensors do not answer: cold"]
    async with room.running():
        await room.clock.advance(10.0)
        assert room.said == ["fake:0: sensors do not answer: cold"]
        room.sensors.missing = []
        await room.clock.advance(2.0)
        room.sensors.missing = ["fake:0: sensors do not answer: cold"]
        await room.clock.advance(10.0)
        assert room.said == ["fake:0: sensors do not answer: cold"] * 2


async def test_what_drivers_tell_of_is_reported_each_time() -> None:
    room = Room({"fake:0": COOL})
    room.sensors.news = ["fake:0: the driver tells of Xid 31"]
    async with room.running():
        await room.clock.advance(2.0)
        assert room.said == ["fake:0: the driver tells of Xid 31"] * 2


async def test_a_bug_ends_the_loop_and_is_not_swallowed() -> None:
    room = Room({})

    def broken() -> dict[str, Reading]:
        raise ZeroDivisionError

    room.sensors.read = broken  # type: ignore[method-assign]
    with pytest.raises(ExceptionGroup) as caught:
        async with room.running():
            pass
    assert caught.group_contains(ZeroDivisionError)


async def test_it_reads_in_a_real_thread() -> None:
    sensors, told = FakeSensors({"fake:0": COOL}), asyncio.Event()
    events: list[Event] = []

    def emit(event: Event) -> None:
        events.append(event)
        told.set()

    with WorkPool("sensors", 1) as pool:
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            task = group.create_task(
                keep_reading(
                    sensors, pool.offload, FakeClock(), emit, HeatGuard({}),
                    hold=lambda device, reason: None, report=lambda text: None,
                )
            )  # fmt: skip
            await told.wait()
            task.cancel()
    assert events == [SensorsRead("fake:0", COOL)]

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace

import pytest

from miner.engine.engine import Engine
from miner.engine.hang_watchdog import LAUNCH_SECONDS, HangWatchdog
from miner.engine.threads import WorkPool, work_left
from miner.errors import DeviceError, DeviceHung
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceHanging,
    DeviceResting,
    Launched,
)
from tests.engine.rig import QUICK, Naps, Rig
from tests.fakes.device import LONG, WAIT, DeviceScript, Ticks, job_at


def test_the_watchdog_reports_an_overdue_call():
    clock = Ticks(100.0)
    watchdog = HangWatchdog(clock)
    assert watchdog.overdue() is None
    with watchdog.call("a launch", 30.0):
        clock.pass_time(30)
        assert watchdog.overdue() is None
        clock.pass_time(1)
        assert watchdog.overdue() == "a launch did not return within 31 s"
    assert watchdog.overdue() is None


async def mines_on(rig: Rig) -> None:
    """Wait until the second device has launched twenty times more; the run must not end."""
    before = len(rig.of(Launched, "fake:1"))
    await rig.until(lambda: len(rig.of(Launched, "fake:1")) > before + 20)
    assert not rig.ended.is_set()


async def hang(rig: Rig, engine: Engine) -> None:
    """Make the next launch of fake:0 exceed its limit."""
    script, others = rig.scripts[0], rig.scripts[1:]
    engine.work_on(job_at(variant=LONG))
    await rig.until(lambda: rig.of(Launched, "fake:0"))
    script.hang = threading.Event()
    hung = len(rig.of(Launched, "fake:0"))
    for number, other in enumerate(others, 1):
        name = f"fake:{number}"
        await rig.until(lambda n=name: rig.of(Launched, n))
        engine.pause(name, "test", "so that it is in no launch")
        await rig.until(lambda n=name, o=other: len(rig.of(Launched, n)) == len(o.launched))
    await rig.until_launched(script, lambda: len(script.launched) >= hung + 2)
    async with asyncio.timeout(WAIT):
        while not rig.of(DeviceHanging):  # its thread may not have started the launch yet
            rig.clock.pass_time(LAUNCH_SECONDS + 1)
            engine.check_for_hangs()
            await asyncio.sleep(0)
    for number in range(1, len(rig.scripts)):
        engine.resume(f"fake:{number}", "test")


async def ends(rig: Rig) -> None:
    async with asyncio.timeout(WAIT):
        await rig.ended.wait()


async def test_a_hung_launch_ends_the_run():
    rig = Rig(DeviceScript(), DeviceScript())

    async def scenario() -> None:
        async with rig.running() as engine:
            await hang(rig, engine)
            rig.scripts[0].hang.set()
            await ends(rig)

    with pytest.raises(DeviceHung, match=r"fake:0: a launch did not return within \d+ s"):
        await scenario()
    assert [e.device for e in rig.of(DeviceHanging)] == ["fake:0"]


async def test_a_hung_device_can_be_parked_while_others_continue():
    rig = Rig(DeviceScript(), DeviceScript())
    rig.park_hung = True

    async def scenario() -> None:
        async with rig.running() as engine:
            await hang(rig, engine)
            before = len(rig.of(Launched, "fake:1"))
            await rig.until(lambda: len(rig.of(Launched, "fake:1")) > before + 20)
            launches = len(rig.scripts[0].launched)
            rig.scripts[0].hang.set()  # the launch returns late; the device is not used again
            await rig.until(lambda: rig.scripts[0].closed == 1)
            assert len(rig.scripts[0].launched) <= launches
            assert not rig.ended.is_set()

    with pytest.raises(DeviceHung, match="fake:0"):
        await scenario()
    assert [e.device for e in rig.of(DeviceHanging)] == ["fake:0"]


async def test_a_parked_device_that_hangs_when_it_is_tried_again_costs_the_others_nothing():
    rig = Rig(DeviceScript(fail_generate=5), DeviceScript())
    rig.retry = replace(rig.retry, first_park=0.01, steady=1e9)

    async def scenario() -> None:
        async with rig.running() as engine:
            await hang(rig, engine)
            rig.scripts[0].hang.set()
            await mines_on(rig)

    with pytest.raises(DeviceHung, match=r"^fake:0: a launch did not return"):
        await scenario()
    assert rig.of(DeviceResting)[-1].parked


@pytest.mark.parametrize("error", [DeviceError("it failed"), ZeroDivisionError("a mistake")])
async def test_a_late_error_of_a_hung_device_does_not_affect_the_others(error: Exception):
    rig = Rig(DeviceScript(), DeviceScript())
    rig.park_hung = True

    async def scenario() -> None:
        async with rig.running() as engine:
            await hang(rig, engine)
            rig.scripts[0].failure = error
            rig.scripts[0].hang.set()
            await rig.until(lambda: rig.scripts[0].closed == 1)
            await mines_on(rig)

    with pytest.raises(DeviceHung, match=r"^fake:0: a launch did not return"):
        await scenario()
    assert not rig.of(DeviceResting), "it does not rest, it is given up"


async def test_a_run_ends_when_its_last_device_hangs():
    rig = Rig(DeviceScript())
    rig.park_hung = True

    async def scenario() -> None:
        async with rig.running() as engine:
            await hang(rig, engine)
            rig.scripts[0].hang.set()
            await ends(rig)

    with pytest.raises(DeviceHung, match="fake:0"):
        await scenario()


async def test_a_slow_dataset_is_not_a_hang():
    gate = threading.Semaphore(0)
    rig = Rig(DeviceScript(slice_gate=gate))
    async with rig.running(job_at()) as engine:
        for slices in range(3):
            # Two events come before the first slice, one after each.
            await rig.until(lambda n=slices: len(rig.of(DatasetBuilding)) == n + 2)
            rig.clock.pass_time(50.0)  # slow, but below the limit of a slice
            engine.check_for_hangs()
            gate.release()
        gate.release(100)
        await rig.until(lambda: rig.of(Launched))
    assert not rig.of(DeviceHanging)


@pytest.mark.parametrize(
    ("naps", "hung"),
    [
        ([1.0] * 31, 1),
        ([1.0, 3600.0, 1.0], 0),  # the process was suspended
        ([1.0, 3600.0, *[1.0] * 30], 1),
    ],
)
async def test_a_suspended_process_does_not_count_as_a_hang(naps: list[float], hung: int) -> None:
    rig = Rig(DeviceScript())
    clock = rig.clock = Naps(*naps)
    with WorkPool("build", 1) as builds:
        engine = rig.build(builds)
        with engine._workers["fake:0"].watchdog.call("a launch", LAUNCH_SECONDS):
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(engine.watch_for_hangs())
                await clock.over.wait()
                watch.cancel()
    assert len(rig.of(DeviceHanging)) == hung


async def test_a_stop_during_a_build_is_orderly_although_the_build_continues():
    script = DeviceScript(build_gate=threading.Event())
    rig = Rig(script, retry=replace(QUICK, stop=0.05))
    async with rig.running(job_at()) as engine:
        await rig.until_launched(script, lambda: script.building)
        engine.stop()
        await ends(rig)
        assert script.building, "the run did not wait for the compiler"
        assert work_left(), "nor does the end of the process"
        script.build_gate.set()
    assert not rig.of(DeviceHanging)

from __future__ import annotations

import asyncio
import threading

import pytest

from miner.engine.hang_watchdog import BUILDING_SECONDS
from miner.telemetry import DatasetBuilding, DevicePaused, JobTaken, Launched
from tests.engine.rig import Rig
from tests.fakes.device import WAIT, Orders, job_at


async def test_a_paused_device_rests_while_the_others_go_on_and_keeps_its_dataset():
    rig = Rig(Orders(), Orders())
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: rig.of(Launched, "fake:0") and rig.of(Launched, "fake:1"))
        engine.pause("fake:0", "api", "by request")
        await rig.until(
            lambda: len(rig.orders[0].launched) == len(rig.of(Launched, "fake:0")),
        )
        before = len(rig.orders[0].launched)
        others = len(rig.of(Launched, "fake:1"))
        await rig.until(lambda: len(rig.of(Launched, "fake:1")) > others + 20)
        assert len(rig.orders[0].launched) == before
        engine.resume("fake:0", "api")
        await rig.until(lambda: len(rig.of(Launched, "fake:0")) > before)
    assert rig.of(DevicePaused) == [
        DevicePaused("fake:0", "by request"),
        DevicePaused("fake:0", None),
    ]
    assert rig.orders[0].opened == 1
    assert [e.done for e in rig.of(DatasetBuilding, "fake:0")].count(1.0) == 1


async def test_it_goes_on_only_when_every_reason_is_gone():
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: rig.of(Launched))
        engine.pause("fake:0", "heat", "91 °C")
        engine.pause("fake:0", "api", "by request")
        engine.resume("fake:0", "heat")
        engine.resume("fake:0", "heat")
        assert rig.of(DevicePaused)[-1].reason == "by request"
        await rig.until(lambda: len(rig.orders[0].launched) == len(rig.of(Launched)))
        assert engine._workers["fake:0"]._slot.paused
        engine.resume("fake:0", "api")
        await rig.until(lambda: rig.of(DevicePaused)[-1].reason is None)
    assert [e.reason for e in rig.of(DevicePaused)] == [
        "91 °C",
        "91 °C; by request",
        "by request",
        None,
    ]


async def test_an_unknown_device_is_not_paused():
    rig = Rig(Orders())
    async with rig.running() as engine:
        for act in (engine.resume, lambda name, why: engine.pause(name, why, why)):
            with pytest.raises(KeyError):
                act("fake:7", "api")
    assert not rig.of(DevicePaused)


async def test_a_pause_holds_a_dataset_back_between_two_slices():
    gate = threading.Semaphore(1)
    rig = Rig(Orders(slice_gate=gate))
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until_launched(rig.orders[0], lambda: rig.orders[0].slices or gate.acquire(False))
        engine.pause("fake:0", "api", "by request")
        gate.release(100)
        engine.work_on(job_at(header=9))
        engine.resume("fake:0", "api")
        await rig.until(lambda: rig.of(Launched))
    assert [e.done for e in rig.of(DatasetBuilding)].count(1.0) == 1


async def test_a_stop_ends_a_paused_device():
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: rig.of(Launched))
        engine.pause("fake:0", "api", "by request")
    assert rig.orders[0].closed == 1


async def test_how_long_a_job_waited_for_its_first_launch_is_told_once():
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: len(rig.of(Launched)) > 3)
        assert len(rig.of(JobTaken)) == 1
        engine.work_on(job_at(header=2))
        await rig.until(lambda: len(rig.of(JobTaken)) == 2)
    assert all(0 <= e.seconds < 1 for e in rig.of(JobTaken))


async def test_launches_tell_the_shares_to_be_expected_of_them():
    rig = Rig(Orders())
    job = job_at()
    async with rig.running() as engine:
        engine.work_on(job)
        await rig.until(lambda: len(rig.of(Launched)) > 3)
    for launch in rig.of(Launched):
        assert launch.expected == pytest.approx(launch.tried * job.target / 2**256, rel=1e-9)


async def test_the_time_to_take_a_job_counts_neither_a_dataset_nor_a_pause():
    gate = threading.Semaphore(0)
    rig = Rig(Orders(slice_gate=gate))
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: rig.of(DatasetBuilding))
        rig.clock.seconds += 100.0
        gate.release(100)
        await rig.until(lambda: rig.of(JobTaken))
        engine.pause("fake:0", "api", "by request")
        await rig.until(lambda: len(rig.orders[0].launched) == len(rig.of(Launched)))
        engine.work_on(job_at(header=2))
        rig.clock.seconds += 100.0
        engine.resume("fake:0", "api")
        await rig.until(lambda: len(rig.of(JobTaken)) == 2)
    assert all(0 <= e.seconds < 10 for e in rig.of(JobTaken))


async def test_a_kernel_that_is_never_built_is_a_hang():
    gate = threading.Event()
    rig = Rig(Orders(build_gate=gate))
    async with rig.running() as engine:
        engine.work_on(job_at())
        await rig.until(lambda: [e for e in rig.of(DatasetBuilding) if e.done == 1])
        watchdog = engine._workers["fake:0"].watchdog
        async with asyncio.timeout(WAIT):
            while (overdue := watchdog.overdue()) is None:
                rig.clock.seconds += BUILDING_SECONDS + 1
                await asyncio.sleep(0)
        assert overdue.startswith("building a kernel did not come back within")
        gate.set()
        await rig.until(lambda: rig.of(Launched))

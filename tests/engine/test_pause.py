from __future__ import annotations

import asyncio
import threading

import pytest

from miner.engine.hang_watchdog import BUILDING_SECONDS
from miner.telemetry.events import DatasetBuilding, DevicePaused, JobTaken, Launched
from tests.engine.rig import Rig
from tests.fakes.device import WAIT, DeviceScript, job_at


async def test_a_paused_device_rests_and_keeps_its_dataset():
    rig = Rig(DeviceScript(), DeviceScript())
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: rig.of(Launched, "fake:0") and rig.of(Launched, "fake:1"))
        engine.pause("fake:0", "api", "by request")
        await rig.until(
            lambda: len(rig.scripts[0].launched) == len(rig.of(Launched, "fake:0")),
        )
        before = len(rig.scripts[0].launched)
        others = len(rig.of(Launched, "fake:1"))
        await rig.until(lambda: len(rig.of(Launched, "fake:1")) > others + 20)
        assert len(rig.scripts[0].launched) == before
        engine.resume("fake:0", "api")
        await rig.until(lambda: len(rig.of(Launched, "fake:0")) > before)
    assert rig.of(DevicePaused) == [
        DevicePaused("fake:0", "by request"),
        DevicePaused("fake:0", None),
    ]
    assert rig.scripts[0].opened == 1
    assert [e.done for e in rig.of(DatasetBuilding, "fake:0")].count(1.0) == 1


async def test_a_device_resumes_when_all_pauses_are_removed():
    rig = Rig(DeviceScript())
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: rig.of(Launched))
        engine.pause("fake:0", "heat", "91 °C")
        engine.pause("fake:0", "api", "by request")
        engine.resume("fake:0", "heat")
        engine.resume("fake:0", "heat")
        assert rig.of(DevicePaused)[-1].reason == "by request"
        await rig.until(lambda: len(rig.scripts[0].launched) == len(rig.of(Launched)))
        assert engine._workers["fake:0"]._slot.paused
        engine.resume("fake:0", "api")
        await rig.until(lambda: rig.of(DevicePaused)[-1].reason is None)
    assert [e.reason for e in rig.of(DevicePaused)] == [
        "91 °C",
        "91 °C; by request",
        "by request",
        None,
    ]


async def test_pausing_an_unknown_device_is_an_error():
    rig = Rig(DeviceScript())
    async with rig.running() as engine:
        for act in (engine.resume, lambda name, why: engine.pause(name, why, why)):
            with pytest.raises(KeyError):
                act("fake:7", "api")
    assert not rig.of(DevicePaused)


async def test_a_pause_interrupts_a_dataset_between_two_slices():
    gate = threading.Semaphore(1)
    rig = Rig(DeviceScript(slice_gate=gate))
    async with rig.running(job_at()) as engine:
        await rig.until_launched(
            rig.scripts[0], lambda: rig.scripts[0].slices or gate.acquire(False)
        )
        engine.pause("fake:0", "api", "by request")
        gate.release(100)
        engine.work_on(job_at(header=9))
        engine.resume("fake:0", "api")
        await rig.until(lambda: rig.of(Launched))
    assert [e.done for e in rig.of(DatasetBuilding)].count(1.0) == 1


async def test_a_stop_ends_a_paused_device():
    rig = Rig(DeviceScript())
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: rig.of(Launched))
        engine.pause("fake:0", "api", "by request")
    assert rig.scripts[0].closed == 1


async def test_the_delay_of_a_job_is_reported_once():
    rig = Rig(DeviceScript())
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: len(rig.of(Launched)) > 3)
        assert len(rig.of(JobTaken)) == 1
        engine.work_on(job_at(header=2))
        await rig.until(lambda: len(rig.of(JobTaken)) == 2)
    assert all(0 <= e.seconds < 1 for e in rig.of(JobTaken))


async def test_launches_report_their_expected_shares():
    rig = Rig(DeviceScript())
    job = job_at()
    async with rig.running(job):
        await rig.until(lambda: len(rig.of(Launched)) > 3)
    for launch in rig.of(Launched):
        assert launch.expected == pytest.approx(launch.tried * job.target / 2**256, rel=1e-9)


async def test_the_delay_of_a_job_excludes_datasets_and_pauses():
    gate = threading.Semaphore(0)
    rig = Rig(DeviceScript(slice_gate=gate))
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: rig.of(DatasetBuilding))
        rig.clock.pass_time(100.0)
        gate.release(100)
        await rig.until(lambda: rig.of(JobTaken))
        engine.pause("fake:0", "api", "by request")
        await rig.until(lambda: len(rig.scripts[0].launched) == len(rig.of(Launched)))
        engine.work_on(job_at(header=2))
        rig.clock.pass_time(100.0)
        engine.resume("fake:0", "api")
        await rig.until(lambda: len(rig.of(JobTaken)) == 2)
    assert all(0 <= e.seconds < 10 for e in rig.of(JobTaken))


async def test_a_build_that_does_not_end_is_a_hang():
    gate = threading.Event()
    rig = Rig(DeviceScript(build_gate=gate))
    async with rig.running(job_at()) as engine:
        await rig.until(lambda: [e for e in rig.of(DatasetBuilding) if e.done == 1])
        watchdog = engine._workers["fake:0"].watchdog
        async with asyncio.timeout(WAIT):
            while (overdue := watchdog.overdue()) is None:
                rig.clock.pass_time(BUILDING_SECONDS + 1)
                await asyncio.sleep(0)
        assert overdue.startswith("building a kernel did not return within")
        gate.set()
        await rig.until(lambda: rig.of(Launched))

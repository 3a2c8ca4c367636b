"""The datasets that a device keeps, and a pool that alternates between epochs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from miner.devices.tuning import Tuning
from miner.engine.dataset_files import DatasetFile
from miner.engine.datasets import HOLD_FACTOR, STABLE_FACTOR, UNUSED_SECONDS
from miner.engine.job_heights import FREE_INTERRUPTIONS, UNREPLACED_SECONDS
from miner.errors import OutOfMemory
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    EpochSkipped,
    KernelReady,
    Launched,
)
from miner.work import DeviceInfo, Job
from tests.engine.rig import Rig
from tests.fakes.device import TOY, DeviceScript, FakeDevice, FakeOpener, filled_device, job_at

SIZE = TOY.epoch(0).dataset_bytes
EACH = SIZE + TOY.epoch(0).light_bytes
"""Memory that generating one dataset takes."""

BUILD = 4000.0
"""Seconds in which the devices of `slow` generate a dataset."""


def of(number: int, header: int = 1) -> Job:
    """A job of epoch `number`."""
    return job_at(number * 7500, header=header)


def slow(**script) -> DeviceScript:
    return DeviceScript(slice_seconds=BUILD / 4, **script)


def built(rig: Rig) -> list[int]:
    """Return the epochs whose datasets were completed."""
    return [event.epoch for event in rig.of(DatasetBuilding) if event.done == 1]


async def mine(rig: Rig, job: Job) -> None:
    """Work on `job` until it was searched after now."""
    script = rig.scripts[0]
    count = len(script.launched)
    rig.engine.work_on(job)
    await rig.until_launched(
        script, lambda: any(launched == job for launched, _ in script.launched[count:])
    )


async def sit_out(rig: Rig, job: Job) -> None:
    """Work on `job` until the device skips it."""
    count = len(rig.of(EpochSkipped))
    rig.engine.work_on(job)
    await rig.until(lambda: len(rig.of(EpochSkipped)) > count)


async def test_a_job_of_a_kept_epoch_needs_no_dataset_and_no_kernel():
    rig = Rig(DeviceScript(spare=SIZE + EACH))
    async with rig.running():
        for header, number in enumerate((0, 1, 0, 1, 0, 1), 1):
            await mine(rig, of(number, header))
    assert built(rig) == [0, 1]
    assert len(rig.of(KernelReady)) == 2
    assert not rig.of(EpochSkipped)


@pytest.mark.parametrize("room", [{"spare": SIZE + EACH - 1}, {"spare": 99 * EACH, "room": SIZE}])
async def test_memory_for_one_dataset_keeps_one(room):
    """The driver reports no room, or has less than it reports; the device is not at fault."""
    rig = Rig(DeviceScript(**room))
    async with rig.running():
        for number in (0, 1, 2):
            await mine(rig, of(number))
    assert built(rig) == [0, 1, 2]
    assert rig.scripts[0].opened == 1
    assert not rig.of(DeviceFault)
    assert not rig.of(DeviceResting)
    assert not rig.of(EpochSkipped)


async def test_the_least_recently_used_dataset_is_dropped():
    rig = Rig(DeviceScript(spare=SIZE + EACH))
    async with rig.running():
        for header, number in enumerate((0, 1, 0, 2, 0, 1, 0), 1):
            await mine(rig, of(number, header))
    assert built(rig) == [0, 1, 2, 1]


async def test_a_user_may_limit_the_datasets():
    rig = Rig(DeviceScript(spare=99 * EACH))
    rig.tunings = {"fake:0": Tuning(datasets=2)}
    async with rig.running():
        for number in (0, 1, 2, 1, 0):
            await mine(rig, of(number, 9 + number))
    assert built(rig) == [0, 1, 2, 0]


async def test_ten_coins_on_one_port_are_built_once_each():
    rig = Rig(DeviceScript(spare=99 * EACH))
    async with rig.running():
        for header in (1, 2, 3):
            for number in range(10):
                await mine(rig, of(number, header))
    assert built(rig) == list(range(10))


async def test_an_allocation_that_fails_limits_what_is_kept():
    script = DeviceScript(spare=99 * EACH, room=3 * SIZE)
    rig = Rig(script)
    async with rig.running():
        for number in range(6):
            await mine(rig, of(number))
        script.room = 0  # not asked for a fourth again
        await mine(rig, of(4, header=2))
        await mine(rig, of(5, header=2))
    assert built(rig) == list(range(6))


class TightOpener(FakeOpener):
    """Opens devices with room for the dataset of epoch 1, but not for its light cache too."""

    def open(self, info: DeviceInfo) -> FakeDevice:
        device = super().open(info)
        generate = device.generate

        def tight(epoch, light, filler):
            steps = generate(epoch, light, filler)
            yield next(steps)
            if epoch.number == 1:
                raise OutOfMemory("there is no room for the light cache")
            yield from steps

        device.generate = tight
        return device


async def test_a_dataset_that_could_not_be_generated_takes_no_memory():
    rig = Rig(DeviceScript(room=SIZE))
    rig.opener = TightOpener
    async with rig.running():
        await sit_out(rig, of(1))
        await mine(rig, of(0))
    assert built(rig) == [0]
    assert [event.epoch for event in rig.of(EpochSkipped)] == [1] * len(rig.of(EpochSkipped))


async def test_a_search_without_memory_drops_the_other_datasets():
    script = DeviceScript(spare=99 * EACH, full=2)
    rig = Rig(script)
    async with rig.running():
        for number in range(4):
            await mine(rig, of(number))
        await rig.until(lambda: len(rig.of(Launched)) > 10)
    assert script.opened == 1
    assert not rig.of(DeviceFault)


async def test_a_dataset_unused_for_an_hour_is_dropped():
    script = DeviceScript(spare=99 * EACH)
    rig = Rig(script)
    async with rig.running():
        for number in (0, 1):
            await mine(rig, of(number))
        rig.clock.pass_time(UNUSED_SECONDS + 1)
        await mine(rig, of(2))
        await mine(rig, of(2, header=2))
        await mine(rig, of(0, header=2))
    assert built(rig) == [0, 1, 2, 0]


async def test_a_dataset_that_was_used_for_hours_is_kept():
    rig = Rig(DeviceScript(spare=99 * EACH))
    async with rig.running():
        await mine(rig, of(0))
        rig.clock.pass_time(2 * UNUSED_SECONDS)
        await mine(rig, of(1))
        await mine(rig, of(0, header=2))
        rig.clock.pass_time(2 * UNUSED_SECONDS)
        await mine(rig, of(0, header=3))
    assert built(rig) == [0, 1]


async def test_one_return_to_a_dropped_dataset_is_not_delayed():
    """As after a short failover to a pool of another coin."""
    rig = Rig(slow())
    async with rig.running():
        for number in (0, 1, 0):
            await mine(rig, of(number))
    assert built(rig) == [0, 1, 0]
    assert not rig.of(EpochSkipped)


async def alternating(rig: Rig) -> None:
    """Alternate between the epochs 0 and 1 until the device sits one out."""
    for header, number in enumerate((0, 1, 0), 1):
        await mine(rig, of(number, header))
    await sit_out(rig, of(1, header=4))


async def test_a_pool_that_alternates_does_not_keep_the_device_building():
    rig = Rig(slow())
    async with rig.running():
        await alternating(rig)
        for header in range(5, 10):
            await mine(rig, of(0, header))
            await sit_out(rig, of(1, header))
    assert built(rig) == [0, 1, 0]
    first, *later = rig.of(EpochSkipped)
    assert first.reason == (
        "the pool alternates between epochs 0 and 1; the device's memory holds one dataset (DAG), "
        f"which took {BUILD:.0f} s to build, and is filled again after "
        f"{HOLD_FACTOR * BUILD:.0f} s of use"
    )
    assert [first.known, *(event.known for event in later)] == [False, *[True] * len(later)]
    assert not rig.of(DeviceFault)


async def test_the_other_dataset_is_built_once_the_present_one_was_held():
    rig = Rig(slow())
    async with rig.running():
        await alternating(rig)
        rig.clock.pass_time(HOLD_FACTOR * BUILD)
        await mine(rig, of(1, header=5))
        await sit_out(rig, of(0, header=5))
    assert built(rig) == [0, 1, 0, 1]


async def test_an_epoch_that_changes_after_a_long_time_does_not_alternate():
    rig = Rig(slow())
    async with rig.running():
        for number in (0, 1, 0, 1, 0, 1):
            rig.clock.pass_time(STABLE_FACTOR * BUILD)
            await mine(rig, of(number))
    assert built(rig) == [0, 1, 0, 1, 0, 1]
    assert not rig.of(EpochSkipped)


async def test_a_dataset_is_completed_while_the_pool_alternates():
    """Otherwise each job would interrupt the dataset of the one before."""
    script = slow(slice_gate=threading.Semaphore(0))
    rig = Rig(script)
    async with rig.running() as engine:
        for number in (0, 1, 0):
            count = len(rig.of(DatasetBuilding))
            engine.work_on(of(number))
            await rig.until(
                lambda n=count, epoch=number: any(
                    event.epoch == epoch for event in rig.of(DatasetBuilding)[n:]
                )
            )
            script.slice_gate.release(1)
        engine.work_on(of(1, header=2))
        script.slice_gate.release(100)
        await rig.until(lambda: built(rig))
        assert built(rig) == [0]
        await mine(rig, of(0, header=3))


async def a_new_epoch_with_each_job(rig: Rig) -> int:
    """Interrupt one dataset after another by a job of the next epoch until the device skips one;
    return that epoch."""
    script = rig.scripts[0]
    script.slice_gate = threading.Semaphore(0)
    for number in range(FREE_INTERRUPTIONS):
        rig.engine.work_on(of(number))
        script.slice_gate.release()  # the interrupted one notices
        await rig.until(lambda n=number: n in {event.epoch for event in rig.of(DatasetBuilding)})
    rig.engine.work_on(of(FREE_INTERRUPTIONS))
    script.slice_gate.release()
    await rig.until(lambda: rig.of(EpochSkipped))
    script.slice_gate.release(10_000)
    return FREE_INTERRUPTIONS


async def test_a_pool_that_names_a_new_epoch_with_each_job_costs_no_more_datasets():
    rig = Rig(slow())
    async with rig.running():
        skipped = await a_new_epoch_with_each_job(rig)
        slices = rig.scripts[0].slices
        for number in range(skipped + 1, skipped + 9):
            await sit_out(rig, of(number))
        assert rig.scripts[0].slices == slices, "nothing was generated meanwhile"
        assert built(rig) == []
    first, *later = rig.of(EpochSkipped)
    assert first.reason == (
        "the pool named other epochs before any of the last 3 datasets (DAGs) was complete; a new "
        "one is built once a second job confirms its epoch, or after 30 s; check the pool"
    )
    assert [first.known, *(event.known for event in later)] == [False, *[True] * 8]
    assert not rig.of(DeviceFault)


async def test_a_second_job_of_the_epoch_ends_the_wait_for_it():
    rig = Rig(slow())
    async with rig.running():
        skipped = await a_new_epoch_with_each_job(rig)
        await mine(rig, of(skipped, header=2))
        await mine(rig, of(skipped + 1))
    assert built(rig) == [skipped, skipped + 1], "a complete dataset ends the suspicion"
    assert len(rig.of(EpochSkipped)) == 1


async def test_an_epoch_that_lasts_is_built_after_a_while():
    rig = Rig(slow())
    async with rig.running():
        skipped = await a_new_epoch_with_each_job(rig)
        rig.clock.pass_time(UNREPLACED_SECONDS)
        await mine(rig, of(skipped))
    assert built(rig) == [skipped]


async def test_a_stop_ends_the_wait_for_another_epoch():
    rig = Rig(slow())
    async with rig.running():
        await alternating(rig)


async def test_a_stored_dataset_is_read_instead_of_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    slices, from_disk = [], []
    for _ in range(2):
        rig = Rig(DeviceScript())
        rig.tunings["fake:0"] = Tuning(datasets_on_disk=True)
        async with rig.running():
            await mine(rig, of(0))
        assert built(rig) == [0]
        assert not rig.of(DeviceFault)
        slices.append(rig.scripts[0].slices)
        from_disk.append(rig.of(DatasetBuilding)[-1].from_disk)
    assert slices == [4, 0]
    assert from_disk == [False, True]


async def test_a_stored_dataset_with_other_nodes_is_deleted_and_generated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Its checksum is right: it was stored by a device that changed it before."""
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
    epoch = TOY.epoch(0)
    wrong = filled_device(epoch)
    wrong.write_nodes(0, np.zeros((epoch.nodes, 16), np.uint32))
    DatasetFile(epoch).store(wrong, lambda: False)
    rig = Rig(DeviceScript())
    rig.tunings["fake:0"] = Tuning(datasets_on_disk=True)
    async with rig.running():
        await mine(rig, of(0))
    assert len(rig.of(DeviceFault)) == 1
    assert rig.scripts[0].slices == 4

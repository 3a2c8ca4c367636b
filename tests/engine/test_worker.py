from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from miner.engine.retry_policy import CandidateRecord, RetryPolicy
from miner.errors import DeviceError, NoUsableDevice, OutOfMemory
from miner.progpow.variant import Span
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    EpochSkipped,
    KernelReady,
    Launched,
    LightCacheBuilding,
)
from miner.verify import Interrupted
from tests.engine.rig import QUICK, Rig
from tests.fakes.device import TOY, WAIT, DeviceScript, FakeProver, job_at


async def test_a_device_generates_proves_loads_then_searches():
    rig = Rig(DeviceScript())
    async with rig.running(job_at(30)):
        await rig.until(lambda: rig.of(Launched))
    shares = [e.done for e in rig.of(DatasetBuilding)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares.count(1.0) == 1
    assert rig.of(KernelReady)[0].period == 10
    assert rig.scripts[0].closed == rig.scripts[0].opened == 1


async def test_the_next_period_is_built_before_its_job_comes():
    rig = Rig(DeviceScript())
    async with rig.running(job_at(0)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].built) == 2)
        engine.work_on(job_at(3))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
    assert rig.scripts[0].built[:2] == ["period 0 epoch 0", "period 1 epoch 0"]
    assert rig.scripts[0].built.count("period 1 epoch 0") == 1


@pytest.mark.parametrize(
    ("variant", "heights", "built"),
    [
        (TOY, (7499, 7500), "period 2500 epoch 1"),
        (replace(TOY, period=10, spans=(Span(0, 25),)), (20, 25), "period 2 epoch 1"),
    ],
)
async def test_the_next_epochs_program_is_built_at_an_epoch_boundary(variant, heights, built):
    rig = Rig(DeviceScript())
    async with rig.running(job_at(heights[0], variant=variant)) as engine:
        await rig.until_launched(rig.scripts[0], lambda: len(rig.scripts[0].built) == 2)
        assert rig.scripts[0].built[1] == built
        engine.work_on(job_at(heights[1], variant=variant))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
        await rig.until(lambda: any(s.job.epoch.number == 1 for s in rig.solutions))
    assert rig.scripts[0].built.count(built) == 1
    assert not rig.of(DeviceFault)


async def test_a_job_of_another_epoch_interrupts_a_dataset():
    script = DeviceScript(slice_gate=threading.Semaphore(1))
    rig = Rig(script)
    async with rig.running(job_at(0)) as engine:
        await rig.until(lambda: any(e.done == 0.25 for e in rig.of(DatasetBuilding)))
        engine.work_on(job_at(7500))
        script.slice_gate.release(100)
        await rig.until(lambda: rig.of(Launched))
    assert script.slices <= 6
    assert {e.epoch for e in rig.of(DatasetBuilding) if e.done == 1} == {1}


async def test_a_job_of_another_epoch_interrupts_a_light_cache():
    asked = threading.Event()
    rig = Rig(DeviceScript())

    class SlowProver(FakeProver):
        def light_cache(self, epoch, watcher=None):
            if epoch.number:
                return super().light_cache(epoch)
            asked.set()
            while not watcher.should_stop():
                assert not threading.Event().wait(0.001)
            raise Interrupted

    rig.prover = SlowProver()
    async with rig.running(job_at(0)) as engine:
        await rig.until_launched(rig.scripts[0], asked.is_set)
        engine.work_on(job_at(7500))
        await rig.until(lambda: rig.of(Launched))


async def test_a_dataset_is_completed_after_the_pool_was_lost():
    script = DeviceScript(slice_gate=threading.Semaphore(2))
    rig = Rig(script)
    async with rig.running(job_at(0)) as engine:
        await rig.until(lambda: len(rig.of(DatasetBuilding)) >= 3)
        engine.work_on(None)
        script.slice_gate.release(100)
        await rig.until(lambda: any(e.done == 1 for e in rig.of(DatasetBuilding)))
        engine.work_on(job_at(1))
        await rig.until(lambda: rig.of(Launched))
    assert script.slices == 4


async def test_a_device_gets_ready_for_the_next_epoch_while_another_algorithm_makes_the_block():
    rig = Rig(DeviceScript())
    last = job_at(7499)
    waiting = replace(last, other_algorithm="randomx", epoch=last.variant.epoch_at(7500))
    async with rig.running(job_at(7498)) as engine:
        await rig.until(lambda: rig.of(Launched))
        engine.work_on(waiting)
        await rig.until(lambda: any(e.epoch == 1 and e.done == 1 for e in rig.of(DatasetBuilding)))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
        engine.work_on(replace(waiting, header_hash=bytes(31) + b"\1"))
        engine.work_on(job_at(7500))
        await rig.until(lambda: any(found.job.height == 7500 for found in rig.solutions))
    assert 7499 not in {found.job.height for found in rig.solutions}
    assert [e.epoch for e in rig.of(DatasetBuilding) if e.done == 1] == [0, 1]


async def test_repaired_nodes_are_reported():
    rig = Rig(DeviceScript(corrupt={0, 1}))
    async with rig.running(job_at(0)):
        await rig.until(lambda: rig.of(Launched))
    assert "2 wrong nodes" in rig.of(DeviceFault)[0].reason


async def test_the_program_of_a_wrong_dataset_is_built_again():
    """A wrong program kept in a cache would fail after every restart."""
    rig = Rig(DeviceScript(corrupt={0}, unrepairable=True))
    async with rig.running(job_at(0)):
        await rig.until(lambda: len(rig.scripts[0].discarded) == 2)
    assert {image.source.entry for image in rig.scripts[0].discarded} == {"dataset"}
    assert len(rig.scripts[0].fillers) >= 2


async def test_equal_devices_share_the_dataset_program():
    rig = Rig(*(DeviceScript(shares_images=True) for _ in range(3)))
    async with rig.running(job_at(0)):
        await rig.until(lambda: len({e.device for e in rig.of(Launched)}) == 3)
    assert sum(len(script.fillers) for script in rig.scripts) == 1


async def test_a_wrong_kernel_is_built_again():
    rig = Rig(DeviceScript(wrong_kernels=1))
    async with rig.running(job_at(0)):
        await rig.until(lambda: rig.of(Launched))
    assert rig.scripts[0].built[:2] == ["period 0 epoch 0"] * 2
    assert [image.wrong for image in rig.scripts[0].discarded] == [True]
    assert len(rig.of(DeviceFault)) == 1


async def test_a_device_rests_for_the_period_of_a_kernel_that_stays_wrong():
    rig = Rig(DeviceScript(wrong_kernels=2))
    async with rig.running(job_at(0)) as engine:
        await rig.until(lambda: rig.of(DeviceResting))
        assert "period 0 is wrong" in rig.of(DeviceResting)[0].reason
        assert not rig.scripts[0].launched
        engine.work_on(job_at(3))
        await rig.until(lambda: rig.of(Launched))
    assert rig.scripts[0].opened == 1


async def test_a_device_is_reopened_after_wrong_kernels_in_two_periods():
    rig = Rig(DeviceScript(wrong_kernels=4))
    async with rig.running(job_at(0)) as engine:
        await rig.until(lambda: rig.of(DeviceResting))
        engine.work_on(job_at(3))
        await rig.until(lambda: rig.of(Launched))
    assert rig.scripts[0].opened == rig.scripts[0].closed == 2
    assert [e.done for e in rig.of(DatasetBuilding)].count(1.0) == 2
    assert "period 1 is wrong" in rig.of(DeviceResting)[-1].reason
    assert "period 0" in rig.of(DeviceResting)[0].reason


@pytest.mark.parametrize(
    "script",
    [
        DeviceScript(fail_open=2),
        DeviceScript(fail_generate=2),
        DeviceScript(fail_launch=4),
        DeviceScript(fail_build=4),
    ],
    ids=["open", "generate", "launch", "build"],
)
async def test_a_failing_device_is_reopened(script):
    rig = Rig(script)
    async with rig.running(job_at(0)):
        await rig.until(lambda: len(rig.of(Launched)) > 3)
    rests = [e.seconds for e in rig.of(DeviceResting)]
    assert rests[:2] == [0.001, 0.002]
    assert script.closed == script.opened


async def test_a_device_is_parked_after_five_failures_in_a_row():
    rig = Rig(DeviceScript(fail_generate=99), DeviceScript())
    async with rig.running(job_at(0)):
        await rig.until(lambda: any(e.parked for e in rig.of(DeviceResting)))
        count = len(rig.of(Launched, "fake:1"))
        await rig.until(lambda: len(rig.of(Launched, "fake:1")) > count + 3)
    assert len(rig.of(DeviceFault, "fake:0")) == 5
    assert not rig.of(DeviceFault, "fake:1")


async def test_a_parked_device_is_tried_again_while_others_mine():
    rig = Rig(DeviceScript(fail_generate=7), DeviceScript())
    rig.retry = replace(rig.retry, first_park=0.01, longest_park=0.02)
    async with rig.running(job_at(0)):
        await rig.until(lambda: rig.of(Launched, "fake:0"))
    assert [e.seconds for e in rig.of(DeviceResting) if e.parked] == [0.01, 0.02, 0.02]


async def test_a_parked_device_that_is_tried_again_keeps_the_run_alive():
    tried_again, other = DeviceScript(fail_generate=5), DeviceScript()
    tried_again.slice_gate = threading.Semaphore(0)
    rig = Rig(tried_again, other)
    rig.retry = replace(rig.retry, first_park=0.01)
    async with rig.running(job_at(0)):
        await rig.until(lambda: len(rig.of(DatasetBuilding, "fake:0")) > 5)
        other.failure = DeviceError("fake:1: the launch failed")
        await rig.until(lambda: any(e.parked for e in rig.of(DeviceResting, "fake:1")))
        tried_again.slice_gate.release(4)
        await rig.until(lambda: rig.of(Launched, "fake:0"))


def test_the_pause_of_a_parked_device_stays_bounded_for_months():
    assert RetryPolicy().pause_after(5000) == RetryPolicy().longest_park


async def test_the_run_ends_when_all_devices_are_parked():
    rig = Rig(DeviceScript(fail_generate=99), DeviceScript(fail_open=99))
    with pytest.raises(NoUsableDevice, match=r"dataset cannot be made.*cannot be opened"):
        await rig.runs_out(job_at())
    assert [e.parked for e in rig.of(DeviceResting)].count(True) == 2


async def test_a_stop_ends_the_pause_after_a_failure():
    rig = Rig(DeviceScript(fail_open=1))
    rig.retry = replace(rig.retry, first_pause=WAIT * 10, longest_pause=WAIT * 10)
    async with rig.running():
        await rig.until(lambda: rig.of(DeviceResting))


async def test_a_stop_ends_the_wait_for_a_build():
    script = DeviceScript(build_gate=threading.Event())
    rig = Rig(script)
    async with rig.running(job_at(0)) as engine:
        await rig.until(lambda: any(e.done == 1 for e in rig.of(DatasetBuilding)))
        engine.stop()
        script.build_gate.set()
    assert script.closed == 1


def far(job, light_items, dataset_items):
    """The job with an epoch of this size."""
    epoch = replace(job.epoch, number=9, light_items=light_items, dataset_items=dataset_items)
    return replace(job, epoch=epoch)


@pytest.mark.parametrize(
    ("light_items", "dataset_items", "reason"),
    [
        (509, 2**30 // 128, "the device has 1.00 GiB; mine another coin"),
        (2**24 + 1, 1021, "larger than that of any real coin"),
    ],
    ids=["dataset larger than the card", "height of a far future"],
)
async def test_a_job_that_fits_nowhere_is_skipped_before_it_costs_anything(
    light_items, dataset_items, reason
):
    rig = Rig(DeviceScript())
    script, good = rig.scripts[0], job_at()
    async with rig.running(good) as engine:
        await rig.until(lambda: rig.of(Launched))
        for number in range(2 * rig.retry.max_failures):
            engine.work_on(far(good, light_items, dataset_items))
            await rig.until(lambda n=number: len(rig.of(EpochSkipped)) == n + 1)
            before = len(rig.of(Launched))
            engine.work_on(good)
            await rig.until(lambda n=before: len(rig.of(Launched)) > n)
    skipped = rig.of(EpochSkipped)
    assert all(reason in event.reason and event.epoch == 9 for event in skipped)
    assert (script.opened, script.slices) == (1, 4), "neither reopened nor filled again"
    assert not rig.of(DeviceResting)
    assert not rig.of(DeviceFault)
    assert not [e for e in rig.of(LightCacheBuilding) if e.epoch == 9]


async def test_a_dataset_without_room_beside_other_programs_is_tried_again():
    script = DeviceScript(no_memory=3 * QUICK.max_failures)
    rig = Rig(script)
    async with rig.running(job_at()):
        await rig.until(lambda: rig.of(Launched))
    assert len(rig.of(EpochSkipped)) == 3 * QUICK.max_failures
    assert script.opened == 1
    assert not rig.of(DeviceResting)


async def test_a_light_cache_without_room_on_the_host_skips_the_epoch():
    class FullHost(FakeProver):
        def light_cache(self, epoch, watcher=None):
            if epoch.number:
                raise OutOfMemory("the light cache needs 5 bytes, 4 are free")
            return super().light_cache(epoch)

    rig = Rig(DeviceScript())
    rig.prover = FullHost()
    async with rig.running(job_at(7500)) as engine:
        await rig.until(lambda: rig.of(EpochSkipped))
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(Launched))
    assert rig.of(EpochSkipped)[0].reason == "the light cache needs 5 bytes, 4 are free"
    assert not rig.of(DeviceFault)


def test_wrong_candidates_from_before_a_reopening_do_not_count():
    record = CandidateRecord(RetryPolicy(max_wrong=2, judged=4))
    record.restart(10.0)
    for found_at in (9.0, 9.5, 10.0):
        record.judge(False, found_at)
    assert record.distrust is None
    for found_at in (10.5, 11.0):
        record.judge(False, found_at)
    assert record.distrust == "2 of its last 2 candidates were wrong"

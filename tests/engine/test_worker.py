from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from miner.errors import DeviceHung, NoUsableDevice
from miner.progpow.variant import Span
from miner.telemetry import DatasetBuilding, DeviceFault, DeviceResting, KernelReady, Launched
from miner.verify import Interrupted
from tests.engine.rig import Rig
from tests.fakes.device import TOY, WAIT, FakeProver, Orders, job_at


async def test_it_generates_proves_loads_then_searches():
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at(30))
        await rig.until(lambda: rig.of(Launched))
    shares = [e.done for e in rig.of(DatasetBuilding)]
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares.count(1.0) == 1
    assert rig.of(KernelReady)[0].period == 10
    assert rig.orders[0].closed == rig.orders[0].opened == 1


async def test_the_next_period_is_built_before_its_job_comes():
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until_launched(rig.orders[0], lambda: len(rig.orders[0].built) == 2)
        engine.work_on(job_at(3))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
    assert rig.orders[0].built[:2] == ["period 0 epoch 0", "period 1 epoch 0"]
    assert rig.orders[0].built.count("period 1 epoch 0") == 1


@pytest.mark.parametrize(
    ("variant", "heights", "built"),
    [
        (TOY, (7499, 7500), "period 2500 epoch 1"),
        (replace(TOY, period=10, spans=(Span(0, 25),)), (20, 25), "period 2 epoch 1"),
    ],
)
async def test_at_an_epoch_boundary_the_next_epochs_program_is_built(variant, heights, built):
    rig = Rig(Orders())
    async with rig.running() as engine:
        engine.work_on(job_at(heights[0], variant=variant))
        await rig.until_launched(rig.orders[0], lambda: len(rig.orders[0].built) == 2)
        assert rig.orders[0].built[1] == built
        engine.work_on(job_at(heights[1], variant=variant))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
        await rig.until(lambda: any(s.job.epoch.number == 1 for s in rig.solutions))
    assert rig.orders[0].built.count(built) == 1
    assert not rig.of(DeviceFault)


async def test_a_job_of_another_epoch_ends_a_dataset_between_slices():
    orders = Orders(slice_gate=threading.Semaphore(1))
    rig = Rig(orders)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: any(e.done == 0.25 for e in rig.of(DatasetBuilding)))
        engine.work_on(job_at(7500))
        orders.slice_gate.release(100)
        await rig.until(lambda: rig.of(Launched))
    assert orders.slices <= 6
    assert {e.epoch for e in rig.of(DatasetBuilding) if e.done == 1} == {1}


async def test_a_light_cache_in_the_making_is_interrupted():
    asked = threading.Event()
    rig = Rig(Orders())

    class SlowProver(FakeProver):
        def light_cache(self, epoch, watcher=None):
            if epoch.number:
                return super().light_cache(epoch)
            asked.set()
            while not watcher.should_stop():
                assert not threading.Event().wait(0.001)
            raise Interrupted

    rig.prover = SlowProver()
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until_launched(rig.orders[0], asked.is_set)
        engine.work_on(job_at(7500))
        await rig.until(lambda: rig.of(Launched))


async def test_losing_the_pool_does_not_lose_the_dataset():
    orders = Orders(slice_gate=threading.Semaphore(2))
    rig = Rig(orders)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: len(rig.of(DatasetBuilding)) >= 3)
        engine.work_on(None)
        orders.slice_gate.release(100)
        await rig.until(lambda: any(e.done == 1 for e in rig.of(DatasetBuilding)))
        engine.work_on(job_at(1))
        await rig.until(lambda: rig.of(Launched))
    assert orders.slices == 4


async def test_repaired_nodes_are_told():
    rig = Rig(Orders(corrupt={0, 1}))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(Launched))
    assert "2 wrong nodes" in rig.of(DeviceFault)[0].reason


async def test_a_dataset_that_stays_wrong_has_its_program_built_anew():
    """What was compiled wrongly, and is kept, would be wrong after each start."""
    rig = Rig(Orders(corrupt={0}, unrepairable=True))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: len(rig.orders[0].discarded) == 2)
    assert {image.source.entry for image in rig.orders[0].discarded} == {"dataset"}
    assert len(rig.orders[0].fillers) >= 2


async def test_what_fills_a_dataset_is_built_once_for_all_that_are_alike():
    rig = Rig(*(Orders(shares_images=True) for _ in range(3)))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: len({e.device for e in rig.of(Launched)}) == 3)
    assert sum(len(orders.fillers) for orders in rig.orders) == 1


async def test_a_kernel_that_is_wrong_once_is_built_again():
    rig = Rig(Orders(wrong_kernels=1))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(Launched))
    assert rig.orders[0].built[:2] == ["period 0 epoch 0"] * 2
    assert [image.wrong for image in rig.orders[0].discarded] == [True]
    assert len(rig.of(DeviceFault)) == 1


async def test_a_kernel_that_stays_wrong_has_the_device_rest_for_its_period():
    rig = Rig(Orders(wrong_kernels=2))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(DeviceResting))
        assert "period 0 is wrong" in rig.of(DeviceResting)[0].reason
        assert not rig.orders[0].launched
        engine.work_on(job_at(3))
        await rig.until(lambda: rig.of(Launched))
    assert rig.orders[0].opened == 1


async def test_kernels_wrong_in_two_periods_have_the_device_reopened_and_its_dataset_made_anew():
    rig = Rig(Orders(wrong_kernels=4))
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(DeviceResting))
        engine.work_on(job_at(3))
        await rig.until(lambda: rig.of(Launched))
    assert rig.orders[0].opened == rig.orders[0].closed == 2
    assert [e.done for e in rig.of(DatasetBuilding)].count(1.0) == 2
    assert "period 1 is wrong" in rig.of(DeviceResting)[-1].reason
    assert "period 0" in rig.of(DeviceResting)[0].reason


@pytest.mark.parametrize(
    "orders",
    [Orders(fail_open=2), Orders(fail_generate=2), Orders(fail_launch=4), Orders(fail_build=4)],
    ids=["open", "generate", "launch", "build"],
)
async def test_a_failing_device_is_reopened_and_goes_on(orders):
    rig = Rig(orders)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: len(rig.of(Launched)) > 3)
    rests = [e.seconds for e in rig.of(DeviceResting)]
    assert rests[:2] == [0.001, 0.002]
    assert orders.closed == orders.opened


async def test_five_failures_in_a_row_park_one_device_while_the_others_go_on():
    rig = Rig(Orders(fail_generate=99), Orders())
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: any(e.seconds is None for e in rig.of(DeviceResting)))
        count = len(rig.of(Launched, "fake:1"))
        await rig.until(lambda: len(rig.of(Launched, "fake:1")) > count + 3)
    assert len(rig.of(DeviceFault, "fake:0")) == 5
    assert not rig.of(DeviceFault, "fake:1")


async def test_all_devices_parked_ends_the_run_with_the_reasons():
    rig = Rig(Orders(fail_generate=99), Orders(fail_open=99))
    with pytest.raises(NoUsableDevice, match=r"dataset cannot be made.*cannot be opened"):
        await rig.runs_out(job_at())
    assert [e.seconds for e in rig.of(DeviceResting)].count(None) == 2


async def test_a_driver_that_reports_a_hang_ends_the_run_and_is_not_touched_again():
    rig = Rig(Orders(hang_reported=True), Orders())
    with pytest.raises(DeviceHung, match="does not answer"):
        await rig.runs_out(job_at())
    assert (rig.orders[0].opened, rig.orders[0].closed) == (1, 0)
    assert rig.orders[1].closed == 1


async def test_a_stop_during_the_back_off_is_heard():
    rig = Rig(Orders(fail_open=1))
    rig.retry = replace(rig.retry, first_pause=WAIT * 10, longest_pause=WAIT * 10)
    async with rig.running():
        await rig.until(lambda: rig.of(DeviceResting))


async def test_a_stop_during_a_build_is_heard():
    orders = Orders(build_gate=threading.Event())
    rig = Rig(orders)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: any(e.done == 1 for e in rig.of(DatasetBuilding)))
        engine.stop()
        orders.build_gate.set()
    assert orders.closed == 1

"""Kernels that are built, loaded and proved before the job of their period comes."""

from __future__ import annotations

import asyncio
import threading

import pytest

from miner.engine.kernels import KEPT_KERNELS
from miner.errors import DeviceError
from miner.telemetry.events import DeviceFault, DeviceResting, KernelReady, Launched
from tests.engine.rig import Rig
from tests.engine.test_datasets import mine
from tests.fakes.device import WAIT, DeviceScript, FakeDevice, FakeProver, job_at

EVERY = 2**256 - 1
"""The target of the launches that prove a kernel."""


class CountingProver(FakeProver):
    """Counts the hashes for proofs of kernels."""

    def __init__(self) -> None:
        self.digests: list[tuple[int, int]] = []
        self._lock = threading.Lock()

    def digest(self, job, nonce):
        if job.target == EVERY:
            with self._lock:
                self.digests.append((job.period, nonce))
        return super().digest(job, nonce)


def proofs(rig: Rig, period: int, device: int = 0) -> int:
    return sum(job.period == period for job in rig.scripts[device].proofs)


async def until_proved(rig: Rig, period: int) -> None:
    """Wait until every device has launched the proof of a period, and a search after it."""
    for script in rig.scripts:
        await rig.until_launched(
            script, lambda s=script: sum(job.period == period for job in s.proofs) >= 2
        )
        count = len(script.launched)
        await rig.until_launched(script, lambda s=script, n=count: len(s.launched) > n + 2)


async def test_a_device_does_not_idle_when_the_period_changes():
    rig = Rig(DeviceScript())
    script = rig.scripts[0]
    async with rig.running():
        await mine(rig, job_at(0))
        idle = script.idle
        for period in range(1, 6):
            await until_proved(rig, period)
            await mine(rig, job_at(3 * period))
        assert script.idle == idle
    assert [event.seconds for event in rig.of(KernelReady)][1:] == [0.0] * 5
    assert all(proofs(rig, period) == 2 for period in range(6))
    assert not rig.of(DeviceFault)


async def test_the_next_kernel_waits_until_a_launch_of_the_present_one_has_ended():
    gate = threading.Semaphore(0)
    script = DeviceScript(gate=gate)
    rig = Rig(script)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until_launched(script, lambda: len(script.launched) == 2)
        builds = engine._programs.builds
        await asyncio.to_thread(builds.submit(lambda: None).result, WAIT)  # after all before it
        before = len(script.built)
        gate.release()
        await rig.until_launched(script, lambda: len(script.launched) == 3)
        await asyncio.to_thread(builds.submit(lambda: None).result, WAIT)
        assert len(script.built) == before + 1


async def test_equal_devices_share_the_hashes_of_a_proof():
    rig = Rig(*(DeviceScript(shares_images=True) for _ in range(4)))
    rig.prover = prover = CountingProver()
    async with rig.running() as engine:
        for period in range(4):
            engine.work_on(job_at(3 * period))
            await rig.until(
                lambda p=period: len([e for e in rig.of(KernelReady) if e.period == p]) == 4
            )
            await until_proved(rig, period + 1)
    assert all(proofs(rig, p, device) == 2 for p in range(4) for device in range(4))
    assert len(prover.digests) == len(set(prover.digests)) == 4 * 5


async def test_a_failed_proof_is_reported_even_if_its_kernel_cannot_be_unloaded(monkeypatch):
    script = DeviceScript()
    launch = FakeDevice.launch

    def fails_ahead(device, kernel, job, span):
        if job.target == EVERY and script.launched:
            monkeypatch.undo()
            monkeypatch.setattr(FakeDevice, "unload", fails_after)
            raise DeviceError("the card is lost")
        return launch(device, kernel, job, span)

    def fails_after(device, kernel):
        raise DeviceError("it failed before")

    monkeypatch.setattr(FakeDevice, "launch", fails_ahead)
    rig = Rig(script)
    async with rig.running() as engine:
        engine.work_on(job_at(0))
        await rig.until(lambda: rig.of(DeviceFault))
    assert [event.reason for event in rig.of(DeviceFault)] == ["the card is lost"]


async def test_a_kernel_that_is_wrong_ahead_of_its_period_is_built_again():
    text = "period 1 epoch 0"
    rig = Rig(DeviceScript(wrong_programs={text: 1}))
    script = rig.scripts[0]
    async with rig.running():
        await mine(rig, job_at(0))
        idle = script.idle
        await rig.until_launched(script, lambda: proofs(rig, 1) >= 3)
        await rig.until(lambda: rig.of(DeviceFault))
        count = len(script.launched)
        await rig.until_launched(script, lambda: len(script.launched) > count + 4)
        await mine(rig, job_at(3))
        assert script.idle == idle
    assert script.built.count(text) == 2
    assert [image.wrong for image in script.discarded] == [True]
    assert "period 1 is wrong" in rig.of(DeviceFault)[0].reason
    assert all(solution.job.period in (0, 1) for solution in rig.solutions)


async def test_a_kernel_that_stays_wrong_does_not_disturb_the_period_before():
    rig = Rig(DeviceScript(wrong_programs={"period 1 epoch 0": 99}))
    async with rig.running() as engine:
        await mine(rig, job_at(0))
        await rig.until(lambda: len(rig.of(DeviceFault)) == 2)
        count = len(rig.of(Launched))
        await rig.until(lambda: len(rig.of(Launched)) > count + 5)
        engine.work_on(job_at(3))
        await rig.until(lambda: rig.of(DeviceResting))
        assert not any(job.period == 1 for job, _ in rig.scripts[0].launched)
        await mine(rig, job_at(6))
    assert rig.scripts[0].opened == 1


@pytest.mark.parametrize("step", [3, 9])
async def test_unused_kernels_are_unloaded(step):
    """Also those that were proved, or about to be, for periods that are skipped."""
    rig = Rig(DeviceScript())
    async with rig.running():
        for number in range(3 * KEPT_KERNELS):
            await mine(rig, job_at(step * number))
        assert rig.scripts[0].loaded > 1
    assert rig.scripts[0].most_loaded <= KEPT_KERNELS + 2


async def test_a_pause_and_a_lost_pool_keep_the_kernel_ahead():
    rig = Rig(DeviceScript())
    async with rig.running() as engine:
        await mine(rig, job_at(0))
        await until_proved(rig, 1)
        engine.work_on(None)
        engine.pause("fake:0", "api", "by request")
        engine.work_on(job_at(3))
        engine.resume("fake:0", "api")
        await rig.until(lambda: any(job.period == 1 for job, _ in rig.scripts[0].launched))
        await rig.until(lambda: len(rig.of(KernelReady)) == 2)
    assert proofs(rig, 1) == 2
    assert rig.of(KernelReady)[1].seconds == 0.0

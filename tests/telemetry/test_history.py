"""Samples over time."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from miner.telemetry.events import SensorsRead
from tests.fakes.clock import settle
from tests.fakes.rig import HOT, Rig


async def record(rig: Rig, seconds: float, rates: dict[str, float]) -> None:
    task = asyncio.get_running_loop().create_task(rig.history.keep())
    await settle()
    await rig.mine(seconds, rates)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_the_hashrate_of_a_sample_is_that_since_the_previous_one() -> None:
    rig = Rig()
    rig.emit(SensorsRead("cuda:0", HOT))
    await record(rig, 65, {"cuda:0": 2e6, "opencl:0.1": 1e6})
    samples = rig.history.samples(10)
    assert [round(s.at - samples[0].at) for s in samples] == [0, 10, 20, 30, 40, 50]
    for sample in samples[1:]:
        assert sample.hashrate == pytest.approx(3e6)
        zero, one = sample.devices
        assert (zero.name, zero.temperature, zero.power) == ("cuda:0", 61.0, 201.5)
        assert zero.hashrate == pytest.approx(2e6)
        assert one.temperature is None
    assert rig.history.samples(300) == ()


async def test_samples_keep_their_age_when_the_clock_is_set() -> None:
    rig = Rig()
    await record(rig, 25, {"cuda:0": 2e6})
    before = rig.history.samples(10)
    rig.clock.ahead = -86_400.0
    after = rig.history.samples(10)
    await record(rig, 25, {"cuda:0": 2e6})
    assert [b.at - a.at for b, a in zip(before, after, strict=True)] == [86_400.0] * len(after)
    times = [sample.at for sample in rig.history.samples(10)]
    assert times == sorted(times)


async def test_a_fine_hour_and_a_coarse_day_are_kept() -> None:
    rig = Rig()
    task = asyncio.get_running_loop().create_task(rig.history.keep())
    await settle()
    for _ in range(30 * 360):
        await rig.clock.advance(10)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    fine, coarse = rig.history.samples(10), rig.history.samples(300)
    assert len(fine) == 360
    assert len(coarse) == 288
    assert fine[-1].at - fine[0].at == pytest.approx(3590)
    assert coarse[-1].at - coarse[0].at == pytest.approx(287 * 300)


def test_other_steps_raise_an_error() -> None:
    with pytest.raises(KeyError):
        Rig().history.samples(7)

"""Heights that are judged before a dataset is built for them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.catalog import coins, find_coin, variants
from miner.engine.job_heights import FAR_EPOCHS, UNREPLACED_SECONDS, HeightJudge
from miner.telemetry.events import DeviceFault, DeviceResting, EpochSkipped, LightCacheBuilding
from miner.work import Job
from tests.engine.rig import Rig
from tests.engine.test_datasets import mine
from tests.fakes.device import DeviceScript, Ticks, job_at

POOL = "stratum+tcp://pool.example:3333"
RAVEN = find_coin("RVN")
assert RAVEN.chain is not None
NOW = RAVEN.chain.height + int((Ticks().wall() - RAVEN.chain.time) / RAVEN.chain.block_seconds)
"""The height of Ravencoin's chain at the time of the tests' clock."""

YEAR = 525_960
"""Ravencoin's blocks."""


def of(height: int, header: int = 1, pool: str = POOL) -> Job:
    return job_at(height, header=header, pool=pool)


def epochs(number: int, header: int = 1, pool: str = POOL) -> Job:
    return of(number * 7500, header, pool)


@pytest.mark.parametrize("height", [0, NOW // 2, NOW, NOW + YEAR, NOW + 12 * YEAR])
def test_only_heights_far_ahead_of_the_chain_are_doubted(height: int) -> None:
    doubt = HeightJudge(Ticks(), RAVEN).doubt(of(height))
    if height > NOW + 2 * YEAR:
        assert doubt is not None
        assert doubt.reason.startswith(f"height {height} is 12 years ahead of Ravencoin's chain")
        assert doubt.seconds is None
    else:
        assert doubt is None


def test_a_chain_may_be_twice_as_fast_as_its_reference() -> None:
    clock = Ticks(ahead=8 * 365 * 86400.0)
    judge = HeightJudge(clock, RAVEN)
    assert judge.doubt(of(NOW + 16 * YEAR)) is None
    assert judge.doubt(of(NOW + 19 * YEAR)) is not None


def test_a_machine_with_a_wrong_clock_doubts_nothing() -> None:
    assert HeightJudge(Ticks(ahead=-50 * 365 * 86400.0), RAVEN).doubt(of(NOW + 99 * YEAR)) is None


@pytest.mark.parametrize("coin", [None, find_coin("ZANO")])
def test_without_a_reference_heights_are_not_compared_with_a_chain(coin) -> None:
    assert HeightJudge(Ticks(), coin).doubt(of(NOW + 99 * YEAR)) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "192.168.1.9", "rig", "[::1]"])
def test_pools_of_the_local_network_may_have_any_height(host: str) -> None:
    judge = HeightJudge(Ticks(), RAVEN)
    pool = f"stratum+tcp://{host}:3333"
    for height in (0, NOW + 99 * YEAR):
        judge.note(of(height, pool=pool))
        assert judge.doubt(of(height, pool=pool)) is None


@pytest.mark.parametrize("coin", [c for c in coins().values() if c.chain], ids=lambda c: c.symbol)
def test_a_chain_of_today_is_plausible_in_its_own_epochs(coin) -> None:
    variant = variants()[coin.variant]
    days = (Ticks().wall() - coin.chain.time) / 86400
    assert 0 < days < 3650
    height = coin.chain.height + int(days * 86400 / coin.chain.block_seconds)
    job = job_at(height, variant=variant, epoch=variant.epoch_at(height), pool=POOL)
    assert HeightJudge(Ticks(), coin).doubt(job) is None
    assert HeightJudge(Ticks(), coin).doubt(replace(job, height=3 * height)) is not None


def test_a_far_epoch_needs_a_second_job() -> None:
    judge = HeightJudge(Ticks())
    judge.note(epochs(600))
    assert judge.doubt(epochs(600)) is None
    judge.note(epochs(600 + FAR_EPOCHS))
    assert judge.doubt(epochs(600 + FAR_EPOCHS)) is None
    far = epochs(20)
    judge.note(far)
    doubt = judge.doubt(far)
    assert doubt is not None
    assert doubt.reason.startswith("height 150000 is 580 epochs from the pool's other jobs")
    judge.note(far)
    assert judge.doubt(far) is not None, "the same job again"
    judge.note(epochs(600, header=2))
    judge.note(epochs(20, header=2))
    assert judge.doubt(far) is None
    assert judge.doubt(epochs(600)) is None


def test_a_far_job_that_the_pool_does_not_replace_is_mined() -> None:
    clock = Ticks()
    judge = HeightJudge(clock)
    judge.note(epochs(600))
    judge.note(epochs(20))
    clock.pass_time(UNREPLACED_SECONDS)
    assert judge.doubt(epochs(20)) is None


def test_the_jobs_of_pools_are_judged_apart() -> None:
    judge = HeightJudge(Ticks())
    judge.note(epochs(600))
    other = epochs(20, pool="stratum+tcp://other.example:3333")
    judge.note(other)
    assert judge.doubt(other) is None


async def test_an_implausible_job_costs_nothing() -> None:
    rig = Rig(DeviceScript())
    script = rig.scripts[0]
    async with rig.running() as engine:
        await mine(rig, epochs(600))
        for header in range(2, 2 * rig.retry.max_failures):
            engine.work_on(epochs(1000 * header))
            await rig.until(lambda n=header: len(rig.of(EpochSkipped)) == n - 1)
            await mine(rig, epochs(600, header))
    assert (script.opened, script.slices) == (1, 4), "neither reopened nor filled again"
    assert not rig.of(DeviceResting)
    assert not rig.of(DeviceFault)
    assert {event.epoch for event in rig.of(LightCacheBuilding)} <= {600}


async def test_a_confirmed_job_is_mined_at_once() -> None:
    rig = Rig(DeviceScript())
    async with rig.running() as engine:
        await mine(rig, epochs(600))
        engine.work_on(epochs(20))
        await rig.until(lambda: rig.of(EpochSkipped))
        await mine(rig, epochs(20, header=2))

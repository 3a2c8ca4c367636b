"""Events that come late, twice or not at all, and the consistency of all counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.telemetry import DeviceState, Hashrate, PoolState, Reading, Snapshot, Telemetry
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    EpochSkipped,
    Event,
    JobTaken,
    KernelReady,
    Launched,
    LightCacheBuilding,
    LoopDelayed,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolReady,
    ResultOverflow,
    SensorsRead,
    SettingsRead,
    ShapeLeftOut,
    ShareAnswered,
    ShareFound,
)
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.fakes.device import Ticks, info_of, job_at

AT_WORK = (DeviceState.SEARCHING, DeviceState.READY, DeviceState.EXHAUSTED)


def emit(telemetry: Telemetry, *events: Event) -> Snapshot:
    for event in events:
        telemetry.emit(event)
    return telemetry.snapshot()


@pytest.mark.parametrize(
    "late",
    [
        Launched("a", 1, 0.1),
        JobTaken("a", 0.1),
        ResultOverflow("a", 100),
        NoncesExhausted("a"),
        KernelReady("a", 1, 0.1),
        DatasetBuilding("a", 1, 1.0, 1.0, 1),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_launch_that_ends_after_the_pool_is_lost_is_not_a_search(
    telemetry: Telemetry, late: Event
) -> None:
    snapshot = emit(telemetry, NewJob(job_at()), Launched("a", 1, 0.1), NewJob(None), late)
    device = snapshot.device("a")
    assert (device.state, device.doing) == (DeviceState.WAITING, "waiting for a job")
    assert emit(telemetry, NewJob(job_at()), late).device("a").state is not DeviceState.WAITING


def test_a_device_waits_while_another_algorithm_makes_the_block(telemetry: Telemetry) -> None:
    emit(telemetry, NewJob(job_at(1)), Launched("a", 1, 0.1))
    for height in (2, 3):
        other = NewJob(replace(job_at(height), other_algorithm="cuckoo"))
        device = emit(telemetry, other, Launched("a", 1, 0.1)).device("a")
        assert device.state is DeviceState.WAITING
        assert device.doing == f"waiting: height {height} is for cuckoo"
    assert emit(telemetry, NewJob(job_at(4))).device("a").state is DeviceState.READY


def test_a_device_leaves_waiting_with_the_next_job(telemetry: Telemetry) -> None:
    emit(telemetry, NewJob(job_at(1)), DatasetBuilding("a", 0, 1.0, 5.0, 1))
    emit(telemetry, Launched("a", 1, 0.1), NewJob(None))
    assert emit(telemetry, NewJob(job_at(2))).device("a").state is DeviceState.READY
    emit(telemetry, NewJob(None))
    snapshot = emit(telemetry, NewJob(job_at(7500)), LightCacheBuilding(1, 0.25))
    assert snapshot.device("a").state is DeviceState.BUILDING


@pytest.mark.parametrize(
    "late",
    [
        Launched("a", 1, 0.1),
        KernelReady("a", 1, 0.1),
        DatasetBuilding("a", 1, 0.5, 1.0, 1),
        DeviceResting("a", "it failed", 1.0),
        NewJob(None),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_hung_device_stays_so_when_its_driver_call_returns(
    telemetry: Telemetry, late: Event
) -> None:
    before = emit(telemetry, DeviceHanging("a", "no answer")).device("a")
    after = emit(telemetry, late).device("a")
    assert after.parked
    assert (after.state, after.doing, after.progress) == (before.state, before.doing, None)


def test_a_parked_device_stays_so_until_it_is_tried_again(telemetry: Telemetry) -> None:
    emit(telemetry, DeviceResting("a", "broken", 600.0, parked=True))
    for event in (NewJob(job_at(1)), LightCacheBuilding(1, 0.5), NewJob(None)):
        assert emit(telemetry, event).device("a").state is DeviceState.PARKED
    again = emit(telemetry, DatasetBuilding("a", 0, 0.5, 1.0, 1)).device("a")
    assert (again.state, again.parked) == (DeviceState.BUILDING, False)


def test_a_parked_device_that_hangs_is_hung(telemetry: Telemetry) -> None:
    emit(
        telemetry,
        DeviceResting("a", "broken", 600.0, parked=True),
        DeviceHanging("a", "closing it"),
    )
    assert telemetry.snapshot().device("a").state is DeviceState.HUNG


def test_a_light_cache_of_a_former_epoch_is_not_shown(
    telemetry: Telemetry,
) -> None:
    here, there = job_at(1), job_at(7500)
    emit(telemetry, NewJob(here), LightCacheBuilding(0, 1.0, 2.0))
    assert emit(telemetry, NewJob(there), LightCacheBuilding(1, 0.25)).light
    # The thread that builds it stops late.
    assert emit(telemetry, NewJob(here)).light == ""
    assert emit(telemetry, LightCacheBuilding(1, 0.3)).light == ""
    assert emit(telemetry, NewJob(None)).light == ""
    assert emit(telemetry, NewJob(there), LightCacheBuilding(1, 0.1)).light.endswith("10%")


def test_devices_wait_for_the_light_cache_of_their_epoch(telemetry: Telemetry) -> None:
    for name in ("a", "b"):
        emit(telemetry, DatasetBuilding(name, 0, 1.0, 5.0, 1), Launched(name, 1, 0.1))
    snapshot = emit(telemetry, NewJob(job_at(7500)), LightCacheBuilding(1, 0.25))
    late = emit(telemetry, Launched("a", 1, 0.1))
    for device in (*snapshot.devices, *late.devices):
        assert device.state is DeviceState.BUILDING
        assert device.doing == "waiting for the light cache of epoch 1: 25%"
        assert device.progress is None
    emit(telemetry, LightCacheBuilding(1, 1.0, 3.0), DatasetBuilding("a", 1, 1.0, 5.0, 1))
    emit(telemetry, Launched("a", 1, 0.1))
    assert telemetry.snapshot().device("a").state is DeviceState.SEARCHING
    # The cache was evicted and is built again to prove shares; the device does not need it.
    again = emit(telemetry, LightCacheBuilding(1, 0.5))
    assert again.device("a").state is DeviceState.SEARCHING


def test_a_lost_connection_is_counted_once(telemetry: Telemetry) -> None:
    pool = "p:1"
    emit(telemetry, PoolConnecting(pool), PoolReady(pool), PoolLost(pool, "gone", 5.0))
    snapshot = emit(telemetry, PoolLost(pool, "gone", None))
    assert snapshot.pools[0].losses == 1
    snapshot = emit(telemetry, PoolLost(pool, "banned", 60.0))
    assert (snapshot.pools[0].losses, snapshot.pools[0].reason) == (1, "banned")
    snapshot = emit(telemetry, PoolConnecting(pool), PoolLost(pool, "no route", 1.0))
    assert snapshot.pools[0].losses == 2


def test_leaving_a_pool_does_not_count_as_a_loss(telemetry: Telemetry) -> None:
    pool = "p:1"
    emit(telemetry, PoolConnecting(pool), PoolReady(pool))
    snapshot = emit(telemetry, PoolLost(pool, "the settings name other pools", 0.0))
    assert (snapshot.pools[0].losses, snapshot.pools[0].state) == (0, PoolState.LOST)
    assert snapshot.pools[0].reason == "the settings name other pools"
    snapshot = emit(telemetry, PoolConnecting(pool), PoolReady(pool), PoolLost(pool, "gone", 1.0))
    assert snapshot.pools[0].losses == 1


class ClockSetByHand(Ticks):
    """A clock whose wall time differs a little at each reading and can be set."""

    def wall(self) -> float:
        self.ahead += 1e-6
        return super().wall()


def test_times_do_not_jitter() -> None:
    clock = ClockSetByHand(1000.0)
    telemetry = Telemetry(clock)
    first = telemetry.snapshot()
    clock.seconds += 10
    second = telemetry.snapshot()
    assert first.started_at == second.started_at == pytest.approx(1_800_001_000.0)
    assert (first.uptime, second.uptime) == (0, 10)


@pytest.mark.parametrize("leap", [-86_400.0, 31_536_000.0, -7200.0, 26 * 31_536_000.0])
def test_ages_stay_right_when_the_clock_is_set(leap: float) -> None:
    clock = ClockSetByHand(1000.0)
    telemetry = Telemetry(clock, [info_of("a")])
    share = Solution(job_at(pool="p:1"), 1, "a", 1000.0, bytes(32), bytes(32))
    answer = ShareAnswered(Verdict(share, Outcome.ACCEPTED, "", 0.1))
    emit(telemetry, PoolConnecting("p:1"), PoolReady("p:1"), NewJob(share.job), ShareFound(share))
    emit(telemetry, answer)
    clock.seconds += 10
    clock.ahead += leap
    shown = telemetry.snapshot()
    times = (
        shown.started_at, shown.job_at, shown.pools[0].connected_at, shown.pools[0].last_share_at,
        shown.device("a").last_share_at, shown.best[0].at,
    )  # fmt: skip
    assert [shown.at - (at or 0.0) for at in times] == [pytest.approx(10.0)] * 6
    assert shown.at == pytest.approx(clock.wall(), abs=1e-3)
    assert shown.uptime == 10.0


def test_efficiency_is_the_hashes_of_a_minute_per_energy_of_that_minute(
    telemetry: Telemetry, clock: Ticks
) -> None:
    """When a card pauses, its power drops at once but the rate of the last minute falls slowly."""
    for _ in range(60):
        clock.seconds += 1
        emit(telemetry, Launched("a", 1_000_000, 1.0), SensorsRead("a", Reading(power=100.0)))
    assert telemetry.snapshot().device("a").efficiency == pytest.approx(10_000)
    emit(telemetry, DevicePaused("a", "by request"))
    for _ in range(30):
        clock.seconds += 1
        emit(telemetry, SensorsRead("a", Reading(power=20.0)))
    device = telemetry.snapshot().device("a")
    assert device.reading.power == 20.0
    assert device.efficiency == pytest.approx(30e6 / (30 * 100 + 30 * 20), rel=0.05)
    emit(telemetry, SensorsRead("a", Reading()))
    assert telemetry.snapshot().device("a").efficiency is None


def test_a_candidate_of_an_unknown_device_and_pool_is_in_every_sum(
    telemetry: Telemetry,
) -> None:
    snapshot = emit(telemetry, CandidateRefuted(Candidate(job_at(pool="q"), 1, "c", 0.0), b""))
    assert snapshot.shares.hardware == 1
    assert sum(device.shares.hardware for device in snapshot.devices) == 1
    assert sum(pool.shares.hardware for pool in snapshot.pools) == 1


DEVICES = st.sampled_from("ab")
POOLS = st.sampled_from(("p:1", "p:2"))
JOBS = st.builds(
    lambda height, pool, block: job_at(height, pool=pool, block_target=block),
    st.sampled_from((1, 2, 7499, 7500)), POOLS, st.sampled_from((0, 2**250)),
)  # fmt: skip
SOLUTIONS = st.builds(
    lambda job, device, value: Solution(
        job, 1, device, 0.0, bytes(32), value.to_bytes(32, "big")
    ),
    JOBS, DEVICES, st.integers(0, 2**252),
)  # fmt: skip
SECONDS = st.floats(0.01, 100)
EVENTS = st.one_of(
    st.builds(PoolConnecting, POOLS),
    st.builds(PoolReady, POOLS),
    st.builds(PoolLost, POOLS, st.just("gone"), st.none() | SECONDS),
    st.builds(NewJob, st.none() | JOBS),
    st.builds(LightCacheBuilding, st.integers(0, 1), st.sampled_from((0.1, 0.5, 1.0))),
    st.builds(
        DatasetBuilding, DEVICES, st.integers(0, 1), st.sampled_from((0.0, 0.5, 1.0)), SECONDS,
        st.just(1),
    ),
    st.builds(KernelReady, DEVICES, st.integers(0, 9), SECONDS),
    st.builds(JobTaken, DEVICES, SECONDS),
    st.builds(Launched, DEVICES, st.integers(0, 10**9), SECONDS, st.floats(0, 1)),
    st.builds(ResultOverflow, DEVICES, st.just(100)),
    st.builds(NoncesExhausted, DEVICES),
    st.builds(DeviceFault, DEVICES, st.just("it failed")),
    st.builds(DeviceResting, DEVICES, st.just("it failed"), SECONDS, st.booleans()),
    st.builds(LoopDelayed, SECONDS),
    st.builds(SettingsRead, st.booleans(), st.just("1f"), st.integers(0, 3)),
    st.builds(EpochSkipped, DEVICES, st.integers(0, 1), st.just("no room")),
    st.builds(DevicePaused, DEVICES, st.none() | st.just("too hot")),
    st.builds(DeviceHanging, DEVICES, st.just("no answer")),
    st.builds(ShapeLeftOut, DEVICES, st.just("gpu"), st.just("it does not compile")),
    st.builds(SensorsRead, DEVICES, st.builds(Reading, power=st.none() | st.floats(0, 500))),
    st.builds(
        CandidateRefuted, st.builds(Candidate, JOBS, st.just(1), DEVICES, st.just(0.0)),
        st.just(bytes(32)),
    ),
    st.builds(ShareFound, SOLUTIONS),
    st.builds(
        ShareAnswered,
        st.builds(
            Verdict, SOLUTIONS, st.sampled_from(Outcome), st.just(""), st.none() | SECONDS
        ),
    ),
)  # fmt: skip


@given(st.lists(st.tuples(EVENTS, st.floats(0, 100)), max_size=40))
def test_all_counts_agree_after_any_events(events: list[tuple[Event, float]]) -> None:
    clock = Ticks(1000.0)
    telemetry = Telemetry(clock, [info_of("a"), info_of("b")])
    seen: Counter[str] = Counter()
    gone: set[str] = set()
    had_job = False
    for event, after in events:
        telemetry.emit(event)
        clock.seconds += after
        seen[type(event).__name__] += 1
        had_job = had_job or isinstance(event, NewJob)
        snapshot = telemetry.snapshot()
        _sums_agree(snapshot)
        for device in snapshot.devices:
            if had_job and snapshot.job is None:
                assert device.state not in AT_WORK
            assert device.parked >= (device.name in gone), "a hung device came back"
            gone |= {device.name} if device.state is DeviceState.HUNG else set()
            assert (device.progress is None) or device.state in (
                DeviceState.BUILDING,
                DeviceState.PAUSED,
            )
            assert min(rates(device.hashrate)) >= 0
            assert (device.efficiency is None) or device.reading.power is not None
    assert counts(telemetry.snapshot()) == (
        seen["ShareFound"], seen["ShareAnswered"], seen["CandidateRefuted"],
        seen["KernelReady"], seen["JobTaken"],
    )  # fmt: skip


def rates(hashrate: Hashrate) -> list[float]:
    return [hashrate.ten_seconds, hashrate.minute, hashrate.quarter_hour]


def counts(snapshot: Snapshot) -> tuple[int, int, int, int, int]:
    timings = snapshot.timings
    return (
        snapshot.found, snapshot.shares.answered, snapshot.shares.hardware, timings.kernel.count,
        timings.job.count,
    )  # fmt: skip


def _sums_agree(snapshot: Snapshot) -> None:
    whole, devices, pools = snapshot.shares, snapshot.devices, snapshot.pools
    for parts in ([d.shares for d in devices], [p.shares for p in pools]):
        assert sum((Counter(t.outcomes) for t in parts), Counter()) == Counter(whole.outcomes)
        assert sum(t.hardware for t in parts) == whole.hardware
        assert sum(t.blocks for t in parts) == whole.blocks <= whole.accepted
    assert whole.accepted + whole.not_accepted == whole.answered
    assert (
        whole.accepted + whole.stale + whole.invalid + whole.lost + whole.rejected == whole.answered
    )
    assert snapshot.tried == sum(d.tried for d in devices)
    assert snapshot.luck.found == snapshot.found == sum(d.found for d in devices)
    best = [d.best_difficulty for d in devices if d.best_difficulty is not None]
    assert bool(best) == bool(snapshot.best)
    if best:
        assert snapshot.best[0].difficulty == max(best)
    for pool in pools:
        assert (pool.connected_at is not None) == (pool.state is PoolState.CONNECTED)
        assert bool(pool.reason) <= (pool.state is PoolState.LOST)
        assert (pool.last_share_at is not None) == bool(pool.shares.accepted) == bool(pool.work)


@given(st.lists(st.tuples(st.floats(0, 90), st.none() | st.floats(0, 500)), max_size=20))
def test_energy_is_the_power_times_the_time_that_each_reading_holds(
    readings: list[tuple[float, float | None]],
) -> None:
    clock = Ticks(1000.0)
    telemetry = Telemetry(clock, [info_of("a")])
    expected, watts, known = 0.0, None, False
    for after, power in readings:
        clock.seconds += after
        expected += (watts or 0.0) * min(after, 60.0)
        watts, known = power, known or power is not None
        telemetry.emit(SensorsRead("a", Reading(power=power)))
    energy = telemetry.snapshot().device("a").energy
    # A clock near 1000 s has a precision of 1e-13 s.
    assert energy == (pytest.approx(expected, abs=1e-9) if known else None)

"""The snapshot after events."""

from __future__ import annotations

import pytest

from miner.telemetry import DeviceState, PoolState, Reading, Tally, Telemetry
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
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    PoolRemark,
    ResultOverflow,
    SensorsRead,
    ShareAnswered,
    ShareFound,
)
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.fakes.device import Ticks, job_at


def search(telemetry: Telemetry, clock: Ticks, seconds: float, rate: float, name: str) -> None:
    for _ in range(round(seconds * 10)):
        clock.seconds += 0.1
        telemetry.emit(Launched(name, round(rate / 10), 0.1))


def solution(device: str = "a") -> Solution:
    return Solution(job_at(), 1, device, 0.0, bytes(32), bytes(32))


def test_a_launch_that_is_reported_late_counts_at_its_end(
    telemetry: Telemetry, clock: Ticks
) -> None:
    telemetry.emit(Launched("a", 100, 0.1, at=clock.now()))
    waiting = [Launched("a", 900, 0.1, at=clock.now() + 1)]

    class Held:
        def emit_pending(self) -> None:
            while waiting:
                telemetry.emit(waiting.pop())

    telemetry.follow(Held())
    clock.seconds += 10.5
    assert telemetry.snapshot().device("a").hashrate.ten_seconds == 90
    clock.seconds += 1
    assert telemetry.snapshot().device("a").hashrate.ten_seconds == 0


def test_the_snapshot_before_any_event(telemetry: Telemetry):
    snapshot = telemetry.snapshot()
    assert [d.name for d in snapshot.devices] == ["a", "b"]
    assert snapshot.hashrate.minute == 0
    assert snapshot.height is snapshot.epoch is snapshot.period is snapshot.difficulty is None
    with pytest.raises(KeyError):
        snapshot.device("c")


def test_a_steady_device_has_the_same_rate_in_every_window(telemetry, clock):
    search(telemetry, clock, 5, 1e6, "a")
    rate = telemetry.snapshot().device("a").hashrate
    for value in (rate.ten_seconds, rate.minute, rate.quarter_hour):
        assert value == pytest.approx(1e6, rel=0.01)


def test_the_rates_fall_while_nothing_is_hashed(telemetry, clock):
    search(telemetry, clock, 100, 1e6, "a")
    clock.seconds += 30
    rate = telemetry.snapshot().device("a").hashrate
    assert rate.ten_seconds == 0
    assert rate.minute == pytest.approx(0.5e6, rel=0.02)
    assert rate.quarter_hour == pytest.approx(1e8 / 130, rel=0.02)
    assert telemetry.snapshot().tried == 10**8


def test_launches_older_than_the_longest_window_do_not_count(telemetry, clock):
    search(telemetry, clock, 1000, 100, "a")
    rate = telemetry.snapshot().device("a").hashrate
    assert rate.quarter_hour == pytest.approx(100, rel=0.01)


def test_the_totals_are_the_sums_of_the_devices(telemetry, clock):
    search(telemetry, clock, 10, 1000, "a")
    telemetry.emit(Launched("b", 10_000, 10.0))
    snapshot = telemetry.snapshot()
    assert snapshot.hashrate.ten_seconds == pytest.approx(2000, rel=0.05)
    assert snapshot.tried == 20_000
    assert snapshot.uptime == pytest.approx(10)


def test_shares_are_counted_by_outcome(telemetry):
    for outcome in (Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.STALE):
        telemetry.emit(ShareFound(solution()))
        telemetry.emit(ShareAnswered(Verdict(solution(), outcome, seconds=0.04)))
    telemetry.emit(ShareAnswered(Verdict(solution("b"), Outcome.NOT_SENT)))
    snapshot = telemetry.snapshot()
    assert (snapshot.found, snapshot.shares.accepted) == (3, 2)
    assert snapshot.shares.outcomes == {
        Outcome.ACCEPTED: 2,
        Outcome.STALE: 1,
        Outcome.NOT_SENT: 1,
    }
    assert snapshot.device("b").shares.outcomes == {Outcome.NOT_SENT: 1}
    assert snapshot.device("a").shares.accepted == 2


def test_the_job_is_shown_by_height_epoch_period_and_difficulty(telemetry):
    telemetry.emit(NewJob(job_at(7501, target=2**256 // 1000 - 1)))
    snapshot = telemetry.snapshot()
    assert (snapshot.height, snapshot.epoch, snapshot.period) == (7501, 1, 2500)
    assert snapshot.difficulty == pytest.approx(1000)


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (PoolReady("p:1"), PoolState.CONNECTED),
        (PoolLost("p:1", "no route", 2.0), PoolState.LOST),
        (PoolConnecting("p:1"), PoolState.CONNECTING),
    ],
)
def test_the_state_of_a_pool(telemetry, event, state):
    telemetry.emit(PoolConnecting("p:1"))
    telemetry.emit(event)
    telemetry.emit(PoolNotice("p:1", "maintenance at noon"))
    telemetry.emit(PoolRemark("p:1", "it speaks KawPow Stratum"))
    snapshot = telemetry.snapshot()
    assert (snapshot.pool.label, snapshot.pool.state) == ("p:1", state)
    assert snapshot.notice == "maintenance at noon"


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (DatasetBuilding("a", 3, 0.5, 1.0, 100), "building the dataset (DAG) of epoch 3: 50%"),
        (DatasetBuilding("a", 3, 1.0, 1.0, 100), "dataset (DAG) of epoch 3 ready"),
        (KernelReady("a", 9, 1.0), "kernel for period 9 ready"),
        (Launched("a", 1, 0.1), "searching"),
        (ResultOverflow("a", 40), "searching"),
        (NoncesExhausted("a"), "waiting: every nonce of this job was searched"),
        (DeviceResting("a", "too hot", 5.0), "resting: too hot"),
        (EpochSkipped("a", 9, "no room"), "resting: no room"),
        (DeviceResting("a", "broken", 600.0, parked=True), "parked: broken"),
    ],
)
def test_the_state_of_a_device(telemetry, event, state):
    telemetry.emit(event)
    assert telemetry.snapshot().device("a").doing == state


def test_without_a_job_devices_wait_unless_parked(telemetry):
    telemetry.emit(Launched("a", 1, 0.1))
    telemetry.emit(DeviceResting("b", "broken", 600.0, parked=True))
    telemetry.emit(NewJob(None))
    snapshot = telemetry.snapshot()
    assert snapshot.device("a").state is DeviceState.WAITING
    assert snapshot.device("b").parked


def test_faults_are_counted(telemetry):
    telemetry.emit(DeviceFault("c", "first"))
    telemetry.emit(DeviceFault("c", "second"))
    device = telemetry.snapshot().device("c")
    assert (device.faults, device.last_fault) == (2, "second")
    assert telemetry.snapshot().faults == 2


def test_the_light_cache_is_shown_while_it_is_built(telemetry):
    telemetry.emit(LightCacheBuilding(4, 0.25))
    assert telemetry.snapshot().light == "light cache of epoch 4: 25%"
    telemetry.emit(LightCacheBuilding(4, 1.0, 3.0))
    assert telemetry.snapshot().light == ""


def test_subscribers_get_each_event_until_they_unsubscribe(telemetry):
    received: list[Event] = []
    unsubscribe = telemetry.subscribe(received.append)
    telemetry.emit(NewJob(None))
    unsubscribe()
    unsubscribe()
    telemetry.emit(NewJob(None))
    assert received == [NewJob(None)]


def test_a_pause_hides_the_state_until_it_ends(telemetry):
    telemetry.emit(Launched("a", 1, 0.1))
    telemetry.emit(DevicePaused("a", "too hot"))
    device = telemetry.snapshot().device("a")
    assert (device.state, device.doing) == (DeviceState.PAUSED, "paused: too hot")
    telemetry.emit(DevicePaused("a", None))
    assert telemetry.snapshot().device("a").state is DeviceState.SEARCHING
    telemetry.emit(DeviceResting("a", "broken", 600.0, parked=True))
    telemetry.emit(DevicePaused("a", "too hot"))
    assert telemetry.snapshot().device("a").state is DeviceState.PARKED


def test_a_hung_device_is_parked(telemetry):
    telemetry.emit(DeviceHanging("a", "a launch did not come back within 31 s"))
    device = telemetry.snapshot().device("a")
    assert device.parked
    assert device.doing == "hung: a launch did not come back within 31 s"


def test_shares_are_counted_by_device_and_pool(telemetry):
    for pool in ("p:1", "p:2"):
        for device in ("a", "b"):
            share = Solution(job_at(pool=pool), 1, device, 0.0, bytes(32), bytes(32))
            telemetry.emit(ShareFound(share))
            telemetry.emit(ShareAnswered(Verdict(share, Outcome.ACCEPTED, seconds=0.1)))
    wrong = Candidate(job_at(pool="p:1"), 5, "a", 0.0)
    telemetry.emit(CandidateRefuted(wrong, bytes(32)))
    snapshot = telemetry.snapshot()
    assert snapshot.shares.accepted == 4
    assert snapshot.shares.hardware == 1
    assert {key: t.accepted for key, t in snapshot.by_pool.items()} == {
        (device, pool): 1 for device in ("a", "b") for pool in ("p:1", "p:2")
    }
    assert snapshot.device("a").shares.hardware == 1
    assert snapshot.device("b").shares.hardware == 0
    assert [(p.label, p.shares.accepted) for p in snapshot.pools] == [("p:1", 2), ("p:2", 2)]
    assert snapshot.pools[0].work == pytest.approx(2 * job_at().difficulty)


def test_the_ten_best_shares_are_kept(telemetry):
    for exponent in range(200, 215):
        share = Solution(job_at(), 1, "a", 0.0, bytes(32), (2**exponent).to_bytes(32, "big"))
        telemetry.emit(ShareFound(share))
    best = telemetry.snapshot().best
    assert len(best) == 10
    assert [round(b.difficulty).bit_length() - 1 for b in best] == list(range(56, 46, -1))


def test_effort_grows_with_work_and_restarts_with_a_share(telemetry, clock):
    telemetry.emit(Launched("a", 100, 0.1, 0.7))
    telemetry.emit(Launched("b", 100, 0.1, 0.6))
    snapshot = telemetry.snapshot()
    assert snapshot.luck.effort == pytest.approx(1.3)
    assert snapshot.luck.expected == pytest.approx(1.3)
    telemetry.emit(ShareFound(solution()))
    snapshot = telemetry.snapshot()
    assert (snapshot.luck.effort, snapshot.luck.found) == (0, 1)
    assert snapshot.device("b").luck.effort == pytest.approx(0.6)


def test_epoch_changes_are_counted(telemetry):
    for height in (1, 2, 7500, 7501, 7499):
        telemetry.emit(NewJob(job_at(height)))
        telemetry.emit(NewJob(None))
    snapshot = telemetry.snapshot()
    assert (snapshot.jobs, snapshot.epochs) == (5, 2)


def test_a_histogram_counts_durations_by_bounds(telemetry):
    for seconds in (0.2, 0.25, 3.0, 1000.0):
        telemetry.emit(KernelReady("a", 1, seconds))
    kernel = telemetry.snapshot().timings.kernel
    counted = dict(zip(kernel.bounds, kernel.counts, strict=False))
    assert (counted[0.25], counted[5], kernel.counts[-1]) == (2, 1, 1)
    assert kernel.count == 4
    assert kernel.mean == pytest.approx(1003.45 / 4)
    assert telemetry.snapshot().timings.job.mean is None


def test_histograms_of_the_rig_are_sums_of_those_of_devices_and_pools(telemetry):
    for device, seconds in (("a", 0.2), ("a", 0.3), ("b", 40.0)):
        telemetry.emit(KernelReady(device, 1, seconds))
        telemetry.emit(JobTaken(device, seconds))
        telemetry.emit(DatasetBuilding(device, 1, 0.5, seconds, 1))
        telemetry.emit(DatasetBuilding(device, 1, 1.0, seconds, 1))
    for pool, seconds in (("p:1", 0.04), ("p:1", None), ("p:2", 3.0)):
        share = Solution(job_at(pool=pool), 1, "a", 0.0, bytes(32), bytes(32))
        telemetry.emit(ShareAnswered(Verdict(share, Outcome.ACCEPTED, seconds=seconds)))
    snapshot = telemetry.snapshot()
    a, b = snapshot.devices
    for of_a, of_b, of_rig in (
        (a.kernel_builds, b.kernel_builds, snapshot.timings.kernel),
        (a.job_switches, b.job_switches, snapshot.timings.job),
        (a.dataset_builds, b.dataset_builds, snapshot.timings.dataset),
    ):
        assert (of_a.count, of_b.count, of_rig.count) == (2, 1, 3)
        assert (of_a.total, of_b.total) == (pytest.approx(0.5), 40.0)
        assert of_rig == of_a + of_b
    assert (a.kernels, b.datasets) == (2, 1)
    assert (a.last_job_switch, b.last_job_switch) == (0.3, 40.0)
    one, two = snapshot.pools
    assert (one.mean_latency, two.mean_latency) == (0.04, 3.0)
    assert snapshot.timings.share == one.round_trips + two.round_trips
    with pytest.raises(ValueError, match="different bounds"):
        _ = a.kernel_builds + one.round_trips


def test_the_efficiency_of_the_rig_needs_the_power_of_every_device(telemetry, clock):
    search(telemetry, clock, 60, 1e6, "a")
    telemetry.emit(SensorsRead("a", Reading(power=50.0)))
    snapshot = telemetry.snapshot()
    assert snapshot.device("a").efficiency == pytest.approx(20_000, rel=0.02)
    assert snapshot.device("b").efficiency is None
    assert snapshot.power == 50.0
    assert snapshot.efficiency is None
    telemetry.emit(SensorsRead("b", Reading(power=50.0)))
    assert telemetry.snapshot().efficiency == pytest.approx(10_000, rel=0.02)


def test_a_rig_that_draws_nothing_has_no_efficiency(telemetry, clock):
    search(telemetry, clock, 60, 1e6, "a")
    for name in ("a", "b"):
        telemetry.emit(SensorsRead(name, Reading(power=0.0)))
    assert telemetry.snapshot().efficiency is None


def test_accepted_blocks_are_counted(telemetry):
    for outcome, target in (
        (Outcome.ACCEPTED, 2**250),
        (Outcome.STALE, 2**250),
        (Outcome.ACCEPTED, 0),
    ):
        share = Solution(
            job_at(block_target=target, pool="p"), 1, "a", 0.0, bytes(32), b"\0" * 31 + b"\1"
        )
        telemetry.emit(ShareAnswered(Verdict(share, outcome)))
    snapshot = telemetry.snapshot()
    assert snapshot.shares.blocks == snapshot.device("a").shares.blocks == 1
    assert snapshot.pools[0].shares.blocks == 1


COUNTED_AS = {
    Outcome.ACCEPTED: "accepted", Outcome.STALE: "stale", Outcome.NOT_SENT: "stale",
    Outcome.INVALID: "invalid", Outcome.LOST: "lost", Outcome.LOW_DIFFICULTY: "rejected",
    Outcome.DUPLICATE: "rejected", Outcome.UNAUTHORIZED: "rejected",
}  # fmt: skip


@pytest.mark.parametrize("outcome", Outcome)
def test_each_outcome_is_counted_in_one_way(outcome: Outcome) -> None:
    tally = Tally({outcome: 3}, hardware=5, blocks=1)
    counts = {name: getattr(tally, name) for name in set(COUNTED_AS.values())}
    assert counts == dict.fromkeys(counts, 0) | {COUNTED_AS[outcome]: 3}
    assert tally.answered == 3
    assert tally.not_accepted == (0 if outcome is Outcome.ACCEPTED else 3)

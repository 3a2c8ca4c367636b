from __future__ import annotations

import pytest

from miner.telemetry import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    DeviceState,
    Event,
    KernelReady,
    Launched,
    LightCacheBuilding,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    PoolState,
    ResultOverflow,
    ShareAnswered,
    ShareFound,
    Telemetry,
)
from miner.work import Outcome, Solution, Verdict
from tests.fakes.device import Ticks, info_of, job_at


@pytest.fixture
def clock() -> Ticks:
    return Ticks(1000.0)


@pytest.fixture
def telemetry(clock: Ticks) -> Telemetry:
    return Telemetry(clock, [info_of("a"), info_of("b")])


def search(telemetry: Telemetry, clock: Ticks, seconds: float, rate: float, name: str) -> None:
    for _ in range(round(seconds * 10)):
        clock.seconds += 0.1
        telemetry.emit(Launched(name, round(rate / 10), 0.1))


def solution(device: str = "a") -> Solution:
    return Solution(job_at(), 1, device, 0.0, bytes(32), bytes(32))


def test_before_any_event_there_are_the_named_devices(telemetry: Telemetry):
    snapshot = telemetry.snapshot()
    assert [d.name for d in snapshot.devices] == ["a", "b"]
    assert snapshot.hashrate.minute == 0
    assert snapshot.height is snapshot.epoch is snapshot.period is snapshot.difficulty is None
    with pytest.raises(KeyError):
        snapshot.device("c")


def test_a_steady_device_shows_its_rate_in_every_window_from_the_start(telemetry, clock):
    search(telemetry, clock, 5, 1e6, "a")
    rate = telemetry.snapshot().device("a").hashrate
    for value in (rate.ten_seconds, rate.minute, rate.quarter_hour):
        assert value == pytest.approx(1e6, rel=0.01)


def test_windows_count_only_nonces_really_tried(telemetry, clock):
    search(telemetry, clock, 100, 1e6, "a")
    clock.seconds += 30
    rate = telemetry.snapshot().device("a").hashrate
    assert rate.ten_seconds == 0
    assert rate.minute == pytest.approx(0.5e6, rel=0.02)
    assert rate.quarter_hour == pytest.approx(1e8 / 130, rel=0.02)
    assert telemetry.snapshot().tried == 10**8


def test_what_is_older_than_the_longest_window_is_let_go(telemetry, clock):
    search(telemetry, clock, 1000, 100, "a")
    rate = telemetry.snapshot().device("a").hashrate
    assert rate.quarter_hour == pytest.approx(100, rel=0.01)


def test_the_total_is_the_sum_of_the_devices(telemetry, clock):
    search(telemetry, clock, 10, 1000, "a")
    telemetry.emit(Launched("b", 10_000, 10.0))
    snapshot = telemetry.snapshot()
    assert snapshot.hashrate.ten_seconds == pytest.approx(2000, rel=0.05)
    assert snapshot.tried == 20_000
    assert snapshot.uptime == pytest.approx(10)


def test_shares_are_counted_by_what_became_of_them(telemetry):
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
def test_the_pools_state(telemetry, event, state):
    telemetry.emit(PoolConnecting("p:1"))
    telemetry.emit(event)
    telemetry.emit(PoolNotice("p:1", "maintenance at noon"))
    snapshot = telemetry.snapshot()
    assert (snapshot.pool.label, snapshot.pool.state) == ("p:1", state)
    assert snapshot.notice == "maintenance at noon"


@pytest.mark.parametrize(
    ("event", "state"),
    [
        (DatasetBuilding("a", 3, 0.5, 1.0, 100), "building the dataset of epoch 3: 50%"),
        (DatasetBuilding("a", 3, 1.0, 1.0, 100), "dataset of epoch 3 ready"),
        (KernelReady("a", 9, 1.0), "kernel of period 9 ready"),
        (Launched("a", 1, 0.1), "searching"),
        (ResultOverflow("a", 40), "searching"),
        (NoncesExhausted("a"), "resting: every nonce of this job was searched"),
        (DeviceResting("a", "too hot", 5.0), "resting: too hot"),
        (DeviceResting("a", "broken", None), "parked: broken"),
    ],
)
def test_what_a_device_does(telemetry, event, state):
    telemetry.emit(event)
    assert telemetry.snapshot().device("a").doing == state


def test_without_a_job_searching_devices_wait_while_parked_ones_stay_parked(telemetry):
    telemetry.emit(Launched("a", 1, 0.1))
    telemetry.emit(DeviceResting("b", "broken", None))
    telemetry.emit(NewJob(None))
    snapshot = telemetry.snapshot()
    assert snapshot.device("a").state is DeviceState.WAITING
    assert snapshot.device("b").parked


def test_faults_are_counted_with_the_last_reason(telemetry):
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


def test_subscribers_hear_each_event_until_they_leave(telemetry):
    heard: list[Event] = []
    leave = telemetry.subscribe(heard.append)
    telemetry.emit(NewJob(None))
    leave()
    leave()
    telemetry.emit(NewJob(None))
    assert heard == [NewJob(None)]

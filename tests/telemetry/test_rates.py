"""Hashrates and mean power over sliding windows, compared with their plain definitions."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.telemetry import WINDOWS, Hashrate
from miner.telemetry.rates import POWER_SECONDS, SLOTS, HashrateMeter, PowerMeter

Launch = tuple[float, int]
"""Clock second of its end, nonces."""

GAPS = st.one_of(
    st.floats(0, 0.5), st.floats(0, 12), st.floats(0, 1000), st.sampled_from((0, 0.1, 10, 60, 900))
)
NONCES = st.integers(0, 2**40)


def plain(launches: Sequence[Launch], since: float, now: float, late: float = 0) -> list[float]:
    """Return the nonces of each window divided by its length, or by the time of mining if that is
    shorter; `late` is the part of each window that is left out at its beginning."""
    return [
        sum(tried for at, tried in launches if at > now - window + late * window)
        / min(window, now - since)
        for window in WINDOWS
    ]


def as_list(rate: Hashrate) -> list[float]:
    return [rate.ten_seconds, rate.minute, rate.quarter_hour]


@given(
    first=st.floats(1e-3, 100),
    steps=st.lists(st.tuples(GAPS, st.none() | NONCES), min_size=1, max_size=60),
)
def test_a_rate_is_that_of_the_launches_within_its_window(
    first: float, steps: list[tuple[float, int | None]]
) -> None:
    """A step is a launch, or (None) only a query of the rates."""
    launches = [(1000.0, 7)]
    since, now = 1000.0 - first, 1000.0
    meter = HashrateMeter()
    meter.add(now, 7, first)
    for gap, nonces in steps:
        now += gap
        if nonces is not None:
            meter.add(now, nonces, 0.1)
            launches.append((now, nonces))
        shown = as_list(meter.hashrate(now))
        most = plain(launches, since, now)
        least = plain(launches, since, now, late=1 / SLOTS + 1e-9)
        for low, rate, high in zip(least, shown, most, strict=True):
            assert low * (1 - 1e-12) <= rate <= high * (1 + 1e-12)
    assert meter.total == sum(nonces for _, nonces in launches)
    assert meter.since == since


@given(
    launches=st.lists(st.tuples(st.floats(WINDOWS[-1] / SLOTS + 1e-6, 100), NONCES), min_size=1),
    after=GAPS,
)
def test_launches_that_are_a_slot_apart_are_counted_exactly(
    launches: list[tuple[float, int]], after: float
) -> None:
    times = accumulate(gap for gap, _ in launches)
    dated = [(at, nonces) for at, (_, nonces) in zip(times, launches, strict=True)]
    meter = HashrateMeter()
    for at, nonces in dated:
        meter.add(at, nonces, 0.1)
    now = dated[-1][0] + after
    since = dated[0][0] - 0.1
    assert as_list(meter.hashrate(now)) == plain(dated, since, now)


@given(
    launches=st.lists(st.tuples(st.floats(0, 20), NONCES), min_size=1, max_size=50),
    queries=st.lists(st.floats(0, 1), max_size=50),
)
def test_queries_change_nothing(launches: list[tuple[float, int]], queries: list[float]) -> None:
    queried, other = HashrateMeter(), HashrateMeter()
    now = 0.0
    for index, (gap, nonces) in enumerate(launches):
        if index < len(queries):
            queried.hashrate(now + queries[index] * gap)
        now += gap
        queried.add(now, nonces, 0.1)
        other.add(now, nonces, 0.1)
    assert queried.hashrate(now + 5) == other.hashrate(now + 5)


def test_a_steady_device_has_the_same_rate_in_every_window() -> None:
    meter = HashrateMeter()
    for step in range(1, 10_000):
        now = step / 8
        meter.add(now, 125_000, 1 / 8)
        for rate in as_list(meter.hashrate(now)):
            assert rate == pytest.approx(1e6, rel=1 / SLOTS)


def test_the_rates_of_a_stopped_device_fall_to_zero() -> None:
    meter = HashrateMeter()
    meter.add(1000.0, 6_000_000, 100.0)
    assert as_list(meter.hashrate(1000.0)) == [6e5, 1e5, 6e4]
    assert as_list(meter.hashrate(1009.5)) == [6e5, 1e5, 6e6 / 109.5]
    assert as_list(meter.hashrate(1010.0)) == [0, 1e5, 6e6 / 110]
    assert as_list(meter.hashrate(1060.0)) == [0, 0, 6e6 / 160]
    assert as_list(meter.hashrate(1900.0)) == [0, 0, 0]
    assert meter.total == 6_000_000


def test_the_rate_is_zero_before_the_first_launch() -> None:
    assert HashrateMeter().hashrate(5.0) == Hashrate()


def test_memory_is_bounded_for_fast_launches() -> None:
    meter = HashrateMeter()
    for step in range(40_000):
        meter.add(step / 4000, 1, 1 / 4000)
    slots = [len(window._slots) for window in meter._windows]
    assert slots[0] > 3000
    assert max(slots) <= SLOTS


def test_the_mean_power_is_weighted_by_time() -> None:
    meter = PowerMeter()
    meter.add(0.0, 100.0)
    meter.add(9.0, 200.0)
    assert meter.mean(10.0, 10.0) == 110.0
    assert meter.mean(10.0, 1.0) == 200.0


def test_times_of_unknown_power_are_left_out() -> None:
    meter = PowerMeter()
    assert meter.mean(0.0, 10.0) is None
    meter.add(0.0, 100.0)
    meter.add(2.0, None)
    assert meter.mean(3.0, 10.0) is None
    meter.add(4.0, 200.0)
    assert meter.mean(6.0, 10.0) == 150.0


def test_old_power_readings_are_dropped() -> None:
    meter = PowerMeter()
    for second in range(1000):
        meter.add(float(second), 100.0)
    assert len(meter._readings) <= POWER_SECONDS + 2
    assert meter.mean(999.0, POWER_SECONDS) == 100.0

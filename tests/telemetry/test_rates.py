"""Nonces per second over sliding windows, held against their plain definition."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.telemetry import WINDOWS, Hashrate
from miner.telemetry.rates import SLOTS, Tried

Launch = tuple[float, int]
"""Clock second at which it came back, nonces."""

GAPS = st.one_of(
    st.floats(0, 0.5), st.floats(0, 12), st.floats(0, 1000), st.sampled_from((0, 0.1, 10, 60, 900))
)
NONCES = st.integers(0, 2**40)


def plain(launches: Sequence[Launch], since: float, now: float, late: float = 0) -> list[float]:
    """What came back within each window, over its length or that of all mining; with the first
    `late` windows-lengths of each window left out."""
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
def test_a_rate_is_what_came_back_within_its_window(
    first: float, steps: list[tuple[float, int | None]]
) -> None:
    """A step is a launch, or (None) a look at the rates without one."""
    launches = [(1000.0, 7)]
    since, now = 1000.0 - first, 1000.0
    tried = Tried()
    tried.add(now, 7, first)
    for gap, nonces in steps:
        now += gap
        if nonces is not None:
            tried.add(now, nonces, 0.1)
            launches.append((now, nonces))
        told = as_list(tried.hashrate(now))
        most = plain(launches, since, now)
        least = plain(launches, since, now, late=1 / SLOTS + 1e-9)
        for low, rate, high in zip(least, told, most, strict=True):
            assert low * (1 - 1e-12) <= rate <= high * (1 + 1e-12)
    assert tried.total == sum(nonces for _, nonces in launches)
    assert tried.since == since


@given(
    launches=st.lists(st.tuples(st.floats(WINDOWS[-1] / SLOTS + 1e-6, 100), NONCES), min_size=1),
    after=GAPS,
)
def test_launches_that_are_no_closer_than_slots_are_counted_exactly(
    launches: list[tuple[float, int]], after: float
) -> None:
    times = accumulate(gap for gap, _ in launches)
    dated = [(at, nonces) for at, (_, nonces) in zip(times, launches, strict=True)]
    tried = Tried()
    for at, nonces in dated:
        tried.add(at, nonces, 0.1)
    now = dated[-1][0] + after
    since = dated[0][0] - 0.1
    assert as_list(tried.hashrate(now)) == plain(dated, since, now)


@given(
    launches=st.lists(st.tuples(st.floats(0, 20), NONCES), min_size=1, max_size=50),
    looks=st.lists(st.floats(0, 1), max_size=50),
)
def test_looking_changes_nothing(launches: list[tuple[float, int]], looks: list[float]) -> None:
    seen, unseen = Tried(), Tried()
    now = 0.0
    for index, (gap, nonces) in enumerate(launches):
        if index < len(looks):
            seen.hashrate(now + looks[index] * gap)
        now += gap
        seen.add(now, nonces, 0.1)
        unseen.add(now, nonces, 0.1)
    assert seen.hashrate(now + 5) == unseen.hashrate(now + 5)


def test_a_steady_device_has_its_own_rate_at_every_moment() -> None:
    tried = Tried()
    for step in range(1, 10_000):
        now = step / 8
        tried.add(now, 125_000, 1 / 8)
        for rate in as_list(tried.hashrate(now)):
            assert rate == pytest.approx(1e6, rel=1 / SLOTS)


def test_a_device_that_stopped_falls_to_nothing_while_the_clock_goes_on() -> None:
    tried = Tried()
    tried.add(1000.0, 6_000_000, 100.0)
    assert as_list(tried.hashrate(1000.0)) == [6e5, 1e5, 6e4]
    assert as_list(tried.hashrate(1009.5)) == [6e5, 1e5, 6e6 / 109.5]
    assert as_list(tried.hashrate(1010.0)) == [0, 1e5, 6e6 / 110]
    assert as_list(tried.hashrate(1060.0)) == [0, 0, 6e6 / 160]
    assert as_list(tried.hashrate(1900.0)) == [0, 0, 0]
    assert tried.total == 6_000_000


def test_before_the_first_launch_there_is_no_rate() -> None:
    assert Tried().hashrate(5.0) == Hashrate()


def test_what_is_kept_is_bounded_however_fast_launches_come() -> None:
    tried = Tried()
    for step in range(40_000):
        tried.add(step / 4000, 1, 1 / 4000)
    kept = [len(window._slots) for window in tried._windows]
    assert kept[0] > 3000
    assert max(kept) <= SLOTS

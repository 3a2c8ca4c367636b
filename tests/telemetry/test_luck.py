"""Shares found compared with shares expected."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.telemetry import Band, Luck, luck
from miner.telemetry.luck import poisson_band

# Quantiles 2.5 % and 97.5 % of Poisson distributions, from statistical tables: the
# smallest number whose cumulative probability exceeds, or reaches, the given one.
TABLE = [
    (1.0, 0, 3),
    (2.0, 0, 5),
    (5.0, 1, 10),
    (10.0, 4, 17),
    (20.0, 12, 29),
    (50.0, 37, 64),
    (100.0, 81, 120),
]


@pytest.mark.parametrize(("mean", "low", "high"), TABLE)
def test_the_band_agrees_with_the_tables(mean: float, low: int, high: int) -> None:
    assert poisson_band(mean) == Band(low, high)


def test_nothing_expected() -> None:
    assert Luck().band == Band(0, 0)
    assert Luck().ratio is None
    assert Luck().plausible


@given(st.floats(0.01, 1e6))
def test_the_band_contains_the_mean(mean: float) -> None:
    band = poisson_band(mean)
    assert band.low <= mean + 1
    assert band.high >= mean - 1


@pytest.mark.parametrize("mean", [400.1, 450.0, 512.3, 600.0, 700.0])
def test_the_approximation_is_within_one_of_the_sum(
    mean: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    approximate = poisson_band(mean)
    monkeypatch.setattr(luck, "_LARGEST_EXACT_MEAN", 700.0)
    exact = poisson_band.__wrapped__(mean)
    assert abs(approximate.low - exact.low) <= 1
    assert abs(approximate.high - exact.high) <= 1


def test_a_working_device_is_in_the_band_95_times_of_100() -> None:
    random = Random(1)
    inside = 0
    for _ in range(2000):
        count, time = 0, 0.0
        while (time := time + random.expovariate(1.0)) < 30:
            count += 1
        inside += Luck(30.0, count).plausible
    assert 0.93 < inside / 2000 < 0.98


def test_effort_and_ratio() -> None:
    luck = Luck(expected=10.0, found=12, effort=1.5)
    assert luck.effort == 1.5
    assert luck.ratio == 1.2
    assert luck.plausible
    assert not Luck(expected=10.0, found=25).plausible

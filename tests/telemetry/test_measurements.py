"""Medians with their intervals, and the means of sensor readings."""

from __future__ import annotations

from random import Random

import pytest

from miner.telemetry import Reading
from miner.telemetry.measurements import Interval, mean_reading


@pytest.mark.parametrize(
    ("count", "low", "high"), [(1, 0, 0), (5, 0, 4), (6, 0, 5), (10, 1, 8), (20, 5, 14)]
)
def test_the_bounds_are_those_of_the_sign_test(count: int, low: int, high: int) -> None:
    values = list(range(count))
    Random(0).shuffle(values)
    assert Interval.of(values) == Interval((count - 1) / 2, low, high)


@pytest.mark.parametrize("count", [6, 10, 15, 30])
def test_the_true_median_is_rarely_outside(count: int) -> None:
    random = Random(count)
    intervals = [Interval.of([random.expovariate(1) for _ in range(count)]) for _ in range(2000)]
    inside = sum(one.low <= 0.6931 <= one.high for one in intervals)
    assert inside / len(intervals) > 0.94


def test_means_leave_out_what_no_sensor_reports() -> None:
    readings = [
        Reading(power=100.0, core_clock=1500.0, throttle="power"),
        Reading(power=110.0, throttle="heat, power"),
        Reading(),
    ]
    assert mean_reading(readings) == {
        "core_clock": 1500, "power": 105, "throttle": "heat, power",
    }  # fmt: skip
    assert mean_reading([Reading()]) == {}

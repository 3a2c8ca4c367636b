"""Figures of repeated measurements: medians with intervals, means of sensor readings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb
from statistics import fmean, median
from typing import Any

from miner.telemetry.device_snapshot import Reading
from miner.telemetry.luck import CONFIDENCE

SENSORS = ("core_clock", "memory_clock", "temperature", "memory_temperature", "power")
"""Fields of a reading that a measurement reports."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A median, with bounds between which the true median lies with probability `CONFIDENCE`."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        """Return the interval of independent `values` of any distribution.

        The bounds are the k-th smallest and the k-th largest value. Fewer than six values cannot
        give so narrow an interval; theirs holds all of them.
        """
        ordered = sorted(values)
        outside = _outside(len(ordered))
        return cls(median(ordered), ordered[outside], ordered[-1 - outside])

    def as_json(self) -> dict[str, float]:
        return {"median": self.median, "low": self.low, "high": self.high}


def _outside(count: int) -> int:
    """Return how many of `count` ordered values lie below the interval of the median, and as many
    above it: each value is below the true median with probability 1/2."""
    tail = 0.0
    for values in range(count // 2):
        tail += comb(count, values) / 2**count
        if 2 * tail > 1 - CONFIDENCE:
            return max(values - 1, 0)
    return 0


def mean_reading(readings: Sequence[Reading]) -> dict[str, Any]:
    """Return the mean of each field in `SENSORS`, without those that no sensor reports, and the
    reasons for which the device was throttled."""
    means: dict[str, Any] = {}
    for name in SENSORS:
        known = [value for one in readings if (value := getattr(one, name)) is not None]
        if known:
            means[name] = fmean(known)
    reasons = {word for one in readings if one.throttle for word in one.throttle.split(", ")}
    if reasons:
        means["throttle"] = ", ".join(sorted(reasons))
    return means

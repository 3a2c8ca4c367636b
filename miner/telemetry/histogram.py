"""Histograms of durations."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations: `counts[i]` were longer than `bounds[i - 1]` and at most `bounds[i]`
    seconds; the last count is of those longer than every bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """Sum of the durations, in seconds."""

    @classmethod
    def empty(cls, *bounds: float) -> Histogram:
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Seconds; None without a duration."""
        return self.total / self.count if self.count else None

    def with_duration(self, seconds: float) -> Histogram:
        """Return this histogram with one more duration."""
        counts = list(self.counts)
        counts[bisect_left(self.bounds, seconds)] += 1
        return Histogram(self.bounds, tuple(counts), self.total + seconds)

    def __add__(self, other: Histogram) -> Histogram:
        """Return the durations of both; raises `ValueError` if the bounds differ."""
        if self.bounds != other.bounds:
            raise ValueError("histograms of different bounds cannot be added")
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts, self.total + other.total)


ROUND_TRIPS = Histogram.empty(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
KERNEL_BUILDS = Histogram.empty(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_SWITCHES = Histogram.empty(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DATASET_BUILDS = Histogram.empty(1, 2.5, 5, 10, 30, 60, 120, 300, 600)

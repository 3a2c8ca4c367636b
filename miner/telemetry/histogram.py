"""Durations counted by how long they lasted."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` durations were at most `bounds[i]` seconds and longer than the bound before;
    the last of the counts holds those longer than every bound."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    """Seconds, all together."""

    @classmethod
    def empty(cls, *bounds: float) -> Histogram:
        return cls(bounds, (0,) * (len(bounds) + 1), 0.0)

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Seconds; None while nothing was counted."""
        return self.total / self.count if self.count else None

    def counting(self, seconds: float) -> Histogram:
        """Return this one with a duration more."""
        counts = list(self.counts)
        counts[bisect_left(self.bounds, seconds)] += 1
        return Histogram(self.bounds, tuple(counts), self.total + seconds)

    def __add__(self, other: Histogram) -> Histogram:
        """Return the durations of both; raises `ValueError` where the bounds are not the same."""
        if self.bounds != other.bounds:
            raise ValueError("histograms of different bounds cannot be added")
        counts = tuple(a + b for a, b in zip(self.counts, other.counts, strict=True))
        return Histogram(self.bounds, counts, self.total + other.total)


ROUND_TRIPS = Histogram.empty(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
KERNEL_BUILDS = Histogram.empty(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
JOB_SWITCHES = Histogram.empty(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
DATASET_BUILDS = Histogram.empty(1, 2.5, 5, 10, 30, 60, 120, 300, 600)

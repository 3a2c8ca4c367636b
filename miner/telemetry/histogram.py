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

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Seconds; None while nothing was counted."""
        return self.total / self.count if self.count else None


class Durations:
    """Counts durations as they happen."""

    def __init__(self, *bounds: float) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._total += seconds

    def histogram(self) -> Histogram:
        """Return what was counted so far."""
        return Histogram(self._bounds, tuple(self._counts), self._total)

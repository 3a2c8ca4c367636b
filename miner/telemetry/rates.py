"""Hashrates, mean power, and histograms of durations."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from miner.telemetry.field_metadata import Metric, described


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
LOOP_DELAYS = Histogram.empty(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
JOB_SWITCHES = Histogram.empty(
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10
)  # fmt: skip
DATASET_BUILDS = Histogram.empty(1, 2.5, 5, 10, 30, 60, 120, 300, 600)


WINDOWS = (10.0, 60.0, 900.0)
"""Seconds over which a hashrate is shown."""

SLOTS = 3600
"""Most parts of a window; a part leaves the window as a whole."""

POWER_SECONDS = 60.0
"""Longest window of a mean power."""


def _window(label: str, length: str) -> Any:
    metric = Metric(
        "hashrate_hashes_per_second",
        "Nonces hashed per second over the window, or since the first launch if shorter",
        "window",
        label,
    )
    return described(f"Over the last {length}", metric=metric, log=True, default=0.0)


@dataclass(frozen=True, slots=True)
class Hashrate:
    """Nonces hashed per second over the last 10 seconds, minute and quarter of an hour; over a
    shorter time while the device has mined for less."""

    ten_seconds: float = _window("10s", "10 seconds")
    minute: float = _window("60s", "60 seconds")
    quarter_hour: float = _window("15m", "900 seconds")

    def __add__(self, other: Hashrate) -> Hashrate:
        return Hashrate(
            self.ten_seconds + other.ten_seconds,
            self.minute + other.minute,
            self.quarter_hour + other.quarter_hour,
        )


class HashrateMeter:
    """Counts the nonces that one device hashes."""

    def __init__(self) -> None:
        self.total = 0
        self.since: float | None = None
        """Clock seconds at which the first launch began."""
        self._windows = tuple(map(_Window, WINDOWS))

    def add(self, now: float, tried: int, seconds: float) -> None:
        """Count a launch of `tried` nonces that ended `now` and took `seconds`."""
        self.total += tried
        if self.since is None:
            self.since = now - seconds
        for window in self._windows:
            window.add(now, tried)

    def hashrate(self, now: float) -> Hashrate:
        """Return the rates at clock second `now`, which must not decrease between calls."""
        if self.since is None or now <= self.since:
            return Hashrate()
        age = now - self.since
        sums = (window.sum(now) for window in self._windows)
        return Hashrate(*(s / min(w, age) for s, w in zip(sums, WINDOWS, strict=True)))


class _Window:
    """The sum over one window."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._slot_seconds = seconds / SLOTS
        self._slots: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now: float, tried: int) -> None:
        self.sum(now)
        self._sum += tried
        if self._slots and now - self._slots[-1][0] < self._slot_seconds:
            now, before = self._slots.pop()
            tried += before
        self._slots.append((now, tried))

    def sum(self, now: float) -> int:
        """Return the nonces of the launches that ended within the window before `now`."""
        while self._slots and self._slots[0][0] <= now - self._seconds:
            self._sum -= self._slots.popleft()[1]
        return self._sum


class PowerMeter:
    """Averages the power readings of one device over time."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float | None]] = deque()
        self.energy: float | None = None
        """J up to the newest reading; None before the first known one."""

    def add(self, now: float, watts: float | None) -> None:
        """Add a reading (None: unknown), which holds until the next one; for the energy, at most
        for `POWER_SECONDS`."""
        at, before = self._readings[-1] if self._readings else (now, None)
        if before is not None or watts is not None:
            held = min(now - at, POWER_SECONDS)
            self.energy = (self.energy or 0.0) + (before or 0.0) * held
        self._readings.append((now, watts))
        while len(self._readings) > 1 and self._readings[1][0] <= now - POWER_SECONDS:
            self._readings.popleft()

    def mean(self, now: float, seconds: float) -> float | None:
        """Return the mean W over the last `seconds`, at most `POWER_SECONDS`, without the times
        of unknown power; None if the newest reading is unknown."""
        if not self._readings or self._readings[-1][1] is None:
            return None
        energy = known = 0.0
        for (at, watts), (until, _) in pairwise([*self._readings, (now, None)]):
            duration = until - max(at, now - min(seconds, POWER_SECONDS))
            if watts is not None and duration > 0:
                energy += watts * duration
                known += duration
        return energy / known if known else self._readings[-1][1]

"""Power over the time that a hashrate is about."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

LONGEST = 60.0
"""Seconds of readings that are kept."""


class Drawn:
    """The power that one device draws, as its sensor told it."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float | None]] = deque()

    def add(self, now: float, watts: float | None) -> None:
        """Note what was read `now`, in clock seconds; it holds until the next reading."""
        self._readings.append((now, watts))
        while len(self._readings) > 1 and self._readings[1][0] <= now - LONGEST:
            self._readings.popleft()

    def mean(self, now: float, seconds: float) -> float | None:
        """Return W over the `seconds` before `now`, at most a minute, as far as they were told;
        None where nothing is told now."""
        if not self._readings or self._readings[-1][1] is None:
            return None
        energy = known = 0.0
        for (at, watts), (until, _) in pairwise([*self._readings, (now, None)]):
            lasted = until - max(at, now - min(seconds, LONGEST))
            if watts is not None and lasted > 0:
                energy += watts * lasted
                known += lasted
        return energy / known if known else self._readings[-1][1]

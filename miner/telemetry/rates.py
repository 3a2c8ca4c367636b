"""Nonces tried over sliding windows."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOWS = (10.0, 60.0, 900.0)
"""Seconds over which a hashrate is shown."""

SLOT_SECONDS = 0.25
"""Launches that came back this close together are kept as one."""


@dataclass(frozen=True, slots=True)
class Hashrate:
    """Nonces really tried per second, over the last 10 seconds, minute and quarter of an hour;
    over a shorter time while the device mines for less than that."""

    ten_seconds: float = 0.0
    minute: float = 0.0
    quarter_hour: float = 0.0

    def __add__(self, other: Hashrate) -> Hashrate:
        return Hashrate(
            self.ten_seconds + other.ten_seconds,
            self.minute + other.minute,
            self.quarter_hour + other.quarter_hour,
        )


class Tried:
    """The nonces that one device tried."""

    def __init__(self) -> None:
        self.total = 0
        self.since: float | None = None
        """Clock seconds at which the first launch began."""
        self._slots: deque[tuple[float, int]] = deque()

    def add(self, now: float, tried: int, seconds: float) -> None:
        """Note a launch of `tried` nonces that came back `now`, after `seconds`."""
        self.total += tried
        if self.since is None:
            self.since = now - seconds
        if self._slots and now - self._slots[-1][0] < SLOT_SECONDS:
            at, before = self._slots.pop()
            self._slots.append((at, before + tried))
        else:
            self._slots.append((now, tried))
        while self._slots[0][0] <= now - WINDOWS[-1]:
            self._slots.popleft()

    def hashrate(self, now: float) -> Hashrate:
        if self.since is None or now <= self.since:
            return Hashrate()
        age = now - self.since
        sums = [0, 0, 0]
        for at, tried in reversed(self._slots):
            if at <= now - WINDOWS[-1]:
                break
            for index, window in enumerate(WINDOWS):
                if at > now - window:
                    sums[index] += tried
        return Hashrate(*(s / min(w, age) for s, w in zip(sums, WINDOWS, strict=True)))

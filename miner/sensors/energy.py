"""Power from a counter of energy."""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SECONDS = 0.05
"""Two looks closer than this say nothing: counters are renewed about every millisecond."""


@dataclass(slots=True)
class EnergyMeter:
    """Watts between two looks at a counter of microjoules that begins again after `wraps_at`."""

    wraps_at: float | None = None
    _last: tuple[float, float] | None = None
    _watts: float | None = None

    def power(self, now: float, microjoules: float | None) -> float | None:
        """Return W since the last look, `now` in seconds; None at the first and after a gap."""
        if microjoules is None:
            self._last = self._watts = None
            return None
        if self._last is None:
            self._last = (now, microjoules)
            return None
        then, before = self._last
        if now - then < LEAST_SECONDS:
            return self._watts
        used = microjoules - before
        if used < 0:
            # The counter began again; without its range, nobody knows how much was used.
            used = used + self.wraps_at if self.wraps_at else -1.0
        self._last = (now, microjoules)
        self._watts = used / (now - then) / 1e6 if used >= 0 else None
        return self._watts

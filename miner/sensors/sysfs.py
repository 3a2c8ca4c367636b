"""Values in the device files of Linux under /sys; power comes from energy counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLAUSIBLE = (-50.0, 200.0)
"""°C; a dead chip answers with all bits set, which reads as 511."""


class Folder:
    """A folder of files with one value each; an absent or unreadable value is None."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None  # drivers answer with an error for values that this device does not have

    def number(self, name: str) -> float | None:
        """Return the number in `name`, in the driver's unit."""
        text = self.text(name)
        try:
            return None if text is None else float(int(text))
        except ValueError:
            return None

    def positive(self, *names: str) -> float | None:
        """Return the first of `names` with a number above zero: drivers use zero and less for
        unknown or unlimited values."""
        found = (self.number(name) for name in names)
        return next((number for number in found if number is not None and number > 0), None)

    def labelled(self, kind: str) -> dict[str, str]:
        """Return the stem of each file of `kind` by its label, as in {"edge": "temp1"}; without a
        label, by the stem itself."""
        stems = {}
        for path in sorted(self._glob(f"{kind}[0-9]*_input")):
            stem = path.name.removesuffix("_input")
            stems[(self.text(f"{stem}_label") or stem).lower()] = stem
        return stems

    def celsius(self, stem: str | None) -> float | None:
        """Return the temperature `stem` in °C; sysfs has thousandths."""
        value = self.number(f"{stem}_input") if stem else None
        if value is None or not PLAUSIBLE[0] <= value / 1000 <= PLAUSIBLE[1]:
            return None
        return value / 1000

    def folders(self, pattern: str) -> Iterator[Folder]:
        """Yield the folders that match `pattern`, in the order of their names."""
        for path in sorted(self._glob(pattern)):
            yield Folder(path)

    def _glob(self, pattern: str) -> list[Path]:
        try:
            return list(self.path.glob(pattern))
        except OSError:
            return []


def hwmon_of(device: Folder, *drivers: str) -> Folder | None:
    """Return the hwmon folder of `device`, preferably one of `drivers`; None when there is
    none."""
    found = list(device.folders("hwmon/hwmon*"))
    named = [folder for folder in found if folder.text("name") in drivers]
    return next(iter(named or found), None)


def scaled(value: float | None, divisor: float) -> float | None:
    """Return `value / divisor`; None stays None."""
    return None if value is None else value / divisor


LEAST_SECONDS = 0.05
"""Shortest interval to compute power over: counters are updated about every millisecond."""


@dataclass(slots=True)
class EnergyMeter:
    """Mean power between two readings of a counter of microjoules, which starts again from 0
    after `wraps_at`."""

    wraps_at: float | None = None
    _last: tuple[float, float] | None = None
    _watts: float | None = None

    def power(self, now: float, microjoules: float | None) -> float | None:
        """Return the W since the previous reading, `now` in seconds; None at the first reading and
        after an unknown one."""
        if microjoules is None:
            self._last = self._watts = None
            return None
        if self._last is None:
            self._last = (now, microjoules)
            return None
        then, before = self._last
        if now - then < LEAST_SECONDS:
            return self._watts
        self._last = (now, microjoules)
        used = microjoules - before
        if used < 0 and self.wraps_at:
            used += self.wraps_at
        # A counter that started again, without a known range, gives no power.
        self._watts = used / (now - then) / 1e6 if used >= 0 else None
        return self._watts

"""Files of sysfs: numbers, PCI devices, energy counters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

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


PLAUSIBLE = (-50.0, 200.0)
"""°C; a chip that has died answers with all bits set, which reads as 511."""


class Folder:
    """One folder of files of one value each; what is absent or unreadable is None."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None  # a driver answers with an error for what this device does not have

    def number(self, name: str) -> float | None:
        """Return the number in `name`, in the driver's unit."""
        text = self.text(name)
        try:
            return None if text is None else float(int(text))
        except ValueError:
            return None

    def first(self, *names: str) -> float | None:
        """Return the first of `names` that holds a number."""
        return next((n for name in names if (n := self.number(name)) is not None), None)

    def positive(self, *names: str) -> float | None:
        """As `first`; zero and less are what drivers say for unknown or unlimited."""
        found = (self.number(name) for name in names)
        return next((number for number in found if number is not None and number > 0), None)

    def labelled(self, kind: str) -> dict[str, str]:
        """Return the stem of each `kind` by its label, as in {"edge": "temp1"}.

        One without a label is found under its own stem.
        """
        stems = {}
        for path in sorted(self._glob(f"{kind}[0-9]*_input")):
            stem = path.name.removesuffix("_input")
            stems[(self.text(f"{stem}_label") or stem).lower()] = stem
        return stems

    def celsius(self, stem: str | None) -> float | None:
        """Return the temperature `stem` in °C; sysfs holds thousandths."""
        value = self.number(f"{stem}_input") if stem else None
        if value is None or not PLAUSIBLE[0] <= value / 1000 <= PLAUSIBLE[1]:
            return None
        return value / 1000

    def folders(self, pattern: str) -> Iterator[Folder]:
        """Yield the folders that match `pattern`, in order of their names."""
        for path in sorted(self._glob(pattern)):
            yield Folder(path)

    def _glob(self, pattern: str) -> list[Path]:
        try:
            return list(self.path.glob(pattern))
        except OSError:
            return []


def scaled(value: float | None, divisor: float) -> float | None:
    """Return `value / divisor`; what is unknown stays unknown."""
    return None if value is None else value / divisor


def monitor(device: Folder, *drivers: str) -> Folder | None:
    """Return the hwmon folder of `device`, that of one of `drivers` before any other."""
    found = list(device.folders("hwmon/hwmon*"))
    named = [folder for folder in found if folder.text("name") in drivers]
    return next(iter(named or found), None)

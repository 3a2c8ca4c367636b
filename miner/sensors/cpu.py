"""Sensors of the CPU: temperature of its packages, and their power where it is readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from miner.errors import DeviceError
from miner.sensors.sysfs import EnergyMeter, Folder
from miner.telemetry import Reading

_PACKAGES = {
    "coretemp": ("package id",),
    "k10temp": ("tdie", "tctl"),
    "zenpower": ("tdie", "tctl"),
    "cpu_thermal": ("temp1",),
}
"""Drivers of CPU sensors, with the beginnings of their labels of the whole package, best first."""


class Processor:
    """The CPUs of all sockets as one device, under `sysfs`, normally /sys.

    `now` returns seconds. Raises `DeviceError` when neither temperature nor power is readable.
    """

    identity = "cpu"

    def __init__(self, sysfs: Path, now: Callable[[], float]) -> None:
        self._hwmon = Folder(sysfs / "class/hwmon")
        self._now = now
        self._meters: list[tuple[Folder, EnergyMeter]] = []
        # AMD's CPUs have "intel-rapl" folders too; "intel-rapl:0:1" would be a part of a package.
        for zone in Folder(sysfs / "class/powercap").folders("intel-rapl:*"):
            if (zone.text("name") or "").startswith("package"):
                self._meters.append((zone, EnergyMeter(zone.number("max_energy_range_uj"))))
        readable = any(zone.number("energy_uj") is not None for zone, _ in self._meters)
        if self._temperature() is None and not readable:
            raise DeviceError(
                "no driver of a CPU's temperature is loaded, and no energy counter is readable by "
                "this user"
            )

    def read(self) -> Reading:
        """Return the temperature of the hottest package, and the mean power of all packages since
        the previous reading."""
        now = self._now()
        powers = [meter.power(now, zone.number("energy_uj")) for zone, meter in self._meters]
        known = [power for power in powers if power is not None]
        # The sum over some of the sockets would look like the power of all.
        complete = bool(known) and len(known) == len(powers)
        return Reading(temperature=self._temperature(), power=sum(known) if complete else None)

    def driver_errors(self) -> list[str]:
        return []

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _temperature(self) -> float | None:
        found = []
        for folder in self._hwmon.folders("hwmon*"):
            labels = folder.labelled("temp")
            for beginning in _PACKAGES.get(folder.text("name") or "", ()):
                stems = [stem for label, stem in labels.items() if label.startswith(beginning)]
                values = [v for stem in stems if (v := folder.celsius(stem)) is not None]
                if values:
                    found.append(max(values))
                    break
        return max(found, default=None)

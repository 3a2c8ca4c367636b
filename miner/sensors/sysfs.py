"""Sensors that Linux shows as files under /sys: those of AMD and Intel GPUs, and of CPUs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from miner.errors import DeviceError
from miner.telemetry import Reading

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


class _FileSensors:
    """Sensors that are read from files: they report no driver errors and keep no file open."""

    def driver_errors(self) -> list[str]:
        return []

    def close(self) -> None:
        """Do nothing: no file stays open."""


class AmdCard(_FileSensors):
    """The card at the PCI address `pci` ("0000:03:00.0") under `sysfs`, normally /sys.

    Raises `DeviceError` if the card does not exist or its driver has no sensors.
    """

    def __init__(self, pci: str, sysfs: Path) -> None:
        self.identity = pci
        self._device = Folder(sysfs / "bus/pci/devices" / pci)
        if hwmon_of(self._device, "amdgpu") is None:
            raise DeviceError(f"the amdgpu driver shows no hwmon folder for {pci}")

    def read(self) -> Reading:
        # A reset of the card renames its hwmon folder, so it is looked up each time.
        device, hwmon = self._device, hwmon_of(self._device, "amdgpu")
        if hwmon is None:
            raise DeviceError(f"the card at {self.identity} is gone from the system")
        temperatures, clocks = hwmon.labelled("temp"), hwmon.labelled("freq")
        hotspot = hwmon.celsius(temperatures.get("junction"))
        core = hwmon.celsius(temperatures.get("edge") or temperatures.get("temp1"))
        return Reading(
            # Accelerators have no sensor at the edge.
            temperature=hotspot if core is None else core,
            memory_temperature=hwmon.celsius(temperatures.get("mem")),
            hotspot_temperature=hotspot,
            power=scaled(hwmon.positive("power1_average", "power1_input"), 1e6),
            power_limit=scaled(hwmon.positive("power1_cap"), 1e6),
            fan=_fan(hwmon),
            core_clock=_megahertz(hwmon, clocks.get("sclk") or clocks.get("freq1")),
            memory_clock=_megahertz(hwmon, clocks.get("mclk") or clocks.get("freq2")),
            memory_used=device.number("mem_info_vram_used"),
            utilization=device.number("gpu_busy_percent"),
        )


def _fan(hwmon: Folder) -> float | None:
    """Return the fan's percentage: of its drive, or else of its greatest speed where that is
    known."""
    drive = hwmon.number("pwm1")
    if drive is not None:
        return min(drive / (hwmon.positive("pwm1_max") or 255.0) * 100, 100.0)
    speed, greatest = hwmon.number("fan1_input"), hwmon.positive("fan1_max")
    return None if speed is None or greatest is None else min(speed / greatest * 100, 100.0)


def _megahertz(hwmon: Folder, stem: str | None) -> float | None:
    return scaled(hwmon.number(f"{stem}_input"), 1e6) if stem else None


_INTEL_DRIVERS = ("i915", "xe")

REASONS = {
    "pl1": "power limit",
    "pl2": "power limit",
    "pl4": "power limit",
    "thermal": "temperature",
    "ratl": "temperature",
    "prochot": "temperature",
    "vr_thermalert": "temperature of the voltage regulator",
    "vr_tdc": "current limit",
}
"""Throttle reasons, by the end of the name of a file that is 1 while the reason holds."""


class IntelGpu(_FileSensors):
    """The GPU at the PCI address `pci` ("0000:03:00.0") under `sysfs`, normally /sys.

    `now` returns seconds. Raises `DeviceError` when its driver has no sensors; a GPU that is part
    of a CPU has none.
    """

    def __init__(self, pci: str, sysfs: Path, now: Callable[[], float]) -> None:
        self.identity = pci
        self._device = Folder(sysfs / "bus/pci/devices" / pci)
        self._now = now
        self._meter = EnergyMeter()
        if hwmon_of(self._device, *_INTEL_DRIVERS) is None:
            raise DeviceError(f"neither i915 nor xe shows a hwmon folder for {pci}")

    def read(self) -> Reading:
        """Return the present values; raises `DeviceError` when the GPU is gone.

        Power is the mean since the previous reading, unknown in the first. The fan is unknown: the
        drivers show its speed, but not its greatest speed.
        """
        hwmon = hwmon_of(self._device, *_INTEL_DRIVERS)
        if hwmon is None:
            raise DeviceError(f"the GPU at {self.identity} is gone from the system")
        temperatures = hwmon.labelled("temp")
        # energy1 is the whole card's, energy2 the package's; some cards have the latter alone.
        energy = hwmon.positive("energy1_input", "energy2_input")
        return Reading(
            temperature=hwmon.celsius(temperatures.get("pkg") or temperatures.get("temp1")),
            memory_temperature=hwmon.celsius(temperatures.get("vram")),
            power=self._meter.power(self._now(), energy),
            power_limit=scaled(hwmon.positive("power1_max", "power1_cap"), 1e6),
            core_clock=self._core_clock(),
            throttle=self._throttle() or None,
        )

    def _core_clock(self) -> float | None:
        """Return the MHz, 0 for a sleeping GPU; xe has the first file, i915 the second."""
        clock = self._device.number("tile0/gt0/freq0/act_freq")
        if clock is not None:
            return clock
        cards = self._device.folders("drm/card[0-9]*")
        return next((n for c in cards if (n := c.number("gt_act_freq_mhz")) is not None), None)

    def _throttle(self) -> str:
        reasons = []
        for prefix, pattern in (
            ("reason_", "tile0/gt0/freq0/throttle"),
            ("throttle_reason_", "drm/card[0-9]*/gt/gt0"),
        ):
            for folder in self._device.folders(pattern):
                reasons += [text for end, text in REASONS.items() if folder.number(prefix + end)]
        return ", ".join(dict.fromkeys(reasons))


_PACKAGES = {
    "coretemp": ("package id",),
    "k10temp": ("tdie", "tctl"),
    "zenpower": ("tdie", "tctl"),
    "cpu_thermal": ("temp1",),
}
"""Drivers of CPU sensors, with the beginnings of their labels of the whole package, best first."""


class Processor(_FileSensors):
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

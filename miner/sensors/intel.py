"""Sensors of Intel GPUs, as the kernel's i915 and xe drivers show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from miner.errors import DeviceError
from miner.sensors.sysfs import EnergyMeter, Folder, hwmon_of, scaled
from miner.telemetry import Reading

DRIVERS = ("i915", "xe")

_REASONS = {
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


class IntelGpu:
    """The GPU at the PCI address `pci` ("0000:03:00.0") under `sysfs`, normally /sys.

    `now` returns seconds. Raises `DeviceError` when its driver has no sensors; a GPU that is part
    of a CPU has none.
    """

    def __init__(self, pci: str, sysfs: Path, now: Callable[[], float]) -> None:
        self.identity = pci
        self._device = Folder(sysfs / "bus/pci/devices" / pci)
        self._now = now
        self._meter = EnergyMeter()
        if hwmon_of(self._device, *DRIVERS) is None:
            raise DeviceError(f"neither i915 nor xe shows a hwmon folder for {pci}")

    def read(self) -> Reading:
        """Return the present values; raises `DeviceError` when the GPU is gone.

        Power is the mean since the previous reading, unknown in the first. The fan is unknown: the
        drivers show its speed, but not its greatest speed.
        """
        hwmon = hwmon_of(self._device, *DRIVERS)
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

    def driver_errors(self) -> list[str]:
        return []

    def close(self) -> None:
        """Do nothing: no file stays open."""

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
                reasons += [text for end, text in _REASONS.items() if folder.number(prefix + end)]
        return ", ".join(dict.fromkeys(reasons))

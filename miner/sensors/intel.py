"""Readings of Intel's GPUs, as the kernel's i915 and xe drivers show them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from miner.errors import DeviceError
from miner.sensors.sysfs import EnergyMeter, Folder, monitor, scaled
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
"""Endings of the files that hold 1 while the driver slows the clock for that reason."""


class IntelGpu:
    """The GPU at the PCI address `pci` ("0000:03:00.0") under `sysfs`, normally /sys.

    `now` returns seconds. Raises `DeviceError` where no driver shows anything of it; GPUs that
    are part of a processor have no sensors of their own.
    """

    def __init__(self, pci: str, sysfs: Path, now: Callable[[], float]) -> None:
        self.identity = pci
        self._device = Folder(sysfs / "bus/pci/devices" / pci)
        self._now = now
        self._meter = EnergyMeter()
        if monitor(self._device, *DRIVERS) is None:
            raise DeviceError(f"neither i915 nor xe shows a hwmon folder for {pci}")

    def read(self) -> Reading:
        """Return what the driver shows now; `DeviceError` where the GPU is gone.

        Power is a mean since the last reading, so the first has none. The fan's speed is told in
        turns alone, without a greatest, so its percentage is unknown.
        """
        hwmon = monitor(self._device, *DRIVERS)
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

    def news(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing is held open."""

    def _core_clock(self) -> float | None:
        """MHz; zero means that the GPU sleeps."""
        clock = self._device.number("tile0/gt0/freq0/act_freq")
        if clock is not None:
            return clock
        cards = self._device.folders("drm/card[0-9]*")
        return next((n for c in cards if (n := c.number("gt_act_freq_mhz")) is not None), None)

    def _throttle(self) -> str:
        words = []
        for prefix, folder in (
            ("reason_", "tile0/gt0/freq0/throttle"),
            ("throttle_reason_", "drm/card[0-9]*/gt/gt0"),
        ):
            for place in self._device.folders(folder):
                words += [w for end, w in _REASONS.items() if place.number(prefix + end)]
        return ", ".join(dict.fromkeys(words))

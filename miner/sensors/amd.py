"""Sensors of AMD cards, as the kernel's amdgpu driver shows them."""

from __future__ import annotations

from pathlib import Path

from miner.errors import DeviceError
from miner.sensors.sysfs import Folder, hwmon_of, scaled
from miner.telemetry import Reading


class AmdCard:
    """The card at the PCI address `pci` ("0000:03:00.0") under `sysfs`, normally /sys.

    Raises `DeviceError` when there is no such card, or its driver has no sensors.
    """

    def __init__(self, pci: str, sysfs: Path) -> None:
        self.identity = pci
        self._device = Folder(sysfs / "bus/pci/devices" / pci)
        if hwmon_of(self._device, "amdgpu") is None:
            raise DeviceError(f"the amdgpu driver shows no hwmon folder for {pci}")

    def read(self) -> Reading:
        """Return the present values; raises `DeviceError` when the card is gone."""
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

    def driver_errors(self) -> list[str]:
        return []

    def close(self) -> None:
        """Do nothing: no file stays open."""


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

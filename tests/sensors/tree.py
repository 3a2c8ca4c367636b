"""Files under /sys as Linux's drivers write them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from miner.work import DeviceInfo

AMD = "0000:03:00.0"
INTEL = "0000:04:00.0"


def write(folder: Path, files: Mapping[str, object]) -> Path:
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n", encoding="utf-8")
    return folder


def device_folder(sysfs: Path, pci: str) -> Path:
    return sysfs / "bus/pci/devices" / pci


AMD_FILES = {
    "vendor": "0x1002",
    "gpu_busy_percent": 99,
    "mem_info_vram_used": 4_831_838_208,
    "hwmon/hwmon3/name": "amdgpu",
    "hwmon/hwmon3/temp1_input": 61_000,
    "hwmon/hwmon3/temp1_label": "edge",
    "hwmon/hwmon3/temp2_input": 78_500,
    "hwmon/hwmon3/temp2_label": "junction",
    "hwmon/hwmon3/temp3_input": 84_000,
    "hwmon/hwmon3/temp3_label": "mem",
    "hwmon/hwmon3/power1_average": 121_000_000,
    "hwmon/hwmon3/power1_cap": 203_000_000,
    "hwmon/hwmon3/pwm1": 102,
    "hwmon/hwmon3/fan1_input": 1300,
    "hwmon/hwmon3/fan1_max": 3300,
    "hwmon/hwmon3/freq1_input": 1_350_000_000,
    "hwmon/hwmon3/freq1_label": "sclk",
    "hwmon/hwmon3/freq2_input": 1_000_000_000,
    "hwmon/hwmon3/freq2_label": "mclk",
}


def amd_tree(sysfs: Path, *without: str, **values: object) -> Path:
    """Write an AMD card's files under `sysfs`, without those that start with one of `without`."""
    files: dict[str, object] = {
        name: value
        for name, value in AMD_FILES.items()
        if not name.rpartition("/")[2].startswith(without or ("\n",))
    }
    files |= {f"hwmon/hwmon3/{name}": value for name, value in values.items()}
    return write(device_folder(sysfs, AMD), files)


def info(
    name: str, vendor: str, pci: str | None = None, uuid: str | None = None, kind: str = "gpu"
) -> DeviceInfo:
    return DeviceInfo(
        name, name.partition(":")[0], "Toy", kind, "1.0", 2**33, 2**32, 10,
        vendor=vendor, pci=pci, uuid=uuid,
    )  # fmt: skip

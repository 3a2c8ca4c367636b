"""OpenCL platforms: which devices they show, and their identity."""

from __future__ import annotations

import os
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.device import DeviceInfo
from miner.devices.visibility import hidden
from miner.resources import cache_directory

_VENDORS = {
    "nvidia": ("nvidia",),
    "amd": ("advanced micro devices", "amd"),
    "intel": ("intel",),
}
"""Our name of a vendor, with what its drivers call it."""


def identity(cl: ModuleType, name: str, platform: Any, device: Any) -> DeviceInfo:
    """Return what is known of `device`, which is called `name` here."""
    uuid, vendor = _uuid(device), _vendor(device)
    absent = None if device.available else "the driver says that it is not available"
    return DeviceInfo(
        name=name,
        backend="opencl",
        model=" ".join(device.name.split()),
        kind=_kind(cl, device),
        driver=f"{' '.join(platform.name.split())} {device.driver_version}",
        memory=device.global_mem_size,
        largest_allocation=device.max_mem_alloc_size,
        units=device.max_compute_units,
        vendor=vendor,
        pci=_pci(device),
        uuid=uuid,
        unusable=(hidden(uuid) if vendor == "nvidia" else None) or absent,
    )


def _kind(cl: ModuleType, device: Any) -> str:
    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"


def _pci(device: Any) -> str | None:
    """PCI address "0000:01:00.0" by the extensions of the vendors, None where none has it."""
    try:
        info = device.pci_bus_info_khr
        return f"{info.pci_domain:04x}:{info.pci_bus:02x}:{info.pci_device:02x}.{info.pci_function}"
    except Exception:  # noqa: BLE001  (drivers fail in their own ways on what they lack)
        pass
    try:
        topology = device.topology_amd
        return f"0000:{topology.bus:02x}:{topology.device:02x}.{topology.function}"
    except Exception:  # noqa: BLE001
        pass
    try:
        return f"0000:{device.pci_bus_id_nv:02x}:{device.pci_slot_id_nv >> 3:02x}.0"
    except Exception:  # noqa: BLE001
        return None


def _vendor(device: Any) -> str:
    said = " ".join(device.vendor.split())
    for name, words in _VENDORS.items():
        if any(word in said.lower() for word in words):
            return name
    return said


def _uuid(device: Any) -> str | None:
    """ "GPU-…" as NVIDIA's own tools print it, None where the driver has no such extension."""
    try:
        raw = bytes(device.uuid_khr)
    except Exception:  # noqa: BLE001  (drivers fail in their own ways on what they lack)
        return None
    if len(raw) != 16 or not any(raw):
        return None
    return f"GPU-{UUID(bytes=raw)}" if _vendor(device) == "nvidia" else str(UUID(bytes=raw))


SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")


def intel_cpu_runtime() -> Path | None:
    """Return the library of Intel's runtime for CPUs where its package is installed."""
    try:
        distribution = metadata.distribution("intel-opencl-rt")
    except metadata.PackageNotFoundError:
        return None
    for file in distribution.files or ():
        if file.name == "libintelocl.so":
            path = Path(str(distribution.locate_file(file))).resolve()
            if path.exists():
                return path
    fallback = Path(sys.prefix) / "lib" / "libintelocl.so"
    return fallback if fallback.exists() else None


def make_vendors_findable(system: Path = SYSTEM_VENDORS) -> None:
    """Set `OCL_ICD_VENDORS` to a folder with all drivers; a value that is set already stays."""
    library = intel_cpu_runtime()
    if "OCL_ICD_VENDORS" in os.environ or library is None:
        return
    entries = {"intel-cpu.icd": f"{library}\n"}
    if system.is_dir():
        for icd in sorted(system.glob("*.icd")):
            entries[icd.name] = icd.read_text(encoding="utf-8", errors="replace")
    folder = cache_directory() / "opencl-vendors"
    try:
        _fill(folder, entries)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="progpow-miner-vendors-"))
        _fill(folder, entries)
    os.environ["OCL_ICD_VENDORS"] = str(folder)


def _fill(folder: Path, entries: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.icd"):
        if old.name not in entries:
            old.unlink()
    for name, text in entries.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            temporary = folder / f".{os.getpid()}-{name}"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)

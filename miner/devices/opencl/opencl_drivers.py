"""OpenCL's drivers: how they are found, what they report of a device, how objects are released."""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.device_names import PciAddress, hidden
from miner.resources import cache_directory, read_regular, replace_file
from miner.work import DeviceInfo

_VENDORS = {
    "nvidia": ("nvidia",),
    "amd": ("advanced micro devices", "amd"),
    "intel": ("intel",),
}
"""Our name of a vendor, with the names in its drivers."""


def identity(cl: ModuleType, name: str, platform: Any, device: Any) -> DeviceInfo:
    """Return the identity of `device`, whose name here is `name`."""
    uuid, vendor = _uuid(device), _vendor(device)
    absent = None if device.available else "the driver reports it as not available"
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
    """Return the PCI address from the first vendor extension that the driver supports."""
    for extension in (_pci_khr, _pci_amd, _pci_nvidia):
        try:
            return str(extension(device))
        except Exception:  # noqa: BLE001  (drivers fail in their own ways on missing extensions)
            continue
    return None


def _pci_khr(device: Any) -> PciAddress:
    info = device.pci_bus_info_khr
    return PciAddress(info.pci_domain, info.pci_bus, info.pci_device, info.pci_function)


def _pci_amd(device: Any) -> PciAddress:
    topology = device.topology_amd
    return PciAddress(0, topology.bus, topology.device, topology.function)


def _pci_nvidia(device: Any) -> PciAddress:
    return PciAddress(0, device.pci_bus_id_nv, device.pci_slot_id_nv >> 3, 0)


def _vendor(device: Any) -> str:
    text = " ".join(device.vendor.split())
    for name, words in _VENDORS.items():
        if any(word in text.lower() for word in words):
            return name
    return text


def _uuid(device: Any) -> str | None:
    """Return the UUID, of NVIDIA as its own tools print it, "GPU-…"; None where the driver lacks
    the extension."""
    try:
        raw = bytes(device.uuid_khr)
    except Exception:  # noqa: BLE001  (drivers fail in their own ways on missing extensions)
        return None
    if len(raw) != 16 or not any(raw):
        return None
    return f"GPU-{UUID(bytes=raw)}" if _vendor(device) == "nvidia" else str(UUID(bytes=raw))


SYSTEM_VENDORS = Path("/etc/OpenCL/vendors")


def intel_cpu_runtime() -> Path | None:
    """Return the library of Intel's runtime for CPUs, None unless its package is installed."""
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
    """Set `OCL_ICD_VENDORS` to a folder that lists Intel's runtime for CPUs beside the system's
    drivers; does nothing when the variable is set, or the runtime is not installed."""
    library = intel_cpu_runtime()
    if "OCL_ICD_VENDORS" in os.environ or library is None:
        return
    entries = {"intel-cpu.icd": f"{library}\n"}
    if system.is_dir():
        for icd in sorted(system.glob("*.icd")):
            entries[icd.name] = icd.read_text(encoding="utf-8", errors="replace")
    folder = cache_directory() / "opencl-vendors"
    try:
        _write_entries(folder, entries)
    except OSError:
        try:
            folder = Path(tempfile.mkdtemp(prefix="progpow-miner-vendors-"))
            _write_entries(folder, entries)
        except OSError:  # the disk is full
            return
    os.environ["OCL_ICD_VENDORS"] = str(folder)


def _write_entries(folder: Path, entries: dict[str, str]) -> None:
    """Make the *.icd files of `folder` those of `entries`; other processes may read it."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.icd"):
        if old.name not in entries:
            old.unlink()
    for name, text in entries.items():
        path, content = folder / name, text.encode()
        try:
            unchanged = read_regular(path, len(content)) == content
        except OSError:
            unchanged = False
        if not unchanged:
            replace_file(path, content)


class Kept:
    """Owns one driver object; when the owner is dropped, the object goes to the release list."""

    __slots__ = ("_objects", "object")

    def __init__(self, objects: DriverObjects, item: Any) -> None:
        self._objects, self.object = objects, item

    def __del__(self) -> None:
        self._objects.retire(self.object)


class DriverObjects:
    """The release list of a driver, emptied only while none of its builds runs; any thread may
    call it.

    PyOpenCL releases an object in its destructor, which holds the interpreter's lock. Intel's
    driver lets the release of a program wait for the build of another one. So a destructor that
    runs during a build, at a time that the garbage collector chooses, would stop all threads of
    the process.
    """

    def __init__(self) -> None:
        self._retired: deque[Any] = deque()
        self._turn = threading.Condition()
        self._builds = 0
        self._waiting = 0
        """Threads that wait in `alone`, or are in its block; no build starts before they end."""

    def keep(self, item: Any) -> Kept:
        """Return the owner of the driver object `item`; nothing else should refer to it."""
        return Kept(self, item)

    def retire(self, *items: Any) -> None:
        """Put `items` on the release list. Takes no lock, since destructors call it."""
        self._retired.extend(items)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Enclose a build; builds run side by side. The last one that ends empties the list."""
        with self._turn:
            self._turn.wait_for(lambda: not self._waiting)
            self._builds += 1
        try:
            yield
        finally:
            with self._turn:
                self._builds -= 1
                self._empty_if_idle()
                self._turn.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the running builds, empty the list, and start no build during the block."""
        with self._turn:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._builds)
                self._empty_if_idle()
                yield
            finally:
                self._waiting -= 1
                self._turn.notify_all()

    def release_if_idle(self) -> None:
        """Empty the list, unless a build runs: then its end does so."""
        with self._turn:
            self._empty_if_idle()

    def _empty_if_idle(self) -> None:
        if self._builds:
            return
        while self._retired:
            self._retired.popleft()


@cache
def driver_objects() -> DriverObjects:
    """Return the release list of this process: drivers have one compiler for all devices."""
    return DriverObjects()

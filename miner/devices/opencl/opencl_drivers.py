"""OpenCL's drivers: their order, facts about their devices, and the release of their objects."""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple
from uuid import UUID

from miner.devices.device_names import PciAddress
from miner.devices.opencl import OPENCL
from miner.devices.opencl.opencl_memory import error_name
from miner.devices.same_hardware import hidden
from miner.errors import BackendUnavailable
from miner.work import DeviceInfo

_VENDORS = {
    "nvidia": ("nvidia",),
    "amd": ("advanced micro devices", "amd"),
    "intel": ("intel",),
}
"""Our name of a vendor, with the names in its drivers."""

OLDEST_C = (1, 2)
"""Version of OpenCL C that the kernels need."""

_GROUPS = (
    "this user may need the groups render and video: sudo usermod -aG render,video USER, then log "
    "in again (in a container: --device /dev/dri --group-add)"
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """An OpenCL implementation."""

    names: tuple[str, ...]
    """One of them is part of its platform's name, in lower case."""
    advice: str
    """Advice for the case that it lists no device."""


OTHER = Runtime((), _GROUPS)
"""All runtimes that `RUNTIMES` does not name."""

RUNTIMES = (
    Runtime(("nvidia cuda",), "check whether nvidia-smi lists a card (in a container: --gpus all)"),
    Runtime(("amd accelerated",), f"{_GROUPS}; it also needs /dev/kfd"),
    Runtime(("opencl graphics", "opencl hd graphics"), _GROUPS),
    OTHER,
    Runtime(
        ("rusticl",),
        "set RUSTICL_ENABLE to the driver of the card, as in RUSTICL_ENABLE=radeonsi (AMD) or "
        "RUSTICL_ENABLE=iris (Intel)",
    ),
    Runtime(("clover",), _GROUPS),
    Runtime(("intel(r) opencl",), "it needs a processor of x86-64"),
    Runtime(("portable computing language",), "install it again"),
    Runtime(("oclgrind",), "it is a debugger; remove it"),
)
"""In order of preference: the vendor's runtime before rusticl before Clover, and for CPUs Intel's
before PoCL. Platforms are numbered in this order, so that a runtime that shows known cards again
moves no name."""


class ListedPlatform(NamedTuple):
    """A platform that OpenCL's loader lists."""

    name: str
    """As in "opencl:0"."""
    platform: Any
    devices: list[Any]
    reason: str
    """Why it lists no device; "" if it lists some."""


def platforms_of(cl: ModuleType) -> list[ListedPlatform]:
    """Return the platforms in order of preference, those of one row of `RUNTIMES` by name. Those
    without devices are the last ones, so that they move no name. Raises `BackendUnavailable`."""
    try:
        listed = [(platform, *_devices(cl, platform)) for platform in cl.get_platforms()]
    except cl.Error as error:
        raise BackendUnavailable(
            "no OpenCL platform: install the graphics driver's OpenCL part, or "
            "progpow-miner[cpu] for mining on the CPU"
        ) from error
    # The order of the loader depends on the file system.
    listed.sort(key=lambda row: (not row[1], *_preference(row[0]), _cards(cl, row[1])))
    return [ListedPlatform(f"{OPENCL.name}:{n}", *row) for n, row in enumerate(listed)]


def _preference(platform: Any) -> tuple[int, str, str]:
    return RUNTIMES.index(runtime_named(platform.name)), platform.name, platform.version


def _cards(cl: ModuleType, devices: Sequence[Any]) -> list[tuple[str, str]]:
    found = []
    for device in devices:
        with suppress(cl.Error):  # `identity` reports it
            found.append((_pci(device) or "", device.name))
    return found


def _devices(cl: ModuleType, platform: Any) -> tuple[list[Any], str]:
    """Return the devices of `platform`, and the reason if there are none."""
    try:
        devices = platform.get_devices()
    except cl.Error as error:
        return [], error_name(cl, error)
    return devices, "" if devices else "it lists none"


def runtime_named(platform: str) -> Runtime:
    """Return the row of a platform's name."""
    name = platform.lower()
    return next((row for row in RUNTIMES if any(part in name for part in row.names)), OTHER)


def without_devices(name: str, platform: Any, reason: str) -> str:
    """Return a sentence about the platform `name`, such as "opencl:1", which lists no device."""
    title = " ".join(platform.name.split())
    return f"{name}, {title}: no device ({reason}); {runtime_named(platform.name).advice}"


def identity(cl: ModuleType, name: str, platform: Any, device: Any) -> DeviceInfo:
    """Return the identity of `device`, whose name here is `name`; one that its driver does not
    describe is unusable, and does not hide the others."""
    try:
        return _described(cl, name, platform, device)
    except cl.Error as error:
        return DeviceInfo(
            name=name, backend="opencl", model="unknown", kind="gpu", driver=platform.name,
            memory=0, largest_allocation=0, units=0,
            unusable=f"the driver does not describe it: {error_name(cl, error)}",
        )  # fmt: skip


def _described(cl: ModuleType, name: str, platform: Any, device: Any) -> DeviceInfo:
    uuid, vendor = _uuid(device), _vendor(device)
    return DeviceInfo(
        name=name,
        backend="opencl",
        model=_model(device),
        kind=_kind(cl, device),
        driver=f"{' '.join(platform.name.split())} {device.driver_version}",
        memory=device.global_mem_size,
        largest_allocation=device.max_mem_alloc_size,
        units=device.max_compute_units,
        vendor=vendor,
        pci=_pci(device),
        uuid=uuid,
        unusable=(hidden(uuid) if vendor == "nvidia" else None) or _unusable(device),
    )


def _model(device: Any) -> str:
    """Return the name of the card; AMD's runtime calls the device after its chip, "gfx1030"."""
    name = " ".join(device.name.split())
    try:
        board = " ".join(device.board_name_amd.split())
    except Exception:  # noqa: BLE001  (drivers fail in their own ways on missing extensions)
        return name
    return f"{board} ({name})" if board else name


def _unusable(device: Any) -> str | None:
    if not device.available:
        return "the driver reports it as not available"
    version = re.match(r"OpenCL C (\d+)\.(\d+)", device.opencl_c_version)
    if version and (int(version[1]), int(version[2])) < OLDEST_C:
        return (
            f"its driver compiles OpenCL C {version[1]}.{version[2]}, which is older than "
            f"{OLDEST_C[0]}.{OLDEST_C[1]}: install the vendor's runtime or a newer driver"
        )
    if not device.compiler_available:
        return "its driver has no compiler"
    return None


def _kind(cl: ModuleType, device: Any) -> str:
    if device.type & cl.device_type.GPU:
        return "gpu"
    return "cpu" if device.type & cl.device_type.CPU else "accelerator"


def _pci(device: Any) -> str | None:
    """Return the PCI address from the first vendor extension that the driver supports."""
    for extension in (_pci_khr, _pci_amd, _pci_nvidia):
        try:
            address = extension(device)
        except Exception:  # noqa: BLE001  (drivers fail in their own ways on missing extensions)
            continue
        if address != HOST_BRIDGE:  # a driver that fills in nothing
            return str(address)
    return None


HOST_BRIDGE = PciAddress(0, 0, 0, 0)


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


@dataclass(frozen=True, slots=True)
class KnownDevices:
    """Devices of one kind behind one compiler; both patterns are in lower case."""

    platform: str
    """Pattern of the platform's name."""
    device: str
    """Pattern of the name that the driver gives to the device."""
    shape: str


AMD = "amd accelerated parallel processing"
"""The platform of ROCm and of AMD's drivers for Windows, which compile with clang. Rusticl and
Clover have other names, and compile the default shape."""

KNOWN_DEVICES = (
    # CDNA 2 and 3: 512 registers per lane, so 4 waves or more without a limit.
    KnownDevices(AMD, "gfx90a*", "gpu-amd"),
    KnownDevices(AMD, "gfx94*", "gpu-amd"),
    # GCN and CDNA 1: 256 registers per lane; 4 waves instead of 3.
    KnownDevices(AMD, "gfx8*", "gpu-gcn"),
    KnownDevices(AMD, "gfx90*", "gpu-gcn"),
    # RDNA 1 and 2: 64 registers instead of 80, so 16 waves instead of 12.
    KnownDevices(AMD, "gfx10*", "gpu-rdna"),
    # RDNA 3 and 4: 16 waves, 12 by v_permlane16.
    KnownDevices(AMD, "gfx11*", "gpu-amd"),
    KnownDevices(AMD, "gfx12*", "gpu-amd"),
    # A CPU behind a compiler for GPUs, which takes minutes for the vectors of the shapes for CPUs.
    KnownDevices("rusticl", "llvmpipe*", "gpu@1"),
)
"""Launch shapes that devices start with; the first row that matches applies.

AMD's figures are those of clang 19 for KawPow (`tests/codegen/amd_figures.json`); no card has
confirmed them. A kernel of any shape is compared with the CPU before it mines.
"""


def known_shape(platform: str, device: str) -> str | None:
    """Return the name of the launch shape for a device whose driver names it `device`; None for a
    device that the table does not list."""
    platform, device = platform.lower(), device.lower()
    for row in KNOWN_DEVICES:
        if fnmatchcase(platform, row.platform) and fnmatchcase(device, row.device):
            return row.shape
    return None


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

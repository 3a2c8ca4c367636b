"""What NVIDIA's driver tells of a card: model, PCI address, UUID, whether it can be used."""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.cuda.cuda_driver import LIBRARY
from miner.devices.device import DeviceInfo
from miner.devices.visibility import hidden

OLDEST = (5, 0)
"""Compute capability; no compiler of CUDA 12 makes programs for older cards."""

_PROHIBITED = 2
"""The compute mode in which nobody may use a card."""


def silent(ordinal: int, release: str, reason: str) -> DeviceInfo:
    """Return a device of which the driver tells nothing but `reason`, the name of a failure."""
    return DeviceInfo(
        name=f"cuda:{ordinal}",
        backend="cuda",
        model="unknown",
        kind="gpu",
        driver=release,
        memory=0,
        largest_allocation=0,
        units=0,
        vendor="nvidia",
        unusable=f"the driver does not tell what it is: {reason}",
    )


def identity(drv: ModuleType, ordinal: int, release: str) -> DeviceInfo:
    """Return what is known of device `ordinal`; `release` is what the driver calls itself."""
    device = drv.Device(ordinal)
    memory = int(device.total_memory())
    uuid, whole = _uuids(ordinal)
    return DeviceInfo(
        name=f"cuda:{ordinal}",
        backend="cuda",
        model=" ".join(device.name().split()),
        kind="gpu",
        driver=release,
        memory=memory,
        largest_allocation=memory,
        units=device.get_attribute(drv.device_attribute.MULTIPROCESSOR_COUNT),
        vendor="nvidia",
        pci=device.pci_bus_id().lower(),
        uuid=uuid,
        unusable=hidden(uuid, whole) or _unusable(drv, device),
    )


def _unusable(drv: ModuleType, device: Any) -> str | None:
    capability = device.compute_capability()
    if capability < OLDEST:
        return (
            f"its compute capability {capability[0]}.{capability[1]} is below "
            f"{OLDEST[0]}.{OLDEST[1]}, the oldest that CUDA 12 makes programs for"
        )
    if device.get_attribute(drv.device_attribute.COMPUTE_MODE) == _PROHIBITED:
        return "its compute mode is Prohibited: nvidia-smi --compute-mode=DEFAULT allows it"
    return None


def _uuids(ordinal: int) -> tuple[str | None, str | None]:
    """ "GPU-…" twice, of a part of a divided card "MIG-…" and the whole one's; PyCUDA has no call
    for it."""
    library = ctypes.CDLL(LIBRARY)
    raw = (ctypes.c_ubyte * 16)()
    handle = ctypes.c_int()
    if library.cuDeviceGet(ctypes.byref(handle), ordinal):
        return None, None
    whole = (ctypes.c_ubyte * 16)()
    if _failed(library, "cuDeviceGetUuid", whole, handle) or not any(whole):
        return None, None
    card = f"GPU-{UUID(bytes=bytes(whole))}"
    if _failed(library, "cuDeviceGetUuid_v2", raw, handle):  # drivers before 470 lack it
        return card, card
    return (card if bytes(raw) == bytes(whole) else f"MIG-{UUID(bytes=bytes(raw))}"), card


def _failed(library: ctypes.CDLL, name: str, raw: Any, handle: ctypes.c_int) -> bool:
    try:
        return bool(getattr(library, name)(ctypes.byref(raw), handle))
    except AttributeError:
        return True

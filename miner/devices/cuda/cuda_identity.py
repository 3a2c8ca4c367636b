"""The identity of an NVIDIA card: model, PCI address, UUID, and whether it can be used."""

from __future__ import annotations

import ctypes
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.cuda.cuda_driver import LIBRARY
from miner.devices.device_names import hidden
from miner.work import DeviceInfo

OLDEST = (5, 0)
"""Compute capability; no compiler of CUDA 12 supports older cards."""

_PROHIBITED = 2
"""CU_COMPUTEMODE_PROHIBITED: no program can use the card."""


def identity(drv: ModuleType, ordinal: int, release: str) -> DeviceInfo:
    """Return the identity of device `ordinal`; `release` is the driver's version as text."""
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


def unidentified(ordinal: int, release: str, reason: str) -> DeviceInfo:
    """Return a device that the driver does not describe; `reason` is the name of its error."""
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
        unusable=f"the driver does not describe it: {reason}",
    )


def _unusable(drv: ModuleType, device: Any) -> str | None:
    major, minor = capability = device.compute_capability()
    if capability < OLDEST:
        return (
            f"its compute capability {major}.{minor} is below {OLDEST[0]}.{OLDEST[1]}, the oldest "
            "that CUDA 12 supports"
        )
    if device.get_attribute(drv.device_attribute.COMPUTE_MODE) == _PROHIBITED:
        return "its compute mode is Prohibited: nvidia-smi --compute-mode=DEFAULT allows it"
    return None


def _uuids(ordinal: int) -> tuple[str | None, str | None]:
    """Return the UUID of the device and that of the whole card, both "GPU-…"; of a part of a
    divided card "MIG-…" and "GPU-…". PyCUDA has no call for them."""
    library = ctypes.CDLL(LIBRARY)
    handle = ctypes.c_int()
    if library.cuDeviceGet(ctypes.byref(handle), ordinal):
        return None, None
    whole = _uuid(library, "cuDeviceGetUuid", handle)
    if whole is None or not any(whole):
        return None, None
    card = f"GPU-{UUID(bytes=whole)}"
    part = _uuid(library, "cuDeviceGetUuid_v2", handle)  # not in drivers before 470
    if part is None or part == whole:
        return card, card
    return f"MIG-{UUID(bytes=part)}", card


def _uuid(library: ctypes.CDLL, function: str, handle: ctypes.c_int) -> bytes | None:
    raw = (ctypes.c_ubyte * 16)()
    try:
        failed = getattr(library, function)(ctypes.byref(raw), handle)
    except AttributeError:
        return None
    return None if failed else bytes(raw)

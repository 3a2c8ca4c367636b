"""What NVIDIA's driver tells of a card: model, PCI address, UUID, whether it can be used."""

from __future__ import annotations

import ctypes
import os
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.cuda_driver import LIBRARY
from miner.devices.device import DeviceInfo

OLDEST = (5, 0)
"""Compute capability; no compiler of CUDA 12 makes programs for older cards."""

_PROHIBITED = 2
"""The compute mode in which nobody may use a card."""


def identity(drv: ModuleType, ordinal: int, release: str) -> DeviceInfo:
    """Return what is known of device `ordinal`; `release` is what the driver calls itself."""
    device = drv.Device(ordinal)
    memory = int(device.total_memory())
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
        uuid=_uuid(ordinal),
        unusable=_unusable(drv, device),
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


def _uuid(ordinal: int) -> str | None:
    """ "GPU-…", of a part of a divided card "MIG-…"; PyCUDA has no call for it."""
    library = ctypes.CDLL(LIBRARY)
    raw = (ctypes.c_ubyte * 16)()
    handle = ctypes.c_int()
    if library.cuDeviceGet(ctypes.byref(handle), ordinal):
        return None
    whole = (ctypes.c_ubyte * 16)()
    if _failed(library, "cuDeviceGetUuid", whole, handle):
        return None
    if _failed(library, "cuDeviceGetUuid_v2", raw, handle):  # drivers before 470 lack it
        raw = whole
    if not any(raw):
        return None
    return f"{'GPU' if bytes(raw) == bytes(whole) else 'MIG'}-{UUID(bytes=bytes(raw))}"


def _failed(library: ctypes.CDLL, name: str, raw: Any, handle: ctypes.c_int) -> bool:
    try:
        return bool(getattr(library, name)(ctypes.byref(raw), handle))
    except AttributeError:
        return True


def is_visible(info: DeviceInfo) -> bool:
    """Tell whether `NVIDIA_VISIBLE_DEVICES` lets the device be used.

    Only UUIDs can hide one here: numbers are counted outside a container, where its runtime has
    followed them already, and "void" is what it leaves in a container that has GPUs.
    """
    wanted = [w.strip().lower() for w in os.environ.get("NVIDIA_VISIBLE_DEVICES", "").split(",")]
    if info.uuid is None or not all(w.startswith("gpu-") for w in wanted):
        return True
    return any(info.uuid.lower().startswith(w) for w in wanted)

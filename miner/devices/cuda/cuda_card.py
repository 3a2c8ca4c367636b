"""A card that NVIDIA's driver shows: its identity, and the context that calls to it run in."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any
from uuid import UUID

from miner.devices.cuda.cuda_driver import (
    LIBRARY,
    device_error,
    driver,
    driver_text,
    error_name,
    is_harmless,
)
from miner.devices.same_hardware import hidden
from miner.errors import DeviceError
from miner.work import DeviceInfo

OLDEST = (5, 0)
"""Compute capability; no compiler of CUDA 12 supports older cards."""

_PROHIBITED = 2
"""CU_COMPUTEMODE_PROHIBITED: no program can use the card."""


def identity(drv: ModuleType, ordinal: int) -> DeviceInfo:
    """Return the identity of device `ordinal`; one that the driver does not describe is unusable,
    and does not hide the others."""
    release = driver_text().removeprefix("driver ")
    try:
        device = drv.Device(ordinal)
        memory = int(device.total_memory())
        uuid, whole = _uuids(ordinal)
        return DeviceInfo(
            name=f"cuda:{ordinal}", backend="cuda", model=" ".join(device.name().split()),
            kind="gpu", driver=release, memory=memory, largest_allocation=memory,
            units=device.get_attribute(drv.device_attribute.MULTIPROCESSOR_COUNT), vendor="nvidia",
            pci=device.pci_bus_id().lower(), uuid=uuid,
            unusable=hidden(uuid, whole) or _unusable(drv, device),
        )  # fmt: skip
    except drv.Error as error:
        return DeviceInfo(
            name=f"cuda:{ordinal}", backend="cuda", model="unknown", kind="gpu", driver=release,
            memory=0, largest_allocation=0, units=0, vendor="nvidia",
            unusable=f"the driver does not describe it: {error_name(error)}",
        )  # fmt: skip


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


class CudaContext:
    """A context on the card `ordinal`, which errors call `where`; the thread that creates it owns
    it. Raises `DeviceError`."""

    def __init__(self, ordinal: int, where: str) -> None:
        self._drv = drv = driver()
        self._where = where
        self._failure = ""
        """Name of the driver's first error after which the context cannot be used."""
        try:
            card = drv.Device(ordinal)
            self.capability: tuple[int, int] = card.compute_capability()
            self.shared_bytes: int = card.get_attribute(
                drv.device_attribute.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
            )
            self._context = card.make_context(
                drv.ctx_flags.SCHED_BLOCKING_SYNC | drv.ctx_flags.MAP_HOST
            )
            self.is_open = True
            # No context stays current between calls: a thread may have several devices, and
            # PyCUDA ends the process when a thread ends with a current context.
            try:
                drv.Context.pop()
            except drv.Error:
                self.close()
                raise
        except drv.Error as error:
            raise device_error(error_name(error), where, "opening") from error

    @property
    def has_failed(self) -> bool:
        return bool(self._failure)

    @contextmanager
    def current(self, what: str) -> Iterator[None]:
        """Make the context current for `what`, and raise the driver's errors as ours."""
        if not self.is_open:
            raise DeviceError(f"{self._where}: {what}: the device is closed")
        if self._failure:
            raise DeviceError(f"{self._where}: {what}: it failed before ({self._failure})")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._drv.Context.pop()
        except self._drv.Error as error:
            name = error_name(error)
            if not is_harmless(name):
                self._failure = name
            raise device_error(name, self._where, what) from error

    def close(self) -> None:
        """Destroy the context with everything in it, without waiting."""
        self.is_open = False
        with suppress(self._drv.Error):
            self._context.detach()

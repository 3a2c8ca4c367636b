"""Drivers that fail in calls which seldom do: each failure is an error of the device."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from miner.codegen.kernel_source import KernelSource
from miner.devices.opencl.opencl_device import OpenClDevice
from miner.devices.opencl.opencl_drivers import DriverObjects
from miner.errors import BuildFailed, DeviceError
from tests.devices.infos import info_of


class ClError(Exception):
    code = None


class Lost:
    """A card whose driver answers no question."""

    def __getattr__(self, fact: str) -> Any:
        raise ClError("CL_DEVICE_NOT_AVAILABLE")


def refuse(*_: object, **__: object) -> None:
    raise ClError("CL_OUT_OF_HOST_MEMORY")


CL: Any = SimpleNamespace(Error=ClError, MemoryError=type("M", (ClError,), {}), Program=refuse)


def device() -> Any:
    one: Any = OpenClDevice.__new__(OpenClDevice)
    one._cl, one._objects, one._context, one._card = CL, DriverObjects(), object(), Lost()
    one.info, one._datasets, one._selected = info_of("opencl:0.0"), {}, None
    return one


def test_a_card_that_is_lost_while_it_is_opened_is_an_error_of_the_device() -> None:
    with pytest.raises(DeviceError, match=r"opencl:0\.0: opening: CL_DEVICE_NOT_AVAILABLE"):
        OpenClDevice(CL, info_of("opencl:0.0"), Lost(), DriverObjects())


def test_a_program_that_cannot_be_created_is_a_failed_build() -> None:
    source = KernelSource("kawpow search", "text", "search", "opencl", ())
    with pytest.raises(BuildFailed, match="does not compile"):
        device().build(source)


def test_the_spare_memory_of_a_lost_card_is_an_error_of_the_device() -> None:
    with pytest.raises(DeviceError, match="CL_DEVICE_NOT_AVAILABLE"):
        device().spare_memory()


def test_memory_that_cannot_be_freed_before_a_dataset_is_an_error_of_the_device() -> None:
    one, epoch = device(), object()
    one._datasets[epoch] = SimpleNamespace(release=refuse)
    with pytest.raises(DeviceError, match="CL_OUT_OF_HOST_MEMORY"):
        next(one.generate(epoch, None, None))

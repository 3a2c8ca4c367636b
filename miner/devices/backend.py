"""A backend's row in the registry: what is known of it before its driver is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.work import DeviceInfo

if TYPE_CHECKING:
    from miner.devices.device import Device


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to reach devices."""

    name: str
    """Value of `--backend`, and the beginning of its devices' names, as in "cuda:0"."""
    title: str
    """The kind of its devices in the APIs of other miners: "CUDA", "OpenCL" or "CPU"."""
    module: str
    """Module with the functions `list_devices()` and `open_device(info)`; imported when one of
    them is called, so that a row costs no import of a driver."""
    dialect: str | None = None
    """Name of the language that it compiles (a row of `miner.codegen.language`). None: its devices
    interpret programs, so they are slow, and chosen when nothing else is usable."""
    install: str = ""
    """How to install the Python package that it needs."""
    shape: str = "gpu"
    """Launch shape of its devices."""
    cpu_shape: str = "cpu"
    """Launch shape of its devices that are CPUs."""

    def devices(self) -> Sequence[DeviceInfo]:
        """List the devices without keeping them open. Raises `BackendUnavailable` with the reason
        when the driver or its package is missing."""
        devices: Sequence[DeviceInfo] = import_module(self.module).list_devices()
        return devices

    def open(self, info: DeviceInfo) -> Device:
        """Open the listed device `info` in the calling thread, which then owns it. Raises
        `DeviceError`."""
        device: Device = import_module(self.module).open_device(info)
        return device

    def shape_for(self, info: DeviceInfo) -> LaunchShape:
        """Return the launch shape that the device `info` starts with."""
        return shape_named(self.cpu_shape if info.kind == "cpu" else self.shape)

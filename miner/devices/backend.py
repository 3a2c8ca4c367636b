"""A backend's row in the registry, which loads no driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from miner.codegen.launch_shape import LaunchShape, shape_named

if TYPE_CHECKING:
    from miner.devices.device import Device
    from miner.work import DeviceInfo


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to reach devices."""

    name: str
    """Value of `--backend`, and prefix of device names, as in "cuda:0"."""
    title: str
    """Kind of the devices in the APIs of other miners: "CUDA", "OpenCL" or "CPU"."""
    module: str
    """Module with the functions `list_devices()` and `open_device(info)`, imported on the first
    call of one of them."""
    dialect: str | None = None
    """Language that the devices compile (a name in `miner.codegen.language`). None: they interpret
    programs, which is slow, so they are chosen when no other device is usable."""
    install: str = ""
    """How to install the needed Python package."""
    shape: str = "gpu"
    """Default launch shape."""
    cpu_shape: str = "cpu"
    """Default launch shape of devices that are CPUs."""
    has_driver: bool = False
    """Whether its devices need drivers, which can end a process or hang; such devices are listed
    and tried in child processes."""

    def devices(self) -> Sequence[DeviceInfo]:
        """List the devices without keeping them open. Raises `BackendUnavailable` with the reason
        when the driver or its package is missing."""
        devices: Sequence[DeviceInfo] = import_module(self.module).list_devices()
        return devices

    def problems(self) -> Sequence[str]:
        """Return a sentence for each platform or driver without devices, from the module's optional
        function `list_problems()`."""
        list_problems = getattr(import_module(self.module), "list_problems", tuple)
        return list(list_problems())

    def open(self, info: DeviceInfo) -> Device:
        """Open the listed device `info` in the calling thread, which then owns it. Raises
        `DeviceError`."""
        device: Device = import_module(self.module).open_device(info)
        return device

    def shape_for(self, info: DeviceInfo) -> LaunchShape:
        """Return the launch shape that the device `info` starts with."""
        return shape_named(self.cpu_shape if info.kind == "cpu" else self.shape)

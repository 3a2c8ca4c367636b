"""Finding the devices of this machine, and choosing those to mine on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from miner.codegen.launch_shape import LaunchShape
from miner.devices import registry
from miner.devices.backend import Backend
from miner.devices.device import Device
from miner.devices.device_names import (
    hide_twins,
    is_pattern,
    matches,
    names_the_entry,
    same_hardware,
)
from miner.devices.known_answers import selftest
from miner.errors import BackendUnavailable, ConfigError, DeviceError, NoUsableDevice
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.work import DeviceInfo

_KINDS = ("gpu", "accelerator", "cpu")
"""Kinds of devices, best first."""


@dataclass(frozen=True, slots=True)
class ListedDevice:
    """A device that was found."""

    info: DeviceInfo
    backend: Backend
    index: int = 0
    """Position in the list of all devices, from 0; a person may call the device by it."""

    def open(self) -> Device:
        """Open the device in the calling thread, which then owns it; raises `DeviceError`."""
        return self.backend.open(self.info)


def find_devices(backend: str = "auto") -> tuple[list[ListedDevice], list[str]]:
    """Return the devices of `backend` ("auto": of all backends), and one sentence for each
    backend that is not available."""
    found: list[tuple[Backend, DeviceInfo]] = []
    missing: list[str] = []
    for name in registry.BACKENDS if backend == "auto" else (backend,):
        try:
            one = registry.backend_named(name)
            found += [(one, info) for info in one.devices()]
        except BackendUnavailable as error:
            missing.append(f"{name}: {error}")
    infos = hide_twins([info for _, info in found])
    return [
        ListedDevice(info, one, index)
        for index, ((one, _), info) in enumerate(zip(found, infos, strict=True))
    ], missing


def devices_called(found: Sequence[ListedDevice], name: str) -> list[ListedDevice]:
    """Return the devices that `name` means, in the order of `found`. A name of hardware, such as
    an address or a model, means each card once: through the backend that comes first."""
    chosen: list[ListedDevice] = []
    for candidate in found:
        info = candidate.info
        if not matches(info, candidate.index, name):
            continue
        by_entry = names_the_entry(info, candidate.index, name)
        if by_entry or not any(same_hardware(info, other.info) for other in chosen):
            chosen.append(candidate)
    return chosen


def device_called(found: Sequence[ListedDevice], name: str) -> ListedDevice:
    """Return the first device that `name` means; raises `NoUsableDevice`, which lists the known
    names."""
    chosen = devices_called(found, name)
    if not chosen:
        raise NoUsableDevice(_unknown(found, name))
    return chosen[0]


def probed(found: ListedDevice, variant: Variant) -> ListedDevice:
    """Return `found` with `info.unusable` set where the first known answer of `variant` fails."""
    if found.info.unusable:
        return found
    try:
        device = found.open()
        try:
            problem = selftest(device, variant, answers=1).problem
        finally:
            device.close()
    except DeviceError as error:
        problem = str(error)
    return replace(found, info=replace(found.info, unusable=problem))


class ChosenDevices(NamedTuple):
    """The devices to mine on, and why there are no others."""

    use: list[ListedDevice]
    unusable: list[ListedDevice]
    """With their reasons."""
    missing: list[str]
    """One sentence for each backend that is not available."""
    absent: list[str]
    """One sentence for each name without a device: it may appear after the next start."""


def choose_devices(
    backend: str,
    names: Sequence[str] | None,
    variant: Variant,
    exclude: Sequence[str] = (),
) -> ChosenDevices:
    """Return the devices to use, at least one, and what is missing.

    `names` and `exclude` are names as `device_names.matches` takes them. Without `names`: every
    usable GPU, or else the best other device. The order of `names` is kept, and hardware is used
    once unless each of its entries is called by its own name. Excluded devices are not opened.

    Raises `NoUsableDevice` when no device is left, and `ConfigError` for a device that is both
    wanted and excluded.
    """
    found, missing = find_devices(backend)
    left = [f for f in found if not any(matches(f.info, f.index, name) for name in exclude)]
    if names:
        use, unusable = _usable(_wanted(found, left, names), variant)
    else:
        use, unusable = _default(left, variant)
    # An excluded pattern is often a precaution, so it may match no device.
    precise = [name for name in exclude if not is_pattern(name)]
    absent = [
        _unknown(found, n) for n in [*(names or ()), *precise] if not devices_called(found, n)
    ]
    if not use:
        reasons = [f"{one.info.name}: {one.info.unusable}" for one in unusable] + absent + missing
        raise NoUsableDevice("no usable device: " + "; ".join(reasons or ["none found"]))
    return ChosenDevices(use, unusable, missing, absent)


def _default(
    found: Sequence[ListedDevice], variant: Variant
) -> tuple[list[ListedDevice], list[ListedDevice]]:
    use: list[ListedDevice] = []
    unusable: list[ListedDevice] = []
    for candidate in sorted(found, key=_preference):
        if use and candidate.info.kind != "gpu":
            break  # mining on the CPU would slow down the host of the GPUs
        if any(same_hardware(candidate.info, other.info) for other in use):
            continue
        tried = probed(candidate, variant)
        (unusable if tried.info.unusable else use).append(tried)
    return use, unusable


def _preference(found: ListedDevice) -> tuple[bool, int]:
    return found.backend.dialect is None, _KINDS.index(found.info.kind)


def _wanted(
    found: Sequence[ListedDevice], left: Sequence[ListedDevice], names: Sequence[str]
) -> list[ListedDevice]:
    """Return the devices among `left` that `names` mean."""
    wanted: dict[str, ListedDevice] = {}
    for name in names:
        chosen = devices_called(left, name)
        if not chosen and devices_called(found, name):
            raise ConfigError(f"device {name!r} is both wanted and excluded; name it once")
        for one in chosen:
            wanted.setdefault(one.info.name, one)
    return list(wanted.values())


def _usable(
    wanted: Sequence[ListedDevice], variant: Variant
) -> tuple[list[ListedDevice], list[ListedDevice]]:
    use: list[ListedDevice] = []
    unusable: list[ListedDevice] = []
    for one in wanted:
        tried = probed(one, variant)
        (unusable if tried.info.unusable else use).append(tried)
    return use, unusable


def _unknown(found: Sequence[ListedDevice], name: str) -> str:
    known = ", ".join(f.info.name for f in found) or "none"
    return f"unknown device {name!r}; found: {known}"


def shape_on(name: str, epoch: Epoch) -> tuple[str | None, LaunchShape]:
    """Return the dialect and the launch shape of the device `name` for the dataset of `epoch`,
    by its stated limits; the real allocation may still choose more buffers."""
    found, _ = find_devices()
    device = device_called(found, name).open()
    try:
        need, most = epoch.entries * 256, device.info.largest_allocation
        buffers = next((n for n in (1, 2, 4) if need / n <= most), 4)
        return device.dialect, device.shape.split(buffers)
    finally:
        device.close()

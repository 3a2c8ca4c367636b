"""The backends there are, with the devices that they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from miner.codegen.shape import LaunchShape
from miner.devices.device import Backend, Device, DeviceInfo
from miner.devices.selftest import selftest
from miner.errors import BackendUnavailable, ConfigError, DeviceError, NoUsableDevice
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant

BACKENDS = {
    "opencl": "miner.devices.opencl:OpenCLBackend",
    "ref": "miner.devices.reference:ReferenceBackend",
}
"""Name to class, in the order of preference; a class is imported when it is asked for."""

_PREFERENCE = {"gpu": 0, "accelerator": 1, "cpu": 2}


@dataclass(frozen=True, slots=True)
class Listed:
    """A device with the way to open it in the thread that will own it."""

    info: DeviceInfo
    open: Callable[[], Device]


def backend_named(name: str) -> Backend:
    """Return the backend; raises `BackendUnavailable` for one that is not built in."""
    if name not in BACKENDS:
        raise BackendUnavailable(
            f"the backend {name!r} is not built into this version; there are {', '.join(BACKENDS)}"
        )
    module, _, cls = BACKENDS[name].partition(":")
    backend: Backend = getattr(import_module(module), cls)()
    return backend


def find_devices(backend: str = "auto") -> tuple[list[Listed], list[str]]:
    """Return the devices of `backend` ("auto": of all), with a sentence for each backend that
    is not available."""
    found: list[Listed] = []
    missing: list[str] = []
    for name in BACKENDS if backend == "auto" else (backend,):
        try:
            one = backend_named(name)
            found += [Listed(info, _opener(one, info)) for info in one.devices()]
        except BackendUnavailable as error:
            missing.append(f"{name}: {error}")
    return found, missing


def _opener(backend: Backend, info: DeviceInfo) -> Callable[[], Device]:
    return lambda: backend.open(info)


def probed(found: Listed, variant: Variant) -> Listed:
    """Return `found` with `info.unusable` set where a trial build or a known answer fails."""
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


def choose_devices(
    backend: str, names: Sequence[str] | None, variant: Variant
) -> tuple[list[Listed], list[Listed], list[str]]:
    """Return (devices to use, devices left out with their reasons, missing backends).

    Without names: every usable GPU; with none, the best other device. A name may leave out its
    backend ("0.0"), or be a number that counts the listed devices from 0. Raises
    `NoUsableDevice` when nothing is left.
    """
    found, missing = find_devices(backend)
    if names:
        try:
            wanted = {one.info.name: one for one in (named(found, name) for name in names)}
        except ConfigError as error:
            raise ConfigError("; ".join([str(error), *missing])) from error
        chosen = [probed(one, variant) for one in wanted.values()]
        bad = [f for f in chosen if f.info.unusable]
        if bad:
            raise NoUsableDevice(f"{bad[0].info.name} cannot be used: {bad[0].info.unusable}")
        return chosen, [], missing
    found.sort(key=lambda f: (f.info.backend == "ref", _PREFERENCE.get(f.info.kind, 3)))
    use: list[Listed] = []
    out: list[Listed] = []
    for candidate in found:
        if use and candidate.info.kind != "gpu":
            break  # the CPU would only slow the GPUs' host down
        tried = probed(candidate, variant)
        (out if tried.info.unusable else use).append(tried)
    if not use:
        reasons = [f"{f.info.name}: {f.info.unusable}" for f in out] + missing
        raise NoUsableDevice("no usable device: " + "; ".join(reasons or ["none was found"]))
    return use, out, missing


def named(found: Sequence[Listed], name: str) -> Listed:
    """Return the device called `name`; raises `ConfigError` with those that there are."""
    for candidate in found:
        own = candidate.info.name
        if name in (own, own.partition(":")[2] or own, candidate.info.pci):
            return candidate
    if name.isdecimal() and int(name) < len(found):
        return found[int(name)]
    known = ", ".join(f.info.name for f in found) or "none"
    raise ConfigError(f"device {name!r} is not there; there are: {known}")


def shape_on(name: str, epoch: Epoch) -> tuple[str, LaunchShape]:
    """Return dialect and launch shape that the device `name` takes for the dataset of `epoch`
    as far as its stated limits tell; the real allocation may still choose more buffers."""
    found, _ = find_devices()
    device = named(found, name).open()
    try:
        need, most = epoch.entries * 256, device.info.largest_allocation
        buffers = next((n for n in (1, 2, 4) if need / n <= most), 4)
        return device.dialect, device.shape.split(buffers)
    finally:
        device.close()

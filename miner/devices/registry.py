"""The backends there are, with the devices that they find."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module

from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Backend, Device, DeviceInfo
from miner.devices.known_answers import selftest
from miner.devices.selection import are_one, is_by_name, is_pattern, matches
from miner.devices.visibility import with_twins_hidden
from miner.errors import BackendUnavailable, ConfigError, DeviceError, NoUsableDevice
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant

BACKENDS = {
    "cuda": "miner.devices.cuda.cuda_device:CudaBackend",
    "opencl": "miner.devices.opencl.opencl_device:OpenCLBackend",
    "ref": "miner.devices.reference.reference_device:ReferenceBackend",
}
"""Name to class, in the order of preference; a class is imported when it is asked for."""

_PREFERENCE = {"gpu": 0, "accelerator": 1, "cpu": 2}


@dataclass(frozen=True, slots=True)
class Listed:
    """A device with the way to open it in the thread that will own it."""

    info: DeviceInfo
    open: Callable[[], Device]
    index: int = 0
    """Its place among the devices that were found, from 0; a person may call it by that."""


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
    found: list[tuple[Backend, DeviceInfo]] = []
    missing: list[str] = []
    for name in BACKENDS if backend == "auto" else (backend,):
        try:
            one = backend_named(name)
            found += [(one, info) for info in one.devices()]
        except BackendUnavailable as error:
            missing.append(f"{name}: {error}")
    infos = with_twins_hidden([info for _, info in found])
    return [
        Listed(info, _opener(one, info), index)
        for index, ((one, _), info) in enumerate(zip(found, infos, strict=True))
    ], missing


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
    backend: str,
    names: Sequence[str] | None,
    variant: Variant,
    exclude: Sequence[str] = (),
) -> tuple[list[Listed], list[Listed], list[str]]:
    """Return (devices to use, devices left out with their reasons, missing backends).

    Without names: every usable GPU; with none, the best other device. Names are those of
    `selection.matches`; their order is kept, and no hardware is used twice unless each way to it
    is called by its own name. What `exclude` names is not even opened. Raises `NoUsableDevice`
    when nothing is left, or when a device called by its own name cannot be used, and `ConfigError`
    for a name that means no device.
    """
    found, missing = find_devices(backend)
    try:
        left = _without(found, exclude)
        wanted = _wanted(found, left, names) if names else None
    except ConfigError as error:
        raise ConfigError("; ".join([str(error), *missing])) from error
    if wanted is not None:
        return *_usable(wanted, variant, missing), missing
    left.sort(key=lambda f: (f.info.backend == "ref", _PREFERENCE.get(f.info.kind, 3)))
    use: list[Listed] = []
    out: list[Listed] = []
    for candidate in left:
        if use and candidate.info.kind != "gpu":
            break  # the CPU would only slow the GPUs' host down
        if any(are_one(candidate.info, other.info) for other in use):
            continue
        tried = probed(candidate, variant)
        (out if tried.info.unusable else use).append(tried)
    if not use:
        raise _nothing_left(out, missing)
    return use, out, missing


def _without(found: Sequence[Listed], exclude: Sequence[str]) -> list[Listed]:
    for name in exclude:
        if not is_pattern(name) and not selected(found, name):
            raise _unknown(found, name)
    return [f for f in found if not any(matches(f.info, f.index, name) for name in exclude)]


def _wanted(
    found: Sequence[Listed], left: Sequence[Listed], names: Sequence[str]
) -> list[tuple[Listed, bool]]:
    """Return the devices that `names` mean among those `left`, in the order of the names, each
    with whether it must be usable."""
    wanted: dict[str, tuple[Listed, bool]] = {}
    for name in names:
        chosen = selected(left, name)
        if not chosen:
            if selected(found, name):
                raise ConfigError(f"device {name!r} is excluded, and wanted too; name it once")
            raise _unknown(found, name)
        for one in chosen:
            must = len(chosen) == 1 and not is_pattern(name)
            wanted.setdefault(one.info.name, (one, must))
    return list(wanted.values())


def _usable(
    wanted: Sequence[tuple[Listed, bool]], variant: Variant, missing: Sequence[str]
) -> tuple[list[Listed], list[Listed]]:
    use: list[Listed] = []
    out: list[Listed] = []
    for one, must in wanted:
        tried = probed(one, variant)
        if tried.info.unusable and must:
            raise NoUsableDevice(f"{tried.info.name} cannot be used: {tried.info.unusable}")
        (out if tried.info.unusable else use).append(tried)
    if not use:
        raise _nothing_left(out, missing)
    return use, out


def _nothing_left(out: Sequence[Listed], missing: Sequence[str]) -> NoUsableDevice:
    reasons = [f"{f.info.name}: {f.info.unusable}" for f in out] + list(missing)
    return NoUsableDevice("no usable device: " + "; ".join(reasons or ["none was found"]))


def selected(found: Sequence[Listed], name: str) -> list[Listed]:
    """Return the devices that `name` means, in their order. What names hardware, as an address or
    a model does, means it once: through the backend that comes first."""
    chosen: list[Listed] = []
    for candidate in found:
        info = candidate.info
        if not matches(info, candidate.index, name):
            continue
        by_name = is_by_name(info, candidate.index, name)
        if by_name or not any(are_one(info, other.info) for other in chosen):
            chosen.append(candidate)
    return chosen


def named(found: Sequence[Listed], name: str) -> Listed:
    """Return the device called `name`, the first one of several; raises `ConfigError` with those
    that there are."""
    chosen = selected(found, name)
    if not chosen:
        raise _unknown(found, name)
    return chosen[0]


def _unknown(found: Sequence[Listed], name: str) -> ConfigError:
    known = ", ".join(f.info.name for f in found) or "none"
    return ConfigError(f"device {name!r} is not there; there are: {known}")


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

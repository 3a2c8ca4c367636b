"""Finding the devices of this machine, and choosing those to mine on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from miner.catalog import variants
from miner.codegen.launch_shape import BUFFER_COUNTS, LaunchShape
from miner.devices import registry
from miner.devices.backend import Backend
from miner.devices.dataset_buffers import ENTRY_BYTES
from miner.devices.device import Device
from miner.devices.device_names import (
    CPU,
    VENDORS,
    is_model,
    is_pattern,
    matches,
    means_cpu,
    names_the_entry,
)
from miner.devices.same_hardware import first_entries, hide_everywhere
from miner.devices.trials import TrialReports, Trials
from miner.errors import BackendUnavailable, ConfigError, NoUsableDevice, nearest
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
    same_as: str | None = None
    """Name of the device before it in the list that is the same hardware."""

    @property
    def hardware(self) -> str:
        """The name under which its hardware comes first in the list."""
        return self.same_as or self.info.name

    def open(self) -> Device:
        """Open the device in the calling thread, which then owns it; raises `DeviceError`."""
        return self.backend.open(self.info)


def find_devices(
    backend: str = "auto", trials: Trials | None = None
) -> tuple[list[ListedDevice], list[str]]:
    """Return the devices of `backend` ("auto", "cpu": of all backends), and a sentence for each
    backend, platform or driver without devices."""
    names = list(registry.BACKENDS) if backend in ("auto", CPU) else [backend]
    try:
        backends = [registry.backend_named(name) for name in names]
    except BackendUnavailable as error:
        return [], [f"{backend}: {error}"]
    listings = asyncio.run((trials or Trials()).list_all(backends))
    rows = list(zip(backends, listings, strict=True))
    found = [(one, info) for one, listing in rows for info in listing.devices]
    problems = [
        problem if problem.startswith(f"{one.name}:") else f"{one.name}: {problem}"
        for one, listing in rows
        for problem in listing.problems
    ]
    first = first_entries([info for _, info in found])
    infos = hide_everywhere([info for _, info in found], first)
    return [
        ListedDevice(info, one, index, first.get(info.name))
        for index, ((one, _), info) in enumerate(zip(found, infos, strict=True))
    ], problems


def devices_called(found: Sequence[ListedDevice], name: str) -> list[ListedDevice]:
    """Return the devices that `name` means, in the order of `found`. A name of hardware, such as
    an address or a model, means each card once: through the backend that comes first."""
    chosen: list[ListedDevice] = []
    for candidate in found:
        info = candidate.info
        if not matches(info, candidate.index, name):
            continue
        by_entry = names_the_entry(info, candidate.index, name)
        if by_entry or all(candidate.hardware != other.hardware for other in chosen):
            chosen.append(candidate)
    return chosen


def device_called(found: Sequence[ListedDevice], name: str) -> ListedDevice:
    """Return the first device that `name` means; raises `NoUsableDevice`, which lists the known
    names."""
    chosen = devices_called(found, name)
    if not chosen:
        raise NoUsableDevice(_unknown(found, name))
    return chosen[0]


def tried(
    found: Sequence[ListedDevice], variant: Variant | None, trials: Trials
) -> list[ListedDevice]:
    """Return `found` with `info.unusable` set where the first known answer of `variant` fails
    (None: of the first shipped variant)."""
    variant = variant or next(iter(variants().values()))
    devices = [(one.backend, one.info) for one in found]
    problems = asyncio.run(trials.problems_of(devices, variant))
    return [
        replace(one, info=replace(one.info, unusable=problem))
        for one, problem in zip(found, problems, strict=True)
    ]


class ChosenDevices(NamedTuple):
    """The devices to mine on, and why there are no others."""

    use: list[ListedDevice]
    unusable: list[ListedDevice]
    """Each has its reason in `info.unusable`."""
    problems: list[str]
    """A sentence for each backend, platform or driver without devices."""
    absent: list[str]
    """A sentence for each name without a device, which may be present at the next start."""
    expected: int
    """Number of devices that mine when none is absent or unusable."""


def choose_devices(
    backend: str,
    names: Sequence[str] | None,
    variant: Variant,
    exclude: Sequence[str] = (),
    *,
    cpu_allowed: bool = False,
    reports: TrialReports | None = None,
) -> ChosenDevices:
    """Return the devices to use, at least one, and what is missing.

    `names` and `exclude` are names as `device_names.matches` takes them. Without `names`: every
    usable GPU, or else an accelerator, or else a CPU if `backend` or `cpu_allowed` allows it. The
    order of `names` is kept. Hardware with several entries in the list is used once, through the
    first usable one, unless `names` has the name of each. Excluded devices are not opened.

    Raises `NoUsableDevice` if no device is left, and `ConfigError` for a device that is both wanted
    and excluded.
    """
    trials = Trials(reports)
    found, problems = find_devices(backend, trials)
    left = [f for f in found if not any(matches(f.info, f.index, name) for name in exclude)]
    cpu_allowed = cpu_allowed or backend == CPU or _interprets(backend)
    tiers = [_wanted(found, left, names)] if names else _default(left, backend, cpu_allowed)
    use: list[ListedDevice] = []
    unusable: list[ListedDevice] = []
    expected = 0
    for tier in tiers:
        use, failed = _first_usable(tier, variant, trials)
        unusable += failed
        expected = max(expected, len(tier))
        if use:
            break
    # An excluded pattern is often a precaution, so it may match no device.
    precise = [name for name in exclude if not is_pattern(name)]
    absent = [_unknown(found, n) for n in names or () if not _asked_for(found, n)]
    expected += len(absent)
    absent += [_unknown(found, n) for n in precise if not devices_called(found, n)]
    if not use:
        reasons = [f"{one.info.name}: {one.info.unusable}" for one in unusable] + absent + problems
        if names or cpu_allowed:
            raise NoUsableDevice("no usable device: " + "; ".join(reasons or ["none found"]))
        reasons += _only_cpus(left)
        raise NoUsableDevice(
            f"no usable GPU: {'; '.join(reasons or ['none found'])}; to mine on the CPU, add "
            f"--backend {CPU}"
        )
    return ChosenDevices(use, unusable, problems, absent, expected)


def _interprets(backend: str) -> bool:
    return backend in registry.BACKENDS and registry.BACKENDS[backend].dialect is None


Entries = list[ListedDevice]
"""The entries of one piece of hardware, of which one is to be used, best first."""


def _default(found: Sequence[ListedDevice], backend: str, cpu_allowed: bool) -> list[list[Entries]]:
    """Return groups of hardware, best first: the first one with a usable device is used."""
    by_kind = {kind: [one for one in found if one.info.kind == kind] for kind in _KINDS}
    gpus: dict[str, Entries] = {}
    for one in by_kind["gpu"]:
        gpus.setdefault(one.hardware, []).append(one)
    # Mining on the CPU would slow down the host of the GPUs.
    tiers = [list(gpus.values()), [by_kind["accelerator"]]] if backend != CPU else []
    if cpu_allowed:
        tiers.append([_best_cpus(found)])
    return [tier for tier in tiers if any(tier)]


def _best_cpus(found: Sequence[ListedDevice]) -> Entries:
    """Return the CPUs, last Mesa's llvmpipe, which is made for graphics, and the reference."""
    cpus = [one for one in found if one.info.kind == "cpu"]
    return sorted(cpus, key=lambda one: (one.backend.dialect is None, "llvmpipe" in one.info.model))


def _wanted(
    found: Sequence[ListedDevice], left: Sequence[ListedDevice], names: Sequence[str]
) -> list[Entries]:
    """Return the devices among `left` that `names` mean, each with the other entries that may
    replace it."""
    wanted: dict[str, Entries] = {}
    for name in names:
        chosen = _asked_for(left, name)
        if not chosen and _asked_for(found, name):
            raise ConfigError(f"device {name!r} is both wanted and excluded; name it once")
        for one in chosen:
            entries = [one]
            if means_cpu(name):
                entries = _best_cpus(left)
            elif not names_the_entry(one.info, one.index, name):
                entries += [o for o in left if o is not one and o.hardware == one.hardware]
            wanted.setdefault(one.info.name, entries)
    return list(wanted.values())


def _asked_for(found: Sequence[ListedDevice], name: str) -> list[ListedDevice]:
    """Return the same as `devices_called`, except that "*" and "opencl:*" do not mean CPUs, and
    "cpu" means one."""
    if means_cpu(name):
        return _best_cpus(found)[:1]
    return [
        one
        for one in devices_called(found, name)
        if one.info.kind != "cpu" or not is_pattern(name) or is_model(one.info, name)
    ]


def _first_usable(
    devices: Sequence[Entries], variant: Variant, trials: Trials
) -> tuple[list[ListedDevice], list[ListedDevice]]:
    """Return the first usable entry of each device, and the entries that failed. The first entries
    are tried side by side, then the second ones of the devices that failed, and so on."""
    use: dict[int, ListedDevice] = {}
    unusable: list[ListedDevice] = []
    waiting = {place: list(entries) for place, entries in enumerate(devices)}
    while waiting:
        results = tried([entries.pop(0) for entries in waiting.values()], variant, trials)
        for place, result in zip(waiting, results, strict=True):
            if result.info.unusable:
                unusable.append(result)
            else:
                use[place] = result
        waiting = {
            place: entries for place, entries in waiting.items() if entries and place not in use
        }
    return [use[place] for place in sorted(use)], unusable


def _only_cpus(found: Sequence[ListedDevice]) -> list[str]:
    """Return a sentence for each backend whose drivers list CPUs only."""
    listed: dict[str, list[DeviceInfo]] = {}
    for one in found:
        if one.backend.dialect is not None:
            listed.setdefault(one.backend.name, []).append(one.info)
    return [
        f"{name}: no GPU, only the CPU {infos[0].model}"
        for name, infos in listed.items()
        if all(info.kind == "cpu" for info in infos)
    ]


def _unknown(found: Sequence[ListedDevice], name: str) -> str:
    known = ", ".join(f.info.name for f in found) or "none"
    numbered = re.fullmatch(r"(gpu|card)?[ #]?[0-9]+(-[0-9]+)?", name, re.IGNORECASE)
    hint = " (indexes are written 0,1,2)" if numbered and not name.isdecimal() else ""
    near = nearest(name, (CPU, *VENDORS, *(f.info.name for f in found)))
    # Another number is another device, not a typing mistake.
    if near and re.findall("[0-9]", name) == re.findall("[0-9]", near):
        hint = f" (did you mean {near}?)"
    return f"unknown device {name!r}{hint}; found: {known}"


def shape_on(name: str, epoch: Epoch) -> tuple[str | None, LaunchShape]:
    """Return the dialect and the launch shape of the device `name` for the dataset of `epoch`,
    by its stated limits; the real allocation may still choose more buffers."""
    found, _ = find_devices()
    device = device_called(found, name).open()
    try:
        need, most = epoch.entries * ENTRY_BYTES, device.info.largest_allocation
        buffers = next((n for n in BUFFER_COUNTS if need / n <= most), BUFFER_COUNTS[-1])
        return device.dialect, device.shape.split(buffers)
    finally:
        device.close()

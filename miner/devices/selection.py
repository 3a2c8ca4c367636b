"""By what names a device may be called, and what is wanted of it once it is known."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from miner.errors import BadValue, ConfigError
from miner.work import DeviceInfo

COOLING = 15.0
"""°C below the stop at which a device goes on, where nobody says otherwise."""

PARTS = ("", "memory_")
"""Beginnings of the keys of what has limits of its own: the core, the memory."""

_PCI = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])")


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is wanted of one device; None: as the engine or the backend thinks best."""

    shape: str | None = None
    """Name of a launch shape."""
    launch_seconds: float | None = None
    """How long one launch should take."""
    temperature_stop: float | None = None
    """°C of the core at which it rests; None: it is never stopped for its heat."""
    temperature_start: float | None = None
    """°C at which it goes on, or below; set where `temperature_stop` is."""
    memory_temperature_stop: float | None = None
    memory_temperature_start: float | None = None


def matches(info: DeviceInfo, index: int, name: str) -> bool:
    """Tell whether `name` means the device `info`, which stands at `index` of the list.

    A name is "opencl:0.0" or "0.0", an index as text, a PCI address with or without its domain, a
    UUID, a model, or a pattern (`*`, `?`, `[…]`) of the model or the name; case is ignored. A
    number alone is always an index.
    """
    wanted, model = name.strip().lower(), info.model.lower()
    if wanted.isdecimal():
        return int(wanted) == index
    if wanted and (wanted == model or (is_pattern(wanted) and fnmatchcase(model, wanted))):
        return True
    return is_called(wanted, info.name, info.pci, info.uuid)


def is_called(wanted: str, name: str, pci: str | None, uuid: str | None) -> bool:
    """Tell whether `wanted` is one of a device's lasting names, in the forms of `matches`: without
    its index, which depends on what else is there, and without its model."""
    wanted, own = wanted.strip().lower(), name.lower()
    if wanted in (own, own.partition(":")[2] or own):
        return bool(wanted)
    if uuid is not None and wanted == uuid.lower():
        return True
    if pci is not None and (address := _pci(wanted)) is not None:
        return address == _pci(pci.lower())
    return is_pattern(wanted) and fnmatchcase(own, wanted)


def is_pattern(name: str) -> bool:
    """Tell whether `name` may speak of devices that need not be there."""
    return any(sign in name for sign in "*?[")


def is_by_name(info: DeviceInfo, index: int, name: str) -> bool:
    """Tell whether `name` means this way to reach a device, and not the hardware behind it."""
    wanted, own = name.strip().lower(), info.name.lower()
    return wanted in (own, own.partition(":")[2]) or (wanted.isdecimal() and int(wanted) == index)


def are_one(a: DeviceInfo, b: DeviceInfo) -> bool:
    """Tell whether both are the same hardware, reached by two backends. Parts of a divided GPU
    share their address, but not their UUID."""
    if a.backend == b.backend:
        return False
    if a.uuid is not None and b.uuid is not None:
        return a.uuid.lower() == b.uuid.lower()
    return a.pci is not None and b.pci is not None and _pci(a.pci.lower()) == _pci(b.pci.lower())


def tuning_of(
    info: DeviceInfo,
    index: int,
    blocks: Sequence[tuple[str, Tuning]],
    base: Tuning = Tuning(),
) -> Tuning:
    """Return what is wanted of the device: `base`, overridden key by key by the blocks (name,
    tuning) that match it, the last one last.

    A start that nobody gave, or that a later stop leaves behind, is `COOLING` under its
    stop. Raises `ConfigError` where a start is not below its stop.
    """
    effective = base
    for name, tuning in blocks:
        if not matches(info, index, name):
            continue
        given = {key: value for key, value in asdict(tuning).items() if value is not None}
        given |= dict.fromkeys(left_behind(asdict(effective), given))
        effective = replace(effective, **given)
    starts: dict[str, Any] = {}
    for part in PARTS:
        high, key = getattr(effective, f"{part}temperature_stop"), f"{part}temperature_start"
        try:
            starts[key] = start_of(part, high, getattr(effective, key))
        except BadValue as error:
            hint = "give both in the [[devices.tune]] that matches it last"
            raise ConfigError(f"device {info.name}: {error}; {hint}") from error
    return replace(effective, **starts)


def left_behind(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    """Return the keys of the starts in `earlier` that a stop in `later`, which has no start of its
    own, is not above. What is no number is left to whoever judges it."""
    keys = []
    for part in PARTS:
        key = f"{part}temperature_start"
        start, stop = earlier.get(key), later.get(f"{part}temperature_stop")
        if key not in later and isinstance(start, int | float) and isinstance(stop, int | float):
            keys += [key] if start >= stop else []
    return keys


def start_of(part: str, stop: float | None, start: float | None) -> float | None:
    """Return the °C at which a device goes on that pauses at `stop`: `start`, or `COOLING` below
    its stop where nobody gave one. `part` is one of `PARTS`.

    Raises `BadValue`, which names the key, for a start that is not below its stop or has none,
    and for a stop that is no number.
    """
    stop_key, start_key = f"{part}temperature_stop", f"{part}temperature_start"
    if stop is None:
        if start is not None:
            raise BadValue(start_key, f"needs a {stop_key} above it")
        return None
    if not math.isfinite(stop):
        raise BadValue(stop_key, f"{stop:g} is no temperature in °C")
    if start is None:
        return stop - COOLING
    if not start < stop:
        raise BadValue(start_key, f"{start:g} is not below {stop:g}, its {stop_key}")
    return start


def _pci(text: str) -> tuple[int, int, int, int] | None:
    match = _PCI.fullmatch(text)
    if match is None:
        return None
    return int(match[1] or "0", 16), int(match[2], 16), int(match[3], 16), int(match[4], 16)

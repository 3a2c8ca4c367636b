"""Settings of one device: launch shape, launch time, temperature limits, datasets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from miner.devices.device_names import matches
from miner.errors import BadValue, ConfigError

if TYPE_CHECKING:
    from miner.work import DeviceInfo

COOLING = 15.0
"""°C below its stop at which a device resumes, where no start is set."""

PARTS = ("", "memory_")
"""Prefixes of the keys of each part that has limits: the core, the memory."""


@dataclass(frozen=True, slots=True)
class TemperatureLimits:
    """Temperatures (°C) at which a device pauses ("stop") and resumes ("start"); None: not set."""

    temperature_stop: float | None = None
    """Stop of the core."""
    temperature_start: float | None = None
    memory_temperature_stop: float | None = None
    memory_temperature_start: float | None = None

    def overridden_by(self, later: TemperatureLimits) -> TemperatureLimits:
        """Return these limits with the ones that `later` sets; a start that is not below a new
        stop is dropped."""
        given = {key: value for key, value in asdict(later).items() if value is not None}
        given |= dict.fromkeys(outdated_starts(asdict(self), given))
        return replace(self, **given)

    def completed(self) -> TemperatureLimits:
        """Return these limits with a start for every stop; raises as `start_for`."""
        limits = self
        for part in PARTS:
            key = f"{part}temperature_start"
            stop, start = getattr(self, f"{part}temperature_stop"), getattr(self, key)
            limits = replace(limits, **{key: start_for(part, stop, start)})
        return limits


def start_for(part: str, stop: float | None, start: float | None) -> float | None:
    """Return the °C at which a device resumes that pauses at `stop`: `start`, or `COOLING` below
    the stop where it is not set. `part` is one of `PARTS`.

    Raises `BadValue`, which names the key, for a start without a stop or not below its stop, and
    for a stop that is not finite.
    """
    stop_key, start_key = f"{part}temperature_stop", f"{part}temperature_start"
    if stop is None:
        if start is not None:
            raise BadValue(start_key, f"needs a {stop_key} above it")
        return None
    if not math.isfinite(stop):
        raise BadValue(stop_key, f"must be a finite temperature in °C, not {stop:g}")
    if start is None:
        return stop - COOLING
    if not start < stop:
        raise BadValue(start_key, f"{start:g} is not below {stop:g}, its {stop_key}")
    return start


def outdated_starts(earlier: Mapping[str, Any], later: Mapping[str, Any]) -> list[str]:
    """Return the keys of the starts in `earlier` that are not below a stop in `later`, where
    `later` sets no start itself. Values that are not numbers are ignored."""
    keys = []
    for part in PARTS:
        key = f"{part}temperature_start"
        start, stop = earlier.get(key), later.get(f"{part}temperature_stop")
        if key not in later and isinstance(start, int | float) and isinstance(stop, int | float):
            keys += [key] if start >= stop else []
    return keys


@dataclass(frozen=True, slots=True)
class Tuning:
    """Settings of one device; None: the default of the backend or the engine."""

    shape: str | None = None
    """Name of a launch shape."""
    launch_seconds: float | None = None
    """Duration of one launch."""
    limits: TemperatureLimits = TemperatureLimits()
    datasets: int | None = None
    """Most datasets (DAGs) that it keeps in memory; None: as many as fit."""
    datasets_on_disk: bool = False
    """Whether a dataset is read from disk, and stored there when it was computed."""
    autotune: tuple[str, ...] = ()
    """Launch shapes to compare with the device's own while mining."""

    def overridden_by(self, later: Tuning) -> Tuning:
        """Return this tuning with what `later` sets."""
        return Tuning(
            self.shape if later.shape is None else later.shape,
            self.launch_seconds if later.launch_seconds is None else later.launch_seconds,
            self.limits.overridden_by(later.limits),
            self.datasets if later.datasets is None else later.datasets,
            self.datasets_on_disk or later.datasets_on_disk,
        )


def tuning_of(
    info: DeviceInfo, index: int, blocks: Sequence[tuple[str, Tuning]], base: Tuning = Tuning()
) -> Tuning:
    """Return the tuning of the device `info`, at position `index` of the list: `base`, overridden
    by each of the blocks (name, tuning) that matches the device, in order.

    Every stop has a start in it. Raises `ConfigError` for a start that is not below its stop.
    """
    tuning = base
    for name, block in blocks:
        if matches(info, index, name):
            tuning = tuning.overridden_by(block)
    try:
        return replace(tuning, limits=tuning.limits.completed())
    except BadValue as error:
        raise ConfigError(
            f"device {info.name}: {error}; set both in the last [[devices.tune]] that matches it"
        ) from error

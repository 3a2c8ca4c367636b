"""When a device is too hot to work, and when it is cool enough again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from miner.devices.selection import PARTS, start_of
from miner.telemetry import Reading


@dataclass(frozen=True, slots=True)
class HeatLimits:
    """°C at which a device pauses and goes on; a stop of None is no limit.

    A start of None becomes what `start_of` makes of it; it raises `BadValue`.
    """

    temperature_stop: float | None = None
    temperature_start: float | None = None
    memory_temperature_stop: float | None = None
    memory_temperature_start: float | None = None

    def __post_init__(self) -> None:
        for part in PARTS:
            name = f"{part}temperature_start"
            start = start_of(part, getattr(self, f"{part}temperature_stop"), getattr(self, name))
            object.__setattr__(self, name, start)


@dataclass(slots=True)
class _State:
    over: dict[str, float] = field(default_factory=dict)
    """Parts that reached their stop and have not been seen cool since, with °C then."""
    paused: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    value: float | None
    stop: float
    start: float


class HeatGuard:
    """Remembers which devices overheated; `limits` by the device's name."""

    def __init__(self, limits: Mapping[str, HeatLimits]) -> None:
        self._limits = dict(limits)
        self._states: dict[str, _State] = {}

    def take(self, limits: Mapping[str, HeatLimits]) -> None:
        """Judge by other limits from the next reading on."""
        self._limits = dict(limits)

    def judge(self, device: str, reading: Reading) -> str | None:
        """Return why `device` must pause after `reading`, None where it may run.

        It pauses when core or memory reaches its stop, and goes on when both are at their
        starts or below. An unknown temperature pauses nothing; but where a part overheated, only
        a known temperature ends the pause.
        """
        limits = self._limits.get(device, HeatLimits())
        state = self._states.setdefault(device, _State())
        parts = _parts(limits, reading)
        for name in state.over.keys() - {part.name for part in parts}:
            del state.over[name]  # its limit was taken away
        for part in parts:
            if part.value is None:
                continue
            if part.value >= part.stop:
                state.over.setdefault(part.name, part.value)
            elif part.value <= part.start:
                state.over.pop(part.name, None)
        if state.over:
            state.paused = True
        elif state.paused:
            state.paused = any(p.value is not None and p.value > p.start for p in parts)
        if not state.paused:
            return None
        return "overheating: " + "; ".join(
            _words(state, part) for part in parts if _holds(state, part)
        )


def _parts(limits: HeatLimits, reading: Reading) -> list[_Part]:
    parts = []
    for name, value, stop, start in (
        ("core", reading.temperature, limits.temperature_stop, limits.temperature_start),
        (
            "memory",
            reading.memory_temperature,
            limits.memory_temperature_stop,
            limits.memory_temperature_start,
        ),
    ):
        if stop is not None and start is not None:
            parts.append(_Part(name, value, stop, start))
    return parts


def _holds(state: _State, part: _Part) -> bool:
    return part.name in state.over or (part.value is not None and part.value > part.start)


def _words(state: _State, part: _Part) -> str:
    """What holds the device back; the same words until it goes on, so that a pause is one event."""
    goes_on = f"goes on at {part.start:g} °C"
    if part.name not in state.over:
        return f"{part.name} still warm, {goes_on}"
    words = f"{part.name} {state.over[part.name]:g} °C, limit {part.stop:g} °C, {goes_on}"
    return words if part.value is not None else f"{words}, but its temperature is unknown now"

"""Decides when a hot device pauses, and when it resumes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from miner.devices.tuning import TemperatureLimits
from miner.telemetry import Reading


@dataclass(slots=True)
class _State:
    over: dict[str, float] = field(default_factory=dict)
    """Parts that reached their stop and have not reached their start since, with the °C then."""
    paused: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    value: float | None
    stop: float
    start: float

    @property
    def is_warm(self) -> bool:
        return self.value is not None and self.value > self.start


class HeatGuard:
    """Decides which devices pause; `limits` by the device's name."""

    def __init__(self, limits: Mapping[str, TemperatureLimits]) -> None:
        self.set_limits(limits)
        self._states: dict[str, _State] = {}

    def set_limits(self, limits: Mapping[str, TemperatureLimits]) -> None:
        """Use `limits` from the next reading on."""
        self._limits = {name: device.completed() for name, device in limits.items()}

    def judge(self, device: str, reading: Reading) -> str | None:
        """Return why `device` must pause after `reading`, None when it may run.

        A device pauses when its core or its memory reaches the stop, and resumes when both are at
        their starts or below. An unknown temperature neither pauses a device nor ends its
        pause.
        """
        state = self._states.setdefault(device, _State())
        parts = _parts(self._limits.get(device, TemperatureLimits()), reading)
        for name in state.over.keys() - {part.name for part in parts}:
            del state.over[name]  # its limit was removed
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
            state.paused = any(part.is_warm for part in parts)
        if not state.paused:
            return None
        holding = [part for part in parts if part.name in state.over or part.is_warm]
        return "overheating: " + "; ".join(_reason(state, part) for part in holding)


def _parts(limits: TemperatureLimits, reading: Reading) -> list[_Part]:
    core = limits.temperature_stop, limits.temperature_start
    memory = limits.memory_temperature_stop, limits.memory_temperature_start
    return [
        _Part(name, value, stop, start)
        for name, value, (stop, start) in (
            ("core", reading.temperature, core),
            ("memory", reading.memory_temperature, memory),
        )
        if stop is not None and start is not None
    ]


def _reason(state: _State, part: _Part) -> str:
    """Return why `part` pauses the device. The text stays the same during a pause, so that each
    pause is one event."""
    resumes = f"resumes at {part.start:g} °C"
    if part.name not in state.over:
        return f"{part.name} still warm, {resumes}"
    text = f"{part.name} {state.over[part.name]:g} °C, limit {part.stop:g} °C, {resumes}"
    return text if part.value is not None else f"{text}, but its temperature is unknown now"

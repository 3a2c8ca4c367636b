"""What the sensors of a device report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from miner.telemetry.field_metadata import Metric, described


def _sensor(help: str, unit: str, metric: Metric | None = None, *, log: bool = False) -> Any:
    return field(default=None, metadata=described(help, unit, metric, log=log))


def _temperature(sensor: str) -> Metric:
    return Metric("device_temperature_celsius", "Temperature", "sensor", sensor)


def _clock(clock: str) -> Metric:
    return Metric("device_clock_hertz", "Clock", "clock", clock)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the sensors of a device report at one time; None, never 0, for an unknown value.

    A field added here appears in the API, the OpenAPI document and, by its arguments, in
    Prometheus and in the JSON log.
    """

    temperature: float | None = _sensor("Core temperature", "°C", _temperature("core"), log=True)
    hotspot_temperature: float | None = _sensor(
        "Hotspot temperature", "°C", _temperature("hotspot")
    )
    memory_temperature: float | None = _sensor(
        "Memory temperature", "°C", _temperature("memory"), log=True
    )
    power: float | None = _sensor("Power drawn", "W", Metric("device_power_watts"), log=True)
    power_limit: float | None = _sensor("Power limit", "W", Metric("device_power_limit_watts"))
    fan: float | None = _sensor(
        "Fan speed relative to its maximum", "percent", Metric("device_fan_ratio"), log=True
    )
    core_clock: float | None = _sensor("Core clock", "MHz", _clock("core"))
    memory_clock: float | None = _sensor("Memory clock", "MHz", _clock("memory"))
    memory_used: float | None = _sensor(
        "Device memory used by all processes", "bytes", Metric("device_memory_used_bytes")
    )
    utilization: float | None = _sensor(
        "Share of time in which the device is busy", "percent", Metric("device_utilization_ratio")
    )
    throttle: str | None = _sensor(
        "Why the device reduces its clocks, separated by commas",
        "",
        Metric("device_throttled", "1 for each reason why the device reduces its clocks", "reason"),
    )
    """None: it does not, or the driver does not report it."""

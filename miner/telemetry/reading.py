"""What a device's sensors say at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """Whatever cannot be read is None, and never 0."""

    temperature: float | None = None
    """Of the core, °C."""
    hotspot_temperature: float | None = None
    """°C."""
    memory_temperature: float | None = None
    """°C."""
    power: float | None = None
    """W."""
    power_limit: float | None = None
    """W."""
    fan: float | None = None
    """Percent of its highest speed."""
    core_clock: float | None = None
    """MHz."""
    memory_clock: float | None = None
    """MHz."""
    memory_used: float | None = None
    """Bytes."""
    utilization: float | None = None
    """Percent of the time that the device was busy."""
    throttle: str = ""
    """Why the card holds itself back; empty where it does not, or does not say."""

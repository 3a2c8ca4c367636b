"""Sensors whose readings a test sets."""

from __future__ import annotations

from collections.abc import Mapping

from miner.telemetry import Reading


class FakeSensors:
    """Returns `readings`, which a test may change at any time."""

    def __init__(self, readings: Mapping[str, Reading]) -> None:
        self.readings = dict(readings)
        self.missing: list[str] = []
        self.driver_errors: list[str] = []
        self.reads = 0
        self.closed = False

    def read(self) -> dict[str, Reading]:
        self.reads += 1
        return dict(self.readings)

    def close(self) -> None:
        self.closed = True

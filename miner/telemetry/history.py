"""Hashrates and sensors over time, for plots."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from miner.clock import Clock, UnixZero
from miner.telemetry.snapshot import Snapshot

STEPS = ((10.0, 360), (300.0, 288))
"""Seconds between samples, and number of samples kept: an hour finely, a day coarsely."""


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """One device at one time; None for unknown values."""

    name: str
    hashrate: float
    """Hashes per second since the previous sample."""
    temperature: float | None
    memory_temperature: float | None
    power: float | None
    fan: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The miner at one time."""

    at: float
    """UNIX seconds."""
    hashrate: float
    """Hashes per second since the previous sample."""
    accepted: int
    """Shares since the start of the miner."""
    not_accepted: int
    devices: tuple[DeviceSample, ...]


class History:
    """Keeps samples of the snapshot at two resolutions."""

    def __init__(self, snapshot: Callable[[], Snapshot], clock: Clock) -> None:
        self._snapshot, self._clock = snapshot, clock
        self._unix_zero = UnixZero(clock)
        self._series = {step: deque[Sample](maxlen=kept) for step, kept in STEPS}
        """Their times are in the clock's seconds."""
        self._last: dict[float, Snapshot] = {}

    def samples(self, step: float) -> tuple[Sample, ...]:
        """Return the samples that are `step` seconds apart, oldest first; raises `KeyError` for a
        step that is not in `STEPS`."""
        zero = self._unix_zero.seconds()
        return tuple(replace(sample, at=zero + sample.at) for sample in self._series[step])

    async def keep(self) -> None:
        """Take samples until cancelled."""
        first = self._snapshot()
        self._last = {step: first for step, _ in STEPS}
        shortest = STEPS[0][0]
        count = 0
        while True:
            await self._clock.sleep(shortest)
            count += 1
            now = self._snapshot()
            for step, _ in STEPS:
                if count % round(step / shortest) == 0:
                    self._series[step].append(_between(self._last[step], now, self._clock.now()))
                    self._last[step] = now


def _between(before: Snapshot, now: Snapshot, at: float) -> Sample:
    tried = {device.name: device.tried for device in before.devices}
    seconds = now.uptime - before.uptime
    devices = tuple(
        DeviceSample(
            d.name,
            (d.tried - tried.get(d.name, 0)) / seconds,
            d.reading.temperature,
            d.reading.memory_temperature,
            d.reading.power,
            d.reading.fan,
        )
        for d in now.devices
    )
    return Sample(
        at,
        (now.tried - before.tried) / seconds,
        now.shares.accepted,
        now.shares.not_accepted,
        devices,
    )

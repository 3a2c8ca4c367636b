"""Entries and snapshots as plain lines of text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import TextIO

from miner.formatting import (
    format_count,
    format_difficulty,
    format_efficiency,
    format_hashrate,
    format_milliseconds,
    format_uptime,
)
from miner.safe_text import Redactor
from miner.telemetry import (
    DeviceSnapshot,
    DeviceState,
    JournalEntry,
    Level,
    PoolSnapshot,
    Snapshot,
    Tally,
)
from miner.work import Outcome

TIME, DATE, UNDATED = "%H:%M:%S ", "%Y-%m-%d %H:%M:%S ", ""
"""Beginnings of lines in a terminal, in a file or pipe, and in systemd's journal."""


def beginning_on(stream: TextIO, environ: Mapping[str, str]) -> str:
    """Return how lines on `stream` begin: without a date in systemd's journal, which adds one."""
    try:
        if stream.isatty():
            return TIME
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or not a file
        return DATE
    in_journal = environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
    return UNDATED if in_journal else DATE


class PlainLines:
    """Lines as in "12:04:31 pool      welcome".

    Outside of a terminal they also have the level, unless it is INFO.
    """

    def __init__(self, redactor: Redactor, beginning: str = TIME) -> None:
        self._redactor = redactor
        self._beginning = beginning

    def entry(self, entry: JournalEntry) -> str:
        shown = self._beginning != TIME and entry.level != Level.INFO
        level = f"{entry.level.name} " if shown else ""
        return self._line(entry.at, entry.topic, level + entry.text)

    def status(self, snapshot: Snapshot, full: bool) -> list[str]:
        lines = full_status(snapshot) if full else [("status", status_line(snapshot))]
        return [self._line(snapshot.at, t, self._redactor.one_line(text)) for t, text in lines]

    def note(self, text: str, at: float) -> str:
        """Return `text` alone."""
        return text

    def _line(self, at: float, topic: str, text: str) -> str:
        return f"{datetime.fromtimestamp(at).strftime(self._beginning)}{topic:<9} {text}"


def status_line(snapshot: Snapshot) -> str:
    """Return hashrates and counts of shares as one line."""
    parts = [_total(snapshot)]
    if len(snapshot.devices) > 1:
        parts += [f"{d.name} {format_hashrate(d.hashrate.ten_seconds)}" for d in snapshot.devices]
    return ", ".join(parts)


def full_status(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Return (topic, line) of the whole, of the pool with its job, and of each device."""
    total = [_total(snapshot)]
    # The power of only some devices would be mistaken for that of the rig.
    if snapshot.power is not None and snapshot.efficiency is not None:
        total += sensor_texts(sensor_values(power=snapshot.power, efficiency=snapshot.efficiency))
    total += [f"effort {snapshot.luck.effort:.0%}", f"up {format_uptime(snapshot.uptime)}"]
    lines = [("status", ", ".join(total))]
    if snapshot.pool:
        lines.append(("pool", _pool_line(snapshot, snapshot.pool)))
    lines += [(device.name, device_line(device)) for device in snapshot.devices]
    return lines


def device_line(device: DeviceSnapshot) -> str:
    """Return hashrate, known sensors and shares of one device."""
    parts = [format_hashrate(device.hashrate.ten_seconds), *sensor_texts(device_sensors(device))]
    parts.append(_counts(device.shares))
    if device.state is not DeviceState.SEARCHING:
        parts.append(device.doing)
    return ", ".join(parts)


def device_sensors(device: DeviceSnapshot) -> dict[str, str]:
    """Return the `sensor_values` of `device`."""
    reading = device.reading
    return sensor_values(reading.temperature, reading.power, reading.fan, device.efficiency)


def sensor_values(
    temperature: float | None = None,
    power: float | None = None,
    fan: float | None = None,
    efficiency: float | None = None,
) -> dict[str, str]:
    """Return the known values with their units by name: core, fan, power and efficiency."""
    values = {}
    if temperature is not None:
        values["core"] = f"{temperature:.0f} °C"
    if fan is not None:
        values["fan"] = f"{fan:.0f}%"
    if power is not None:
        values["power"] = f"{power:.0f} W"
    if efficiency is not None:
        values["efficiency"] = format_efficiency(efficiency)
    return values


def summary(snapshot: Snapshot) -> list[str]:
    """Return the last lines of a run."""
    shares = snapshot.shares
    others = ((o.phrase, n) for o, n in shares.outcomes.items() if o is not Outcome.ACCEPTED)
    refused = ", ".join(f"{n} {phrase}" for phrase, n in others if n) or "none"
    mean = format_hashrate(snapshot.tried / snapshot.uptime if snapshot.uptime else 0.0)
    return [
        f"{shares.accepted} shares accepted, not accepted: {refused}",
        (
            f"{snapshot.tried:,} hashes in {snapshot.uptime:.0f} s, {mean} on average; "
            f"{format_count(snapshot.faults, 'device fault')}"
        ),
    ]


def _total(snapshot: Snapshot) -> str:
    shares, hashrate = snapshot.shares, snapshot.hashrate
    parts = [
        f"{format_hashrate(hashrate.ten_seconds)} (60 s {format_hashrate(hashrate.minute)})",
        _counts(shares),
    ]
    if missing := missing_devices(snapshot):
        parts.append(missing)
    if snapshot.pool and snapshot.pool.unverified:
        parts.append("TLS NOT VERIFIED")
    return ", ".join(parts)


def missing_devices(snapshot: Snapshot) -> str:
    """Return how many of the expected devices are present, as in "DEVICES 11/12"; empty if all."""
    present, expected = snapshot.devices_present, snapshot.devices_expected
    return f"DEVICES {present}/{expected}" if present < expected else ""


def _pool_line(snapshot: Snapshot, pool: PoolSnapshot) -> str:
    parts = [pool.label, pool.state.value]
    if pool.account:
        parts.append(f"as {pool.account}")
    if pool.latency is not None:
        parts.append(format_milliseconds(pool.latency))
    if (job := snapshot.job) and job.wait_reason is not None:
        parts.append(job.wait_reason)
    elif job:
        parts += [
            f"height {job.height}",
            f"epoch {job.epoch.number}",
            f"difficulty {format_difficulty(job.difficulty)}",
        ]
    if snapshot.best:
        parts.append(f"best {format_difficulty(snapshot.best[0].difficulty)}")
    return ", ".join(parts)


def _counts(shares: Tally) -> str:
    wrong = f"hardware errors {shares.hardware}"
    return f"accepted {shares.accepted}, not accepted {shares.not_accepted}, {wrong}"


def sensor_texts(sensors: dict[str, str]) -> list[str]:
    """Return the values of `sensor_values`; that of the fan is not clear without its name."""
    return [f"fan {value}" if name == "fan" else value for name, value in sensors.items()]

"""Entries and snapshots as lines of JSON, for programs that read logs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any

from miner.console.plain import status_line
from miner.safe_text import Redactor
from miner.telemetry import (
    DeviceSnapshot,
    Hashrate,
    JournalEntry,
    Level,
    PoolSnapshot,
    Reading,
    Snapshot,
    Tally,
)
from miner.telemetry.field_metadata import descriptions, label_of


class JsonLines:
    """Lines of one JSON object each, in ASCII."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def entry(self, entry: JournalEntry) -> str:
        return _line(_head(entry.at, entry.level, entry.topic, entry.text))

    def status(self, snapshot: Snapshot, full: bool) -> list[str]:
        return [json_status(snapshot, self._redactor)]

    def note(self, text: str, at: float) -> str:
        return _line(_head(at, Level.INFO, "note", text))


def json_status(snapshot: Snapshot, redactor: Redactor) -> str:
    """Return `snapshot` as a line of JSON with the names of the HTTP API; null is unknown."""
    job, pool = snapshot.job, snapshot.pool
    record = _head(snapshot.at, Level.INFO, "status", status_line(snapshot)) | {
        "uptime": snapshot.uptime,
        "hashrate": asdict(snapshot.hashrate),
        "shares": _shares(snapshot.shares),
        "faults": snapshot.faults,
        "power": snapshot.power,
        "efficiency": snapshot.efficiency,
        "effort": snapshot.luck.effort,
        "best_difficulty": snapshot.best[0].difficulty if snapshot.best else None,
        "job": {
            "height": job.height,
            "epoch": job.epoch.number,
            "period": job.period,
            "difficulty": job.difficulty,
            "other_algorithm": job.other_algorithm or None,
        }
        if job
        else None,
        "pool": _pool(pool) if pool else None,
        "devices": [_device(device) for device in snapshot.devices],
    }
    return _line(_redacted(record, redactor))


def _head(at: float, level: Level, topic: str, text: str) -> dict[str, Any]:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {
        "at": time.replace("+00:00", "Z"),
        "level": level.name.lower(),
        "topic": topic,
        "text": text,
    }


def _line(record: dict[str, Any]) -> str:
    # ASCII only: some readers take other characters, such as U+2028, for line ends.
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


def _redacted(value: Any, redactor: Redactor) -> Any:
    match value:
        case str():
            return redactor.one_line(value)
        case dict():
            return {key: _redacted(member, redactor) for key, member in value.items()}
        case float() if not isfinite(value):
            return None
        case list():
            return [_redacted(member, redactor) for member in value]
        case _:
            return value


def _shares(tally: Tally) -> dict[str, int]:
    return {
        "accepted": tally.accepted, "rejected": tally.rejected, "stale": tally.stale,
        "invalid": tally.invalid, "lost": tally.lost, "hardware": tally.hardware,
    }  # fmt: skip


def _pool(pool: PoolSnapshot) -> dict[str, Any]:
    return {
        "label": pool.label,
        "state": pool.state.value,
        "unverified": pool.unverified,
        "account": pool.account or None,
        "latency": pool.latency,
    }


def _device(device: DeviceSnapshot) -> dict[str, Any]:
    return {"name": device.name, **_logged_fields(device)}


def _logged_fields(source: DeviceSnapshot | Reading) -> dict[str, Any]:
    """Return the values of the fields whose metadata has `log`; those of a reading come beside
    the device's own."""
    record: dict[str, Any] = {}
    for name, description in descriptions(type(source)):
        if description.log:
            match getattr(source, name):
                case Reading() as reading:
                    record |= _logged_fields(reading)
                case Tally() as tally:
                    record[name] = _shares(tally)
                case Hashrate() as hashrate:
                    record[name] = asdict(hashrate)
                case Enum() as member:
                    record[name] = label_of(member)
                case value:
                    record[name] = value
    return record

"""What happens and how it goes as JSON, one object a line, for programs that read logs."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import Enum
from math import isfinite
from typing import Any

from miner.console.plain import LineConsole, status_line
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


class JsonConsole(LineConsole):
    """Prints an object for each entry, and for each status."""

    def entry(self, entry: JournalEntry) -> None:
        self._print(entry_record(entry))

    def status(self, snapshot: Snapshot, full: bool) -> None:
        self._print(status_record(snapshot, self._redactor))

    def write(self, line: str) -> None:
        self._print(self.note(self._redactor.one_line(line)))

    def note(self, text: str) -> str:
        """Return the object that says `text`, which is in no journal."""
        return entry_record(JournalEntry(0, self._clock.wall(), Level.INFO, "note", text))


def entry_record(entry: JournalEntry) -> str:
    """Return an entry as a line of JSON."""
    return _line(_head(entry.at, entry.level, entry.topic, entry.text))


def status_record(snapshot: Snapshot, redactor: Redactor) -> str:
    """Return how it goes as a line of JSON, each text redacted; what is not known is
    null. The names are those of the HTTP API."""
    head = _head(snapshot.at, Level.INFO, "status", status_line(snapshot))
    job, pool = snapshot.job, snapshot.pool
    body = {
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
        }
        if job
        else None,
        "pool": _pool(pool) if pool else None,
        "devices": [_device(device) for device in snapshot.devices],
    }
    return _line(_redacted(head | body, redactor))


def _head(at: float, level: Level, topic: str, text: str) -> dict[str, Any]:
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return {
        "at": moment.replace("+00:00", "Z"),
        "level": level.name.lower(),
        "topic": topic,
        "text": text,
    }


def _line(record: dict[str, Any]) -> str:
    # ASCII alone, so that no reader can take a character for the end of the line.
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
        "accepted": tally.accepted,
        "rejected": tally.rejected,
        "stale": tally.stale,
        "invalid": tally.invalid,
        "lost": tally.lost,
        "hardware": tally.hardware,
    }


def _pool(pool: PoolSnapshot) -> dict[str, Any]:
    return {
        "label": pool.label,
        "state": pool.state.value,
        "unverified": pool.unverified,
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

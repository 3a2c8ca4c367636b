"""The responses of API version 1, made from telemetry's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import TypeAdapter

from miner.api.responses import (
    EntryAnswer,
    LevelName,
    Response,
    SharesOfLedger,
    field_values,
)
from miner.api.status_json import DeviceAnswer, JobAnswer, PoolAnswer, Status
from miner.telemetry import (
    DeviceSnapshot,
    DeviceState,
    JournalEntry,
    PoolSnapshot,
    PoolState,
    Sample,
    Snapshot,
)


def _shared(model: type[Response], source: object) -> dict[str, Any]:
    """Return the attributes of `source` that have the name of a field of `model`."""
    return {name: getattr(source, name) for name in model.model_fields if hasattr(source, name)}


def status(snapshot: Snapshot) -> Status:
    """Return the whole snapshot."""
    reasons = tuple(readiness(snapshot))
    own = {
        "ready": not reasons,
        "reasons": reasons,
        "degraded": tuple(degradation(snapshot)),
        "job": _job(snapshot),
        "pool": _pool(snapshot.pool, snapshot.active) if snapshot.pool else None,
        "pools": pools(snapshot),
        "devices": devices(snapshot),
    }
    shared = _shared(Status, snapshot.about) | _shared(Status, snapshot)
    return Status.model_validate(shared | own)


def devices(snapshot: Snapshot) -> tuple[DeviceAnswer, ...]:
    """Return every device, in the order of the settings."""
    return tuple(map(device, snapshot.devices))


def device(snapshot: DeviceSnapshot) -> DeviceAnswer:
    """Return one device."""
    info = _shared(DeviceAnswer, snapshot.info)
    return DeviceAnswer.model_validate(info | field_values(snapshot))


def pools(snapshot: Snapshot) -> tuple[PoolAnswer, ...]:
    """Return every pool, in the order of the first connections."""
    return tuple(_pool(pool, snapshot.active) for pool in snapshot.pools)


def _pool(pool: PoolSnapshot, active: str | None) -> PoolAnswer:
    shared = _shared(PoolAnswer, pool)
    return PoolAnswer.model_validate(shared | {"active": pool.label == active})


def _job(snapshot: Snapshot) -> JobAnswer | None:
    job = snapshot.job
    if job is None:
        return None
    return JobAnswer(
        id=job.id,
        height=job.height,
        epoch=job.epoch.number,
        period=job.period,
        difficulty=job.difficulty,
        other_algorithm=job.other_algorithm or None,
        wait_reason=job.wait_reason,
        received_at=snapshot.job_at,
    )


@dataclass(frozen=True, slots=True)
class _History:
    """The value that `HistoryAnswer` describes.

    An hour of twelve cards has 4320 samples of devices: converting them to response models takes
    50 ms, serializing the dataclasses themselves 2 ms.
    """

    step: int
    samples: tuple[Sample, ...]


_HISTORY = TypeAdapter(_History)


def history_bytes(step: int, samples: tuple[Sample, ...]) -> bytes:
    """Return a `HistoryAnswer` of `samples`, taken every `step` seconds, as JSON."""
    return _HISTORY.dump_json(_History(step, samples))


def entry(entry: JournalEntry) -> EntryAnswer:
    """Return one entry of the journal."""
    return EntryAnswer(
        number=entry.number,
        at=entry.at,
        level=cast(LevelName, entry.level.name.lower()),
        topic=entry.topic,
        text=entry.text,
    )


def entries_after(entries: Sequence[JournalEntry], number: int) -> Sequence[JournalEntry]:
    """Return those of `entries` (oldest first) with a higher number than `number`.

    A `number` higher than all of them comes from an earlier run: then all entries are new.
    """
    if not entries or number > entries[-1].number:
        return entries
    return entries[max(len(entries) - (entries[-1].number - number), 0) :]


def shares(rows: Iterable[Mapping[str, Any]]) -> SharesOfLedger:
    """Return rows of the ledger, without the columns that clients must not see."""
    found = tuple({**row, "text": row["text"] or None} for row in rows)
    return SharesOfLedger.model_validate({"shares": found})


def liveness(snapshot: Snapshot) -> list[str]:
    """Return why a restart of the miner would help, as sentences; empty if it would not."""
    return [_state_of(device) for device in snapshot.devices if device.state is DeviceState.HUNG]


def readiness(snapshot: Snapshot) -> list[str]:
    """Return why no device mines for a pool, as sentences; empty if one does."""
    reasons = _pool_problems(snapshot)
    if any(map(_is_mining, snapshot.devices)) or _waits_for_turn(snapshot):
        return reasons
    if snapshot.light:
        reasons.append(f"building the {snapshot.light}")
    if not snapshot.devices:
        reasons.append("no devices")
    return [*reasons, *map(_state_of, snapshot.devices)]


def degradation(snapshot: Snapshot) -> list[str]:
    """Return why fewer devices mine than are expected, as sentences; the rig is ready nevertheless
    while one mines."""
    if snapshot.devices_present >= snapshot.devices_expected:
        return []
    lost = [_state_of(device) for device in snapshot.devices if device.parked]
    present, expected = snapshot.devices_present, snapshot.devices_expected
    counts = f"{present} of {expected} expected devices are present"
    return [counts, *snapshot.about.devices_missing, *lost]


def _pool_problems(snapshot: Snapshot) -> list[str]:
    pool = snapshot.pool
    if pool is None:
        return ["not yet connected to a pool"]
    if pool.state is PoolState.LOST:
        return [f"lost {pool.label}: {pool.reason}"]
    if pool.state is PoolState.CONNECTING:
        return [f"connecting to {pool.label}"]
    return [] if snapshot.job else [f"{pool.label} has sent no job"]


def _is_mining(device: DeviceSnapshot) -> bool:
    # In each new period a device is READY between its kernel and the first launch; a probe must
    # not report the rig as failing then.
    if device.state is DeviceState.READY:
        return device.tried > 0
    return device.state is DeviceState.SEARCHING


def _waits_for_turn(snapshot: Snapshot) -> bool:
    """Return whether a device could mine, but another algorithm makes this block."""
    waits = snapshot.job is not None and snapshot.job.wait_reason is not None
    return waits and any(device.state is DeviceState.WAITING for device in snapshot.devices)


def _state_of(device: DeviceSnapshot) -> str:
    return f"{device.name}: {device.doing}"

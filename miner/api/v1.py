"""The responses of API version 1, made from telemetry's values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from pydantic import TypeAdapter

from miner.api.path_redaction import PathRedactor
from miner.api.responses import EntryAnswer, SharesOfLedger, field_values, to_json
from miner.api.status_json import (
    BestShareAnswer,
    DeviceAnswer,
    HashrateAnswer,
    JobAnswer,
    LuckAnswer,
    PoolAnswer,
    SharesAnswer,
    Status,
    TimingsAnswer,
)
from miner.telemetry import (
    DeviceSnapshot,
    DeviceState,
    JournalEntry,
    PoolSnapshot,
    PoolState,
    Sample,
    Snapshot,
)
from miner.work import DeviceInfo

LevelName = Literal["debug", "info", "warning", "error"]


def status(snapshot: Snapshot) -> Status:
    """Return the whole snapshot."""
    about = snapshot.about
    reasons = tuple(readiness(snapshot))
    return Status(
        rig=about.rig or None,
        version=about.version or None,
        algorithm=about.algorithm or None,
        coin=about.coin or None,
        at=snapshot.at,
        started_at=snapshot.started_at,
        uptime=snapshot.uptime,
        ready=not reasons,
        reasons=reasons,
        hashrate=HashrateAnswer.model_validate(snapshot.hashrate),
        tried=snapshot.tried,
        power=snapshot.power,
        efficiency=snapshot.efficiency,
        found=snapshot.found,
        shares=SharesAnswer.model_validate(snapshot.shares),
        faults=snapshot.faults,
        luck=LuckAnswer.model_validate(snapshot.luck),
        best=tuple(map(BestShareAnswer.model_validate, snapshot.best)),
        job=_job(snapshot),
        jobs=snapshot.jobs,
        epochs=snapshot.epochs,
        light=snapshot.light or None,
        notice=snapshot.notice or None,
        pool=_pool(snapshot.pool, snapshot.active) if snapshot.pool else None,
        pools=pools(snapshot),
        devices=devices(snapshot),
        timings=TimingsAnswer.model_validate(snapshot.timings),
    )


def status_bytes(snapshot: Snapshot, redact: PathRedactor) -> bytes:
    """Return the whole snapshot as JSON, its sentences redacted by `redact`."""
    return to_json(status(snapshot), redact)


def devices(snapshot: Snapshot) -> tuple[DeviceAnswer, ...]:
    """Return every device, in the order of the settings."""
    return tuple(map(device, snapshot.devices))


_INFO_FIELDS = [f.name for f in fields(DeviceInfo) if f.name in DeviceAnswer.model_fields]


def device(snapshot: DeviceSnapshot) -> DeviceAnswer:
    """Return one device."""
    info = {name: getattr(snapshot.info, name) for name in _INFO_FIELDS}
    return DeviceAnswer.model_validate(info | field_values(snapshot))


def pools(snapshot: Snapshot) -> tuple[PoolAnswer, ...]:
    """Return every pool, in the order of the first connections."""
    return tuple(_pool(pool, snapshot.active) for pool in snapshot.pools)


def _pool(pool: PoolSnapshot, active: str | None) -> PoolAnswer:
    return PoolAnswer(
        label=pool.label,
        state=pool.state.value,
        active=pool.label == active,
        reason=pool.reason or None,
        unverified=pool.unverified,
        connected_at=pool.connected_at,
        logins=pool.logins,
        losses=pool.losses,
        latency=pool.latency,
        mean_latency=pool.mean_latency,
        shares=SharesAnswer.model_validate(pool.shares),
        last_share_at=pool.last_share_at,
        work=pool.work,
    )


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
    if any(map(_is_mining, snapshot.devices)):
        return reasons
    if snapshot.light:
        reasons.append(f"building the {snapshot.light}")
    if not snapshot.devices:
        reasons.append("no devices")
    return [*reasons, *map(_state_of, snapshot.devices)]


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


def _state_of(device: DeviceSnapshot) -> str:
    return f"{device.name}: {device.doing}"

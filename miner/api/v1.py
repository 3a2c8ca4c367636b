"""A Snapshot, a history, a journal as answers of version 1."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, cast

from pydantic import TypeAdapter

from miner.api.derived_responses import field_values
from miner.api.path_redaction import Paths
from miner.api.readiness import readiness
from miner.api.responses import EntryAnswer, EventsAnswer, SharesOfLedger, written
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
from miner.telemetry import DeviceSnapshot, JournalEntry, PoolSnapshot, Sample, Snapshot
from miner.work import DeviceInfo

_IDENTITY = [f.name for f in fields(DeviceInfo) if f.name in DeviceAnswer.model_fields]

LevelName = Literal["debug", "info", "warning", "error"]


def status(snapshot: Snapshot) -> Status:
    """Return everything at once."""
    about, active = snapshot.about, snapshot.pool
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
        pool=_pool(active, snapshot.active) if active else None,
        pools=pools(snapshot),
        devices=devices(snapshot),
        timings=TimingsAnswer.model_validate(snapshot.timings),
    )


def status_text(snapshot: Snapshot, paths: Paths) -> bytes:
    """Return the same as JSON without `paths`."""
    return written(status(snapshot), paths)


def devices(snapshot: Snapshot) -> tuple[DeviceAnswer, ...]:
    """Return every device, in the order in which they were chosen."""
    return tuple(map(device, snapshot.devices))


def device(found: DeviceSnapshot) -> DeviceAnswer:
    """Return one device."""
    identity = {name: getattr(found.info, name) for name in _IDENTITY}
    return DeviceAnswer.model_validate(identity | field_values(found))


def pools(snapshot: Snapshot) -> tuple[PoolAnswer, ...]:
    """Return every pool, in the order of their first connection."""
    return tuple(_pool(pool, snapshot.active) for pool in snapshot.pools)


@dataclass(frozen=True, slots=True)
class _History:
    """What `HistoryAnswer` describes. An hour of twelve cards is 4320 samples of a device: to make
    answers of them takes fifty milliseconds, to write them as they are takes two."""

    step: int
    samples: tuple[Sample, ...]


_HISTORY = TypeAdapter(_History)


def history_text(step: int, samples: tuple[Sample, ...]) -> bytes:
    """Return a `HistoryAnswer` of `samples` that are `step` seconds apart, as JSON."""
    return _HISTORY.dump_json(_History(step, samples))


def events(entries: Iterable[JournalEntry]) -> EventsAnswer:
    """Return `entries` of the journal."""
    return EventsAnswer(events=tuple(map(entry, entries)))


def entry(entry: JournalEntry) -> EntryAnswer:
    """Return one entry of the journal."""
    return EntryAnswer(
        number=entry.number,
        at=entry.at,
        level=cast(LevelName, entry.level.name.lower()),
        topic=entry.topic,
        text=entry.text,
    )


def newer(entries: Sequence[JournalEntry], after: int) -> Sequence[JournalEntry]:
    """Return those of `entries` (oldest first) that come after number `after`.

    A number that was not given out yet is one of an earlier run: then all are new.
    """
    if not entries or after > entries[-1].number:
        return entries
    return entries[max(len(entries) - (entries[-1].number - after), 0) :]


def shares(rows: Iterable[Mapping[str, Any]]) -> SharesOfLedger:
    """Return rows of the ledger; of columns that are not part of the answer nothing is shown."""
    found = tuple({**row, "text": row["text"] or None} for row in rows)
    return SharesOfLedger.model_validate({"shares": found})


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

"""Shares as the ledger returns them, and as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from miner.ledger.schema import HARDWARE, UNANSWERED
from miner.work import Outcome

OUTCOMES = (*(outcome.value for outcome in Outcome), HARDWARE, UNANSWERED)
"""Every word that this version writes, or reads, as a share's outcome."""

GROUPS = (
    "run", "day", "hour", "device", "pci", "uuid", "pool", "algorithm", "job", "height", "epoch",
    "period", "outcome",
)  # fmt: skip
"""What shares can be summed by; days and hours are those of UTC."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which shares are asked for; what is None or empty asks for all."""

    run: str | None = None
    """Its name or how that begins; "last" is the newest run."""
    device: str | None = None
    """Name, PCI address, UUID, or a pattern of the name, as in `device_names.is_called`."""
    pool: str | None = None
    """A part of its address, in any case."""
    algorithm: str | None = None
    """In any case."""
    outcome: tuple[str, ...] = ()
    """Any of `OUTCOMES`."""
    since: float | None = None
    """UNIX seconds at which it was found, or later."""
    until: float | None = None
    """It was found before."""
    blocks: bool = False
    """Only those that met the block's target, as far as the pool told that."""


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """One candidate's whole life; times are UNIX seconds, None where it did not get so far."""

    id: int
    run: str
    number: int
    """Counted from 1 within the run."""
    device: str
    pci: str | None
    uuid: str | None
    pool: str
    algorithm: str
    job: str
    height: int
    epoch: int
    period: int
    nonce: str
    """16 hex digits."""
    header: str
    """64 hex digits in display order."""
    difficulty_asked: float
    """Hashes that one that is good enough costs on average."""
    difficulty_reached: float
    """Hashes that one as good as this one costs on average."""
    is_block: bool
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """When its life ended, by an answer or without one."""
    outcome: str
    """One of `OUTCOMES`, or the word of another version."""
    text: str
    """The pool's own words, or ours where it said none."""

    @property
    def answer_seconds(self) -> float | None:
        """From sending to the answer; None where there was none."""
        if self.sent_at is None or self.answered_at is None or self.outcome == Outcome.LOST.value:
            return None
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Sum:
    """Shares that are alike in what was asked for."""

    group: tuple[str | int | None, ...]
    """A value for each name that was summed by."""
    shares: int
    found: int
    """Proved on the CPU: the same as the miner's own counter of found shares."""
    accepted: int
    blocks: int
    """Those accepted ones that met the block's target, as far as the pool told that."""
    work: float
    """Hashes that the accepted ones stand for, each at the difficulty that was asked."""
    best: float | None
    """Difficulty reached by the best share that was not refuted."""
    answer_seconds: float | None
    """Mean time from sending to the answer."""
    first: float
    """UNIX seconds at which the first was found."""
    last: float


@dataclass(frozen=True, slots=True)
class RunOfShares:
    """A run of the miner that the ledger knows."""

    id: str
    started: float
    """UNIX seconds."""
    version: str
    rig: str
    shares: int


FORMATS = ("csv", "json", "jsonl")

Value = str | int | float | bool | None
Record = Mapping[str, Value]

SHARE_NAMES = (*(f.name for f in fields(ShareRecord) if f.name != "id"), "answer_seconds")

_SUM_NAMES = tuple(f.name for f in fields(Sum) if f.name != "group")
_TIMES = ("found_at", "verified_at", "sent_at", "answered_at", "first", "last")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With these, text that others chose begins to be computed when a table program opens it."""


def sum_names(by: Sequence[str]) -> tuple[str, ...]:
    """Return the names in a record of a sum by `by`."""
    return (*by, *_SUM_NAMES)


def share_record(share: ShareRecord) -> Record:
    """Return `share` by its columns' names, times as text in UTC."""
    return {name: _value(name, getattr(share, name)) for name in SHARE_NAMES}


def sum_record(sum_: Sum, by: Sequence[str]) -> Record:
    """Return `sum_`, which was summed by `by`, times as text in UTC."""
    group = dict(zip(by, sum_.group, strict=True))
    return group | {name: _value(name, getattr(sum_, name)) for name in _SUM_NAMES}


def exported(records: Iterable[Record], names: Sequence[str], form: str) -> Iterator[str]:
    """Yield the text of `records`, each with the keys `names`, as one of `FORMATS`; its pieces
    end in line ends."""
    if form == "csv":
        yield _csv_line(names)
        for record in records:
            yield _csv_line([_cell(record[name]) for name in names])
    elif form == "jsonl":
        for record in records:
            yield json.dumps(record) + "\n"
    else:
        before = "[\n"
        for record in records:
            yield before + json.dumps(record)
            before = ",\n"
        yield "[]\n" if before == "[\n" else "\n]\n"


def utc(seconds: float) -> str:
    """Return UNIX `seconds` as in "2026-05-01T12:00:00.123456Z"."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def _value(name: str, value: Value) -> Value:
    return utc(value) if name in _TIMES and isinstance(value, float) else value


def _cell(value: Value) -> Value:
    if isinstance(value, str) and value.startswith(_FORMULA):
        return "'" + value
    return int(value) if isinstance(value, bool) else value


def _csv_line(values: Sequence[Value]) -> str:
    text = io.StringIO()
    # Only what the line end holds is quoted: hence one with both, cut to what shells expect.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue()[:-2] + "\n"

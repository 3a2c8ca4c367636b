"""Shares, sums and runs of the ledger: as objects, as CSV, as JSON."""

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
"""Every outcome that this version writes or reads."""

GROUPS = (
    "run", "day", "hour", "device", "pci", "uuid", "pool", "algorithm", "job", "height", "epoch",
    "period", "outcome",
)  # fmt: skip
"""Names by which shares can be summed; days and hours are UTC."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A selection of shares; None or empty selects all."""

    run: str | None = None
    """The name of a run or its beginning; "last" is the newest run."""
    device: str | None = None
    """Name, PCI address, UUID, or a pattern of the name, as in `device_names.is_called`."""
    pool: str | None = None
    """A part of the address; case is ignored."""
    algorithm: str | None = None
    """Case is ignored."""
    outcome: tuple[str, ...] = ()
    """Any of `OUTCOMES`."""
    since: float | None = None
    """Found at this UNIX second or later."""
    until: float | None = None
    """Found before this UNIX second."""
    blocks: bool = False
    """Only those that meet the block target, if the pool sent one."""


@dataclass(frozen=True, slots=True)
class ShareRecord:
    """One candidate and its outcome; times are UNIX seconds, None for a step not reached."""

    id: int
    run: str
    number: int
    """Counts up from 1 within the run."""
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
    """Difficulty of its job, in hashes."""
    difficulty_reached: float
    """Difficulty that its hash reaches, in hashes."""
    is_block: bool
    found_at: float
    verified_at: float | None
    sent_at: float | None
    answered_at: float | None
    """When its outcome was final, with or without an answer."""
    outcome: str
    """One of `OUTCOMES`, or an outcome of another version."""
    text: str
    """The pool's text, or the miner's if the pool sent none."""

    @property
    def answer_seconds(self) -> float | None:
        """Time from sending to the answer; None without an answer."""
        if self.sent_at is None or self.answered_at is None or self.outcome == Outcome.LOST.value:
            return None
        return self.answered_at - self.sent_at


@dataclass(frozen=True, slots=True)
class Sum:
    """Sums over the shares of one group."""

    group: tuple[str | int | None, ...]
    """A value for each name of the grouping."""
    shares: int
    found: int
    """Proved on the CPU; equals the miner's counter of found shares."""
    accepted: int
    blocks: int
    """Accepted shares that meet the block target, if the pool sent one."""
    work: float
    """Sum of the difficulties of the jobs of the accepted shares, in hashes."""
    best: float | None
    """Highest difficulty that a share reached, without hardware errors."""
    answer_seconds: float | None
    """Mean time from sending to the answer."""
    first: float
    """UNIX seconds at which the first share was found."""
    last: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run of the miner."""

    id: str
    started: float
    """UNIX seconds."""
    version: str
    rig: str
    shares: int


Value = str | int | float | bool | None
Record = Mapping[str, Value]

SHARE_NAMES = (*(f.name for f in fields(ShareRecord) if f.name != "id"), "answer_seconds")

_SUM_NAMES = tuple(f.name for f in fields(Sum) if f.name != "group")
_TIMES = ("found_at", "verified_at", "sent_at", "answered_at", "first", "last")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Spreadsheet programs compute a text that begins with one of these."""


def sum_names(by: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of a `sum_record` grouped by `by`."""
    return (*by, *_SUM_NAMES)


def share_record(share: ShareRecord) -> Record:
    """Return `share` by column, times as text in UTC."""
    return {name: _value(name, getattr(share, name)) for name in SHARE_NAMES}


def sum_record(sum_: Sum, by: Sequence[str]) -> Record:
    """Return `sum_`, grouped by `by`, by column, times as text in UTC."""
    group = dict(zip(by, sum_.group, strict=True))
    return group | {name: _value(name, getattr(sum_, name)) for name in _SUM_NAMES}


def exported(records: Iterable[Record], names: Sequence[str], form: str) -> Iterator[str]:
    """Yield `records`, each with the keys `names`, as text in the format "csv", "json" or
    "jsonl", in pieces that end with line ends."""
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
    # The writer quotes only texts with a character of its line end: write CR LF, keep LF.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue()[:-2] + "\n"

"""Shares and sums of the ledger as CSV or JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime

from miner.ledger.share_record import ShareRecord, Sum

FORMATS = ("csv", "json", "jsonl")

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
    """Yield `records`, each with the keys `names`, as text in one of `FORMATS`, in pieces that end
    with line ends."""
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

"""Reads the ledger's file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

from miner.devices.device_names import is_called
from miner.errors import BadValue, ConfigError, not_one_of
from miner.ledger.schema import COLUMNS, HARDWARE, OLD_OUTCOMES, UNANSWERED, check
from miner.ledger.share_record import GROUPS, Filter, RunRecord, ShareRecord, Sum
from miner.work import Outcome

BUSY_SECONDS = 5.0
"""Time to wait for a writer; needed only without a write-ahead log."""

PAGE = 1000
"""Shares read at once, so that a slow reader does not block checkpoints of the write-ahead log."""

_EVERYTHING = Filter()
_OLD = " ".join(f"WHEN '{old}' THEN '{new}'" for old, new in OLD_OUTCOMES.items())
_OUTCOME = f"coalesce(CASE outcome {_OLD} ELSE outcome END, '{UNANSWERED}')"
"""Unknown outcomes, of newer versions, stay as they are."""
_NAMES = {"outcome": _OUTCOME} | {
    name: f"strftime('{form}', found_at, 'unixepoch')"
    for name, form in (("day", "%Y-%m-%d"), ("hour", "%Y-%m-%dT%H"))
}
_LATER_TIMES = ("verified_at", "sent_at", "answered_at")
_SHARE = ", ".join(("id", *(_NAMES.get(name, name) for name in COLUMNS)))
_SOUND = (
    *(f"{name} BETWEEN 0 AND 9e999" for name in ("difficulty_asked", "difficulty_reached")),
    *(
        f"{value} BETWEEN -1e10 AND 2.5e11"  # the years 1653 to 9892
        for value in ("+found_at", *(f"coalesce({n}, 0)" for n in _LATER_TIMES))
    ),
)
"""Conditions of a row whose numbers are plausible: SQLite does not notice values that a damaged
disk changed. The plus keeps SQLite from using the index of `found_at`, and then sorting all rows,
for the newest few."""
_SUMS = f"""
    count(*),
    sum(verified_at IS NOT NULL AND {_OUTCOME} <> '{HARDWARE}'),
    sum({_OUTCOME} = '{Outcome.ACCEPTED.value}'),
    sum({_OUTCOME} = '{Outcome.ACCEPTED.value}' AND is_block),
    total(CASE WHEN {_OUTCOME} = '{Outcome.ACCEPTED.value}' THEN difficulty_asked END),
    max(CASE WHEN {_OUTCOME} <> '{HARDWARE}' THEN difficulty_reached END),
    avg(CASE WHEN {_OUTCOME} <> '{Outcome.LOST.value}' THEN answered_at - sent_at END),
    min(found_at),
    max(found_at)
"""


class LedgerReader:
    """Reads the file `path`, even while miners write to it; each call opens it.

    Every method raises `ConfigError` if the ledger does not exist or cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def shares(self, filter: Filter = _EVERYTHING, limit: int | None = None) -> list[ShareRecord]:
        """Return at most `limit` shares (None: all), newest first."""
        with self._open() as connection:
            where, values = _where(connection, filter)
            values.append(-1 if limit is None else limit)
            order = "ORDER BY id DESC LIMIT ?"
            rows = connection.execute(f"SELECT {_SHARE} FROM shares {where} {order}", values)
            return [_share(row) for row in rows]

    def each(self, filter: Filter = _EVERYTHING) -> Iterator[ShareRecord]:
        """Yield all shares, oldest first, without holding all in memory."""
        last = 0
        while True:
            with self._open() as connection:
                where, values = _where(connection, filter, "id > ?", last)
                order = "ORDER BY id LIMIT ?"
                rows = connection.execute(
                    f"SELECT {_SHARE} FROM shares {where} {order}", [*values, PAGE]
                ).fetchall()
            yield from (_share(row) for row in rows)
            if len(rows) < PAGE:
                return
            last = rows[-1][0]

    def best(self, count: int, filter: Filter = _EVERYTHING) -> list[ShareRecord]:
        """Return the `count` shares of the highest reached difficulty, without hardware errors."""
        with self._open() as connection:
            where, values = _where(connection, filter, f"{_OUTCOME} <> ?", HARDWARE)
            order = "ORDER BY difficulty_reached DESC, id LIMIT ?"
            rows = connection.execute(
                f"SELECT {_SHARE} FROM shares {where} {order}", [*values, count]
            )
            return [_share(row) for row in rows]

    def sums(
        self, filter: Filter = _EVERYTHING, by: Sequence[str] = ("device", "pool", "outcome")
    ) -> list[Sum]:
        """Return a sum for each combination of values of the names `by`, in their order.

        Raises `BadValue` for a name that is not in `GROUPS`.
        """
        for name in by:
            if name not in GROUPS:
                raise BadValue("by", not_one_of(name, GROUPS))
        wanted = [_NAMES.get(name, name) for name in by]
        with self._open() as connection:
            where, values = _where(connection, filter)
            groups = ", ".join(str(n + 1) for n in range(len(wanted)))
            grouping = f"GROUP BY {groups} ORDER BY {groups}" if wanted else "HAVING count(*)"
            rows = connection.execute(
                f"SELECT {', '.join([*wanted, _SUMS])} FROM shares {where} {grouping}", values
            )
            return [Sum(tuple(row[: len(by)]), *row[len(by) :]) for row in rows]

    def runs(self) -> list[RunRecord]:
        """Return the runs, newest first."""
        with self._open() as connection:
            rows = connection.execute(
                "SELECT id, started, version, rig, "
                "(SELECT count(*) FROM shares WHERE run = runs.id) "
                "FROM runs ORDER BY started DESC, id DESC"
            )
            return [RunRecord(*row) for row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not os.path.exists(self.path):
            raise ConfigError(f"share ledger {self.path} does not exist yet; mining creates it")
        if not os.path.isfile(self.path):
            raise ConfigError(f"share ledger {self.path} is not a file; name the file")
        try:
            with closing(_connect(self.path)) as connection:
                connection.text_factory = partial(str, encoding="utf-8", errors="replace")
                if check(connection, str(self.path)) == 0:
                    raise ConfigError(f"share ledger {self.path} is still empty")
                yield connection
        except sqlite3.Error as error:
            raise ConfigError(f"share ledger {self.path} cannot be read: {error}") from error


def _connect(path: Path) -> sqlite3.Connection:
    address = f"file:{quote(os.fsencode(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        connection.close()
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise
        # No writer, and a folder without write permission for the log's index: read the file as is.
        return sqlite3.connect(f"{address}&immutable=1", uri=True, isolation_level=None)
    except BaseException:
        connection.close()
        raise
    return connection


def _where(
    connection: sqlite3.Connection, filter: Filter, *others: str | int
) -> tuple[str, list[str | int | float]]:
    """Return the condition of `filter` and its values; `others` is a further condition and its
    values."""
    parts = list(_SOUND)
    values: list[str | int | float] = []

    def add(part: str, *arguments: str | int | float) -> None:
        parts.append(part)
        values.extend(arguments)

    if filter.run == "last":
        newest = "SELECT id FROM runs ORDER BY started DESC, id DESC LIMIT 1"
        row = connection.execute(newest).fetchone()
        add("run = ?", row[0] if row else "")
    elif filter.run is not None:
        add("substr(run, 1, length(?)) = ?", filter.run, filter.run)
    if filter.device is not None:
        matches = lru_cache(partial(is_called, filter.device))
        connection.create_function("is_device", 3, matches, deterministic=True)
        add("is_device(device, pci, uuid)")
    if filter.pool is not None:
        add("instr(lower(pool), lower(?))", filter.pool)
    if filter.algorithm is not None:
        add("lower(algorithm) = lower(?)", filter.algorithm)
    if filter.outcome:
        add(f"{_OUTCOME} IN ({', '.join('?' * len(filter.outcome))})", *filter.outcome)
    if filter.since is not None:
        add("found_at >= ?", filter.since)
    if filter.until is not None:
        add("found_at < ?", filter.until)
    if filter.blocks:
        add(f"is_block AND {_OUTCOME} <> ?", HARDWARE)
    if others:
        add(str(others[0]), *others[1:])
    return (f"WHERE {' AND '.join(parts)}", values)


def _share(row: tuple[object, ...]) -> ShareRecord:
    values = dict(zip(("id", *COLUMNS), row, strict=True))
    values["is_block"] = bool(values["is_block"])
    return ShareRecord(**values)  # type: ignore[arg-type]

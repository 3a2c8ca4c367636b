"""Writes the ledger's file: opening, repair and bounds."""

from __future__ import annotations

import codecs
import math
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path

from miner.errors import ConfigError
from miner.ledger.schema import ADD_RUN, ADD_SHARE, Value, has_tables, pragma_value, prepare

BUSY_SECONDS = 1.0
"""Time to wait for another writer; then the write fails and is retried later."""

AGE_SECONDS = 3600.0
"""Interval of deleting shares by age."""

DAY = 86400.0
OLDEST_KEPT = f"""SELECT min(?, coalesce((
    SELECT DISTINCT CAST(found_at / {DAY} AS INTEGER) * {DAY} FROM shares ORDER BY 1 DESC
    LIMIT 1 OFFSET ?), 0))"""
"""The time before which shares are too old: the given one, but never later than the first of
the newest so many days with shares. Otherwise a clock that jumps ahead would empty the file."""

KEPT = 0.9
"""Part of the bound that remains filled after a deletion, to make deletions rare."""

MOST_CORRUPT_FILES = 9
"""Corrupt files that are kept."""

TEXT_BYTES = 4096
"""Bytes that are read to distinguish a text file from a damaged ledger."""

CORRUPT_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the miner."""

    id: str
    started: float
    """UNIX seconds."""
    version: str
    rig: str


def connect(path: Path) -> sqlite3.Connection:
    """Open `path` for writing; create it, if missing, for its owner only."""
    with suppress(FileExistsError):  # not a folder: the next line reports it
        path.parent.mkdir(parents=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )


class LedgerWriter:
    """Writes rows to the file `path`, which it opens when needed and again after each failure.

    Thread-safe. The oldest shares are deleted to keep the file below `max_bytes` and `max_days`.
    """

    def __init__(
        self, path: Path, wall: Callable[[], float], max_bytes: int, max_days: float
    ) -> None:
        self._path = path
        self._wall = wall
        self._max_bytes = max_bytes
        self._max_days = max_days
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file = (0, 0)
        self._aged_at: float | None = None

    def write(self, run: Run, rows: Sequence[tuple[Value, ...]]) -> list[str]:
        """Write `rows` in one transaction and enforce the bounds; return notices for the user.

        Raises `ConfigError` if the file is not a ledger of this version, `OSError` or
        `sqlite3.Error`; after these the same rows can be written again.
        """
        return self._repaired(lambda: self._write(run, rows))

    def open(self) -> list[str]:
        """Open the file, with the notices and errors of `write`."""
        return self._repaired(self._opened)

    def close(self) -> None:
        """Close the file; the next `write` opens it again."""
        with self._lock:
            self._close()

    def _repaired(self, work: Callable[[], object]) -> list[str]:
        """Call `work`; if the file is corrupt, rename it and call it again on a new one."""
        with self._lock:
            try:
                self._attempt(work)
                return []
            except sqlite3.DatabaseError as error:
                if code_of(error) not in CORRUPT_CODES:
                    raise
                if _is_text(self._path):
                    problem = "is a text file, not a share ledger; name another file"
                    raise ConfigError(f"{self._path} {problem}") from error
                notice = self._move_aside()
                self._attempt(work)
                return [notice]

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException:
            self._close()
            raise

    def _write(self, run: Run, rows: Sequence[tuple[Value, ...]]) -> None:
        connection = self._opened()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute(ADD_RUN, astuple(run))
        connection.executemany(ADD_SHARE, rows)
        connection.execute("COMMIT")
        self._delete_old(connection, run)
        self._delete_excess(connection)

    def _opened(self) -> sqlite3.Connection:
        """Return the connection; open the file again if it was removed or replaced."""
        if self._connection is not None and self._file == _identity(self._path):
            return self._connection
        self._close()
        self._connection = connect(self._path)
        self._file = _identity(self._path)
        self._aged_at = None
        prepare(self._connection, str(self._path))
        (found,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        if found == "ok" and not has_tables(self._connection):
            found = "its tables are missing"
        if found != "ok":
            error = sqlite3.DatabaseError(found)
            error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise error
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _move_aside(self) -> str:
        """Rename the corrupt file and its write-ahead log; return a notice."""
        path = self._path
        for number in range(1, MOST_CORRUPT_FILES + 1):
            renamed = path.with_name(f"{path.name}.corrupt-{number}")
            if not renamed.exists():
                break
        for ending in ("", "-wal", "-shm"):
            part = path.with_name(path.name + ending)
            if part.exists():
                part.replace(renamed.with_name(renamed.name + ending))
        return f"share ledger {path} is corrupt; kept as {renamed.name}, and a new one is created"

    def _delete_old(self, connection: sqlite3.Connection, run: Run) -> None:
        now = self._wall()
        if self._aged_at is not None and abs(now - self._aged_at) < AGE_SECONDS:
            return
        (before,) = connection.execute(
            OLDEST_KEPT, (now - self._max_days * DAY, max(1, math.ceil(self._max_days)) - 1)
        ).fetchone()
        connection.execute("BEGIN IMMEDIATE")
        gone = connection.execute("DELETE FROM shares WHERE found_at < ?", (before,)).rowcount
        connection.execute(
            "DELETE FROM runs WHERE started < ? AND id <> ? AND id NOT IN (SELECT run FROM shares)",
            (before, run.id),
        )
        connection.execute("COMMIT")
        self._aged_at = now
        if gone:
            _shrink(connection)

    def _delete_excess(self, connection: sqlite3.Connection) -> None:
        page = pragma_value(connection, "page_size")
        while (size := _used_pages(connection) * page) > self._max_bytes:
            (count,) = connection.execute("SELECT count(*) FROM shares").fetchone()
            if not count:
                return
            excess = max(1, round(count * (1 - KEPT * self._max_bytes / size)))
            connection.execute(
                "DELETE FROM shares WHERE id IN (SELECT id FROM shares ORDER BY id LIMIT ?)",
                (excess,),
            )
            _shrink(connection)


def _used_pages(connection: sqlite3.Connection) -> int:
    return pragma_value(connection, "page_count") - pragma_value(connection, "freelist_count")


def _shrink(connection: sqlite3.Connection) -> None:
    """Return free pages to the file system, unless a reader needs them."""
    # The pragma frees one page per step and has no columns: `execute` would step only once.
    connection.executescript("PRAGMA incremental_vacuum")
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _is_text(path: Path) -> bool:
    """Return whether the file is text. Then it is not a corrupt ledger but a file of the user,
    which must not be renamed."""
    with path.open("rb") as file:
        beginning = file.read(TEXT_BYTES)
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(beginning)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c in "\r\n\t" for c in text)


def code_of(error: sqlite3.Error) -> int | None:
    """Return the primary error code of SQLite, if there is one."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF

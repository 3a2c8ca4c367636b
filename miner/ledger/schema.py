"""The tables of the ledger, their migrations, and the rows written to them."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from miner.errors import ConfigError
from miner.work import Candidate, Solution

APPLICATION = 0x50504D4C
"""Application id of a share ledger in the SQLite header ("PPML")."""

LEDGER_FILE = "ledger.sqlite"
"""Name of the file in the state folder, by default."""

HARDWARE = "hardware"
"""Outcome of a hardware error: a candidate that the CPU refuted."""

UNANSWERED = "unanswered"
"""Outcome that is read where the file has none: the share is in flight, or its run was killed."""

OLD_OUTCOMES = {
    "low difficulty": "low_difficulty",
    "stale, not sent": "not_sent",
    "too late to send": "not_sent",
    "lost in a disconnect": "lost",
}
"""Outcomes of older versions, and the present ones. They are translated when read, not rewritten,
since an older version may write to the same file at any time."""

COLUMNS = (
    "run", "number", "device", "pci", "uuid", "pool", "algorithm", "job", "height", "epoch",
    "period", "nonce", "header", "difficulty_asked", "difficulty_reached", "is_block", "found_at",
    "verified_at", "sent_at", "answered_at", "outcome", "text",
)  # fmt: skip

CHANGING = ("sent_at", "answered_at", "outcome", "text")
"""Columns that change after a share is first written."""

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE runs(
            id TEXT PRIMARY KEY, started REAL NOT NULL, version TEXT NOT NULL, rig TEXT NOT NULL
        ) WITHOUT ROWID""",
        """CREATE TABLE shares(
            id INTEGER PRIMARY KEY,
            run TEXT NOT NULL, number INTEGER NOT NULL,
            device TEXT NOT NULL, pci TEXT, uuid TEXT,
            pool TEXT NOT NULL, algorithm TEXT NOT NULL, job TEXT NOT NULL,
            height INTEGER NOT NULL, epoch INTEGER NOT NULL, period INTEGER NOT NULL,
            nonce TEXT NOT NULL, header TEXT NOT NULL,
            difficulty_asked REAL NOT NULL, difficulty_reached REAL NOT NULL,
            is_block INTEGER NOT NULL,
            found_at REAL NOT NULL, verified_at REAL, sent_at REAL, answered_at REAL,
            outcome TEXT, text TEXT NOT NULL,
            UNIQUE(run, number)
        )""",
        "CREATE INDEX shares_found_at ON shares(found_at)",
    ),
)
"""Statements from each version of the file to the next."""

RUN_COLUMNS = ("id", "started", "version", "rig")

ADD_RUN = f"INSERT OR IGNORE INTO runs({', '.join(RUN_COLUMNS)}) VALUES (?, ?, ?, ?)"

ADD_SHARE = (
    f"INSERT INTO shares({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "
    f"ON CONFLICT(run, number) DO UPDATE SET {', '.join(f'{c} = excluded.{c}' for c in CHANGING)}"
)
"""Idempotent, so that a batch can be repeated when it is unknown whether it was written."""


def pragma_value(connection: sqlite3.Connection, name: str) -> int:
    """Return the value of the integer pragma `name`."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def has_tables(connection: sqlite3.Connection) -> bool:
    """Return whether the file has the tables of the present version with all columns."""
    names = "SELECT count(*) FROM pragma_table_info(?)"
    tables = (("runs", RUN_COLUMNS), ("shares", COLUMNS))
    return all(
        connection.execute(f"{names} WHERE name IN ({', '.join('?' * len(columns))})",
                           (table, *columns)).fetchone()[0] == len(columns)
        for table, columns in tables
    )  # fmt: skip


def check(connection: sqlite3.Connection, name: str) -> int:
    """Return the version of the file `name`, 0 for an empty one.

    Raises `ConfigError` if it is another program's file or of a newer version.
    """
    version = pragma_value(connection, "user_version")
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if pragma_value(connection, "application_id") != APPLICATION and (tables or version):
        raise ConfigError(f"{name} is an SQLite file but not a share ledger; name another file")
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"share ledger {name} was written by a newer version of this program (ledger version "
            f"{version}, known up to {len(MIGRATIONS)}); use that version or name another file"
        )
    return version


def prepare(connection: sqlite3.Connection, name: str) -> None:
    """Migrate the file to the present version and set its journal mode.

    Raises the errors of `check`, and `sqlite3.Error`.
    """
    version = check(connection, name)
    if not version:
        # Takes effect only before the first table and the journal mode.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    _choose_journal(connection)
    if version == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    # Another miner may have migrated it during the wait.
    for statements in MIGRATIONS[check(connection, name) :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
    connection.execute("COMMIT")


def _choose_journal(connection: sqlite3.Connection) -> None:
    """Use a write-ahead log if the file system supports it, else a rollback journal."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY):
            raise
        mode = ""
    if mode == "wal":
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA journal_size_limit = 4194304")
    else:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = FULL")  # NORMAL is safe only with WAL


Value = str | int | float | None
"""A value of a row."""

MOST_TEXT = 1000
"""Characters that are kept of a pool's text or a job id."""


@dataclass(slots=True, eq=False)
class LedgerEntry:
    """A candidate of this run; times are UNIX seconds."""

    number: int
    """Counted from 1 within the run."""
    source: Solution | Candidate
    final_hash: bytes
    pci: str | None
    uuid: str | None
    found_at: float
    verified_at: float | None
    """When the CPU had verified it; None if unknown."""
    sent_at: float | None = None
    answered_at: float | None = None
    outcome: str | None = None
    text: str = ""
    dropped: bool = False
    """Dropped from memory before it was written."""

    def row(self, run: str) -> tuple[Value, ...]:
        """Return the values of `COLUMNS` for the run named `run`."""
        job, value = self.source.job, int.from_bytes(self.final_hash, "big")
        return (
            run, self.number, text_of(self.source.device), self.pci, self.uuid,
            text_of(job.pool), text_of(job.variant.name), text_of(job.id),
            job.height, job.epoch.number, job.period,
            f"{self.source.nonce:016x}", job.header_hash.hex(),
            job.difficulty, 2**256 / (value + 1),
            int(isinstance(self.source, Solution) and self.source.is_block),
            self.found_at, self.verified_at, self.sent_at, self.answered_at,
            self.outcome, text_of(self.text),
        )  # fmt: skip


Key = tuple[int, bytes, int, str, float]


def key_of(solution: Solution) -> Key:
    """Return a key for `solution`, cheaper than its own hash, which includes the variant."""
    job = solution.job
    return (job.session, job.header_hash, solution.nonce, solution.device, solution.found_at)


def text_of(text: str) -> str:
    """Return `text` as a column holds it."""
    # JSON and host names may contain lone surrogates, which UTF-8 cannot encode.
    return text[:MOST_TEXT].encode("utf-8", "replace").decode()

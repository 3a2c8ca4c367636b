"""The share ledger of a run: an entry for each candidate, updated by events."""

from __future__ import annotations

import errno
import secrets
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from miner import __version__
from miner.clock import Clock
from miner.errors import ConfigError, MinerError
from miner.formatting import format_count
from miner.ledger.ledger_reader import LedgerReader
from miner.ledger.ledger_writer import LedgerWriter, Run, code_of
from miner.ledger.schema import HARDWARE, Key, LedgerEntry, Value, key_of, text_of
from miner.ledger.share_record import Filter
from miner.telemetry.events import CandidateRefuted, Event, ShareAnswered, ShareFound, ShareSent
from miner.work import Candidate, DeviceInfo, Solution

WRITE_SECONDS = 0.5
"""Interval of writing; a share is in the file within a second."""

LONGEST_RETRY_SECONDS = 60.0
"""Longest time between two attempts while the file cannot be written."""

MOST_WAITING = 20_000
"""Most shares held in memory while the file cannot be written."""


class DiskThreads(Protocol):
    """Threads for calls that block."""

    async def offload(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        """Call `function` in a thread and return its result."""


DISK_ERRORS = (OSError, sqlite3.Error, MinerError)


class Ledger:
    """Records each candidate in the file `path`; failures of the disk do not stop the miner.

    `report` gets sentences for the user. Use it on the event loop's thread only. The oldest shares
    are deleted to keep the file below `max_bytes` and `max_days`.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        max_bytes: int,
        max_days: float,
        report: Callable[[str], None],
        devices: Sequence[DeviceInfo] = (),
        rig: str = "",
    ) -> None:
        self.path = path
        self.dropped = 0
        """Shares missing in the file, because memory was full before they could be written."""
        self._clock = clock
        self._infos = {info.name: info for info in devices}
        self._report = report
        self._writer = LedgerWriter(path, clock.wall, max_bytes, max_days)
        started = clock.wall()
        name = f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._run = Run(name, started, __version__, text_of(rig))
        self._count = 0
        self._waiting: dict[int, LedgerEntry] = {}
        self._unfinished: dict[Key, list[LedgerEntry]] = {}
        self._problem = ""
        self._full = False

    @property
    def run_id(self) -> str:
        return self._run.id

    @property
    def waiting(self) -> int:
        """Number of shares whose newest state is not in the file yet."""
        return len(self._waiting)

    def open(self, required: bool = False) -> None:
        """Open the file; it may take a second. A problem is reported, and opening retried later.

        If the file is `required`, raises `ConfigError` for a permanent problem, unlike a full disk
        or another writer.
        """
        try:
            self._written(self._writer.open())
        except DISK_ERRORS as error:
            if required and not _is_temporary(error):
                hint = "" if isinstance(error, MinerError) else "; name another file"
                raise ConfigError(self._sentence(error) + hint) from error
            self._failed(error, {})

    def event(self, event: Event) -> None:
        """Apply `event`, if it is about a share."""
        match event:
            case ShareFound(solution):
                self._mark_changed(self._begin(solution, solution.final_hash, verified=True))
            case CandidateRefuted(candidate, final_hash):
                entry = self._begin(candidate, final_hash, verified=True)
                entry.outcome = HARDWARE
                entry.text = f"hashes to {final_hash.hex()}"
                self._mark_changed(entry)
            case ShareSent(solution):
                entry = self._entry_of(solution)
                entry.sent_at = self._time_for(entry)
                self._mark_changed(entry)
            case ShareAnswered(verdict):
                entry = self._entry_of(verdict.solution)
                entry.answered_at = self._time_for(entry)
                if entry.sent_at is None and verdict.seconds is not None:
                    entry.sent_at = entry.answered_at - verdict.seconds
                entry.outcome, entry.text = verdict.outcome.value, verdict.text
                self._end(verdict.solution, entry)
                self._mark_changed(entry)

    async def run(self, disk: DiskThreads) -> None:
        """Write changed shares until cancelled, then once more. `close` writes later changes."""
        pause = WRITE_SECONDS
        try:
            while True:
                await self._clock.sleep(pause)
                written = await self._write(disk)
                pause = WRITE_SECONDS if written else min(LONGEST_RETRY_SECONDS, 2 * pause)
        finally:
            self.flush()
            self._writer.close()

    async def newest(self, limit: int, disk: DiskThreads) -> list[dict[str, Any]]:
        """Return at most `limit` shares of the file by column, newest first; none if there is no
        readable file."""
        try:
            found = await disk.offload(LedgerReader(self.path).shares, Filter(), limit)
        except ConfigError:
            return []
        return [asdict(share) for share in found]

    def flush(self) -> None:
        """Write all changed shares on this thread; it may block for a few seconds."""
        taken = self._take()
        if taken:
            try:
                self._written(self._writer.write(self._run, self._rows(taken)))
            except DISK_ERRORS as error:
                self._failed(error, taken)

    def close(self) -> None:
        """Write all changed shares and close the file; report those that cannot be written."""
        self.flush()
        if self._waiting:
            count = format_count(len(self._waiting), "share")
            self._report(f"share ledger {self.path}: {count} could not be written")
        self._writer.close()

    async def _write(self, disk: DiskThreads) -> bool:
        taken = self._take()
        if not taken:
            return not self._problem
        try:
            notices = await disk.offload(self._writer.write, self._run, self._rows(taken))
        except DISK_ERRORS as error:
            self._failed(error, taken)
            return False
        except BaseException:
            # Cancelled: the thread may still write them; a second write changes nothing.
            self._give_back(taken)
            raise
        self._written(notices)
        return True

    def _take(self) -> dict[int, LedgerEntry]:
        taken, self._waiting = self._waiting, {}
        return taken

    def _give_back(self, taken: dict[int, LedgerEntry]) -> None:
        self._waiting = taken | self._waiting
        self._enforce_bound()

    def _rows(self, taken: dict[int, LedgerEntry]) -> list[tuple[Value, ...]]:
        return [entry.row(self._run.id) for entry in taken.values()]

    def _written(self, notices: list[str]) -> None:
        for notice in notices:
            self._report(notice)
        if self._problem:
            lost = f"; {self.dropped} shares are missing" if self.dropped else ""
            self._report(f"share ledger {self.path} is written again{lost}")
        self._problem, self._full = "", False

    def _failed(self, error: BaseException, taken: dict[int, LedgerEntry]) -> None:
        text = self._sentence(error)
        if text != self._problem:
            self._report(f"{text}; mining continues, shares stay in memory until a retry succeeds")
        self._problem = text
        self._give_back(taken)

    def _sentence(self, error: BaseException) -> str:
        if isinstance(error, MinerError):
            return str(error)
        reason = getattr(error, "strerror", None) or str(error)
        return f"share ledger {self.path} cannot be written: {reason}"

    def _begin(
        self, source: Solution | Candidate, final_hash: bytes, *, verified: bool
    ) -> LedgerEntry:
        self._count += 1
        wall = self._clock.wall()
        info = self._infos.get(source.device)
        entry = LedgerEntry(
            self._count, source, final_hash, pci=info.pci if info else None,
            uuid=info.uuid if info else None, found_at=wall - (self._clock.now() - source.found_at),
            verified_at=wall if verified else None,
        )  # fmt: skip
        if isinstance(source, Solution):
            self._unfinished.setdefault(key_of(source), []).append(entry)
        return entry

    def _time_for(self, entry: LedgerEntry) -> float:
        """Return the present UNIX time; setting the clock during the life of a share, which lasts
        seconds, does not change how long its steps took."""
        return entry.found_at + (self._clock.now() - entry.source.found_at)

    def _entry_of(self, solution: Solution) -> LedgerEntry:
        """Return the unfinished entry of `solution`; begin one if there is none."""
        entries = self._unfinished.get(key_of(solution))
        if not entries:
            return self._begin(solution, solution.final_hash, verified=False)
        # A device may find the same nonce twice: then the object decides.
        return next((e for e in entries if e.source is solution), entries[0])

    def _end(self, solution: Solution, entry: LedgerEntry) -> None:
        entries = self._unfinished[key_of(solution)]
        entries.remove(entry)
        if not entries:
            del self._unfinished[key_of(solution)]

    def _mark_changed(self, entry: LedgerEntry) -> None:
        if not entry.dropped:
            self._waiting[entry.number] = entry
            self._enforce_bound()

    def _enforce_bound(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            oldest.dropped = True
            self.dropped += 1
            if not self._full:
                self._full = True
                self._report(
                    f"share ledger {self.path}: {MOST_WAITING} shares wait to be written; from "
                    "now on the oldest are dropped"
                )


def _is_temporary(error: BaseException) -> bool:
    """Return whether a retry may succeed without the user's help."""
    if isinstance(error, sqlite3.Error):
        return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)

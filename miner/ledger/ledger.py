"""What the telemetry tells of shares, folded and handed to the file a few times a second."""

from __future__ import annotations

import errno
import secrets
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from miner import __version__
from miner.clock import Clock
from miner.errors import ConfigError, MinerError
from miner.ledger.ledger_reader import LedgerReader
from miner.ledger.schema import HARDWARE, Key, LedgerEntry, Value, key_of
from miner.ledger.share_record import Filter
from miner.ledger.store import Run, Store, code_of
from miner.telemetry.events import CandidateRefuted, Event, ShareAnswered, ShareFound, ShareSent
from miner.work import Candidate, DeviceInfo, Solution

WRITE_SECONDS = 0.5
"""Between two looks for something to write; with the writing itself, it stays under a second."""

LONGEST_REST = 60.0
"""Seconds between two tries while the file cannot be written."""

MOST_WAITING = 20_000
"""Shares held in memory while the file cannot be written."""

Offload = Callable[..., Awaitable[Any]]
"""Runs a function away from the event loop, as `WorkPool.offload` does."""

DISK_ERRORS = (OSError, sqlite3.Error, MinerError)


class Ledger:
    """Keeps each share's life in the file `path`; no failure of the disk reaches the miner.

    `event` and `report` are called on the event loop's thread only. The file is held under
    `max_bytes` and `max_days`: the oldest shares go.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        devices: Sequence[DeviceInfo] = (),
        max_bytes: int = 64 << 20,
        max_days: float = 90.0,
        rig: str = "",
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.path = path
        self.dropped = 0
        """Shares that are missing in the file, because memory was full before it was writable."""
        self._clock = clock
        self._infos = {info.name: info for info in devices}
        self._report = report
        self._store = Store(path, clock.wall, max_bytes, max_days)
        started = clock.wall()
        name = f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._run = Run(name, started, __version__, rig)
        self._count = 0
        self._waiting: dict[int, LedgerEntry] = {}
        self._living: dict[Key, list[LedgerEntry]] = {}
        self._trouble = ""
        self._full = False

    @property
    def run_id(self) -> str:
        """The name of this run in the file."""
        return self._run.id

    @property
    def waiting(self) -> int:
        """Shares with news that are not in the file yet."""
        return len(self._waiting)

    def open(self, needed: bool = False) -> None:
        """Open the file, before anything is to be written; it may take a second. What is in the
        way is reported, and tried again.

        Raises `ConfigError` in place of that where the file is `needed` and what is in the way
        will not pass by itself, as a full disk or another writer does.
        """
        try:
            self._written(self._store.open())
        except DISK_ERRORS as error:
            if needed and not _passes(error):
                hint = "" if isinstance(error, MinerError) else "; name another file"
                raise ConfigError(self._words(error) + hint) from error
            self._failed(error, {})

    def event(self, event: Event) -> None:
        """Fold `event`; only what shares live through is looked at."""
        match event:
            case ShareFound(solution):
                self._changed(self._begin(solution, solution.final_hash, self._clock.wall()))
            case CandidateRefuted(candidate, final_hash):
                entry = self._begin(candidate, final_hash, self._clock.wall())
                entry.outcome = HARDWARE
                entry.text = f"hashed again to {final_hash.hex()}"
                self._changed(entry)
            case ShareSent(solution):
                entry = self._of(solution)
                entry.sent_at = self._clock.wall()
                self._changed(entry)
            case ShareAnswered(verdict):
                entry = self._of(verdict.solution)
                entry.answered_at = self._clock.wall()
                if entry.sent_at is None and verdict.seconds is not None:
                    entry.sent_at = entry.answered_at - verdict.seconds
                entry.outcome, entry.text = verdict.outcome.value, verdict.text
                self._end(verdict.solution, entry)
                self._changed(entry)
            case _:
                pass

    async def run(self, offload: Offload) -> None:
        """Write what was folded, until cancelled; all that was folded by then is written too.

        What is folded later is written by `close`.
        """
        rest = WRITE_SECONDS
        try:
            while True:
                await self._clock.sleep(rest)
                written = await self._write(offload)
                rest = WRITE_SECONDS if written else min(LONGEST_REST, 2 * rest)
        finally:
            self.flush()
            self._store.close()

    async def newest(self, limit: int, offload: Offload) -> list[dict[str, Any]]:
        """Return at most `limit` shares of the file by their columns' names, the newest first;
        none where there is no file yet, or none that can be read."""
        try:
            found = await offload(LedgerReader(self.path).shares, Filter(), limit)
        except ConfigError:
            return []
        return [asdict(share) for share in found]

    def flush(self) -> None:
        """Write now, on this thread; it takes as long as the disk does, at most a few seconds."""
        taken = self._take()
        if taken:
            try:
                self._written(self._store.write(self._run, self._rows(taken)))
            except DISK_ERRORS as error:
                self._failed(error, taken)

    def close(self) -> None:
        """Write what is left and close the file; what cannot be written is said and lost."""
        self.flush()
        if self._waiting:
            self._report(f"{self.path}: {len(self._waiting)} shares could not be written")
        self._store.close()

    async def _write(self, offload: Offload) -> bool:
        taken = self._take()
        if not taken:
            return not self._trouble
        try:
            notices = await offload(self._store.write, self._run, self._rows(taken))
        except DISK_ERRORS as error:
            self._failed(error, taken)
            return False
        except BaseException:
            # Cancelled: the thread may still write them. Once more does no harm.
            self._give_back(taken)
            raise
        self._written(notices)
        return True

    def _take(self) -> dict[int, LedgerEntry]:
        taken, self._waiting = self._waiting, {}
        return taken

    def _give_back(self, taken: dict[int, LedgerEntry]) -> None:
        self._waiting = taken | self._waiting
        self._hold_bound()

    def _rows(self, taken: dict[int, LedgerEntry]) -> list[tuple[Value, ...]]:
        return [entry.row(self._run.id) for entry in taken.values()]

    def _written(self, notices: list[str]) -> None:
        for notice in notices:
            self._report(notice)
        if self._trouble:
            lost = f"; {self.dropped} shares are missing in it" if self.dropped else ""
            self._report(f"{self.path}: the share ledger is written again{lost}")
        self._trouble, self._full = "", False

    def _failed(self, error: BaseException, taken: dict[int, LedgerEntry]) -> None:
        text = self._words(error)
        if text != self._trouble:
            self._report(f"{text}; shares wait in memory, it is tried again, and mining goes on")
        self._trouble = text
        self._give_back(taken)

    def _words(self, error: BaseException) -> str:
        if isinstance(error, MinerError):
            return str(error)
        reason = getattr(error, "strerror", None) or str(error)
        return f"{self.path}: the share ledger cannot be written: {reason}"

    def _begin(
        self, claim: Solution | Candidate, final_hash: bytes, verified_at: float | None
    ) -> LedgerEntry:
        self._count += 1
        info = self._infos.get(claim.device)
        entry = LedgerEntry(
            self._count,
            claim,
            final_hash,
            pci=info.pci if info else None,
            uuid=info.uuid if info else None,
            found_at=self._clock.wall() - (self._clock.now() - claim.found_at),
            verified_at=verified_at,
        )
        if isinstance(claim, Solution):
            self._living.setdefault(key_of(claim), []).append(entry)
        return entry

    def _of(self, solution: Solution) -> LedgerEntry:
        """Return the living entry of `solution`; one that nobody spoke of before begins now."""
        entries = self._living.get(key_of(solution))
        if not entries:
            return self._begin(solution, solution.final_hash, None)
        # A device may find a nonce twice: then it is told by the object.
        return next((e for e in entries if e.claim is solution), entries[0])

    def _end(self, solution: Solution, entry: LedgerEntry) -> None:
        entries = self._living[key_of(solution)]
        entries.remove(entry)
        if not entries:
            del self._living[key_of(solution)]

    def _changed(self, entry: LedgerEntry) -> None:
        if not entry.dropped:
            self._waiting[entry.number] = entry
            self._hold_bound()

    def _hold_bound(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            oldest = self._waiting.pop(next(iter(self._waiting)))
            oldest.dropped = True
            self.dropped += 1
            if not self._full:
                self._full = True
                self._report(
                    f"{self.path}: {MOST_WAITING} shares wait for the share ledger; from now on "
                    "the oldest are dropped"
                )


def _passes(error: BaseException) -> bool:
    """Tell whether the same may succeed later although nobody does anything about it."""
    if isinstance(error, sqlite3.Error):
        return code_of(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)

"""The log on disk: rotated by size, readable by its owner alone, and never a reason to stop."""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

from miner.clock import Clock
from miner.console.json_lines import entry_record, status_record
from miner.console.plain import TICK_SECONDS, full_status, plain_line
from miner.console.repeat_filter import Feed
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Telemetry

STATUS_SECONDS = 60.0

RETRY_SECONDS = 10.0
"""A file that could not be written is tried again after so long."""


class LogFile:
    """Writes the journal to a file, from its making until `close`.

    `max_bytes` is the size at which it is rotated, `keep` the number of older files, which are
    called `path`.1 and so on. `complain` is called with one sentence when the file cannot be
    written, and with one when it can be again; what came in between is lost.
    """

    def __init__(
        self,
        path: Path,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        complain: Callable[[str], None],
        redactor: Redactor,
        format: Literal["text", "json"] = "text",
        max_bytes: int = 10_000_000,
        keep: int = 5,
    ) -> None:
        self._path = path
        self._telemetry = telemetry
        self._clock = clock
        self._complain = complain
        self._json = format == "json"
        self._file = _File(path, max_bytes, keep)
        self._failed_at: float | None = None
        self._telling = False
        self._redactor = redactor
        self._feed = Feed(journal, clock, self._entry, redactor)

    def set_level(self, level: Level) -> None:
        """Write from now on what matters at least so much."""
        self._feed.level = level

    def reopen(self) -> None:
        """Write to a new file if the old one was moved away, as log rotators want it."""
        self._file.let_go()
        self._failed_at = None

    async def keep(self) -> None:
        """Write the status once a minute, and repeats in time, until cancelled."""
        due = self._clock.now() + STATUS_SECONDS
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._feed.tick()
            if self._clock.now() >= due:
                due += STATUS_SECONDS
                self._status()

    def close(self, lines: Sequence[str] = ()) -> None:
        """Write the last lines and close the file."""
        self._feed.close()
        for line in lines:
            at = self._clock.wall()
            self._entry(JournalEntry(0, at, Level.INFO, "summary", self._redactor.one_line(line)))
        self._file.let_go()
        self._file.close()

    def _entry(self, entry: JournalEntry) -> None:
        if self._json:
            self._write(entry_record(entry))
        else:
            mark = f"{entry.level.name} " if entry.level != Level.INFO else ""
            self._write(plain_line(entry.at, entry.topic, mark + entry.text, date=True))

    def _status(self) -> None:
        snapshot = self._telemetry.snapshot()
        if not snapshot.tried or self._feed.level > Level.INFO:
            return
        if self._json:
            self._write(status_record(snapshot, self._redactor))
        else:
            for topic, text in full_status(snapshot):
                self._write(
                    plain_line(snapshot.at, topic, self._redactor.one_line(text), date=True)
                )

    def _write(self, line: str) -> None:
        now = self._clock.now()
        if self._failed_at is not None and now - self._failed_at < RETRY_SECONDS:
            return
        error = self._file.write(line)
        if error is None:
            if self._failed_at is not None:
                self._failed_at = None
                self._tell(f"{self._path}: the log is written again")
            return
        first, self._failed_at = self._failed_at is None, now
        if first:
            why = getattr(error, "strerror", None) or str(error)
            self._tell(
                f"{self._path}: the log cannot be written ({why}); mining goes on without it, "
                f"and it is tried again"
            )

    def _tell(self, sentence: str) -> None:
        # Where complaints end in the journal, they come back here.
        if not self._telling:
            self._telling = True
            try:
                self._complain(sentence)
            finally:
                self._telling = False


class _File(RotatingFileHandler):
    """A handler that says what went wrong."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._errors: list[BaseException | None] = []

    def write(self, line: str) -> BaseException | None:
        """Write a line; return what was in the way."""
        self.handle(logging.LogRecord("", logging.INFO, "", 0, line, None, None))
        if not self._errors:
            return None
        self.let_go()
        return self._errors.pop()

    def let_go(self) -> None:
        """Close the file; the next line opens it anew."""
        stream = self.stream
        self.stream = None
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self._errors.append(sys.exc_info()[1])

    def doRollover(self) -> None:  # noqa: N802
        if self.backupCount:
            super().doRollover()
            return
        # With no older file to keep, the library would let this one grow.
        self.let_go()
        os.truncate(self.baseFilename, 0)

    def _open(self) -> TextIOWrapper:
        number = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        # An older file of ours may be open to others; one that is not ours stays as it is.
        if stat.S_ISREG(os.fstat(number).st_mode):
            with suppress(OSError):
                os.chmod(number if os.chmod in os.supports_fd else self.baseFilename, 0o600)
        return open(number, "a", encoding=self.encoding, errors="backslashreplace")

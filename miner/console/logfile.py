"""The log file: rotated by size, readable by its owner only, retried after a failed write."""

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
from miner.console.console import LineConsole
from miner.console.json_lines import JsonLines
from miner.console.plain import DATE, PlainLines
from miner.safe_text import Redactor
from miner.telemetry import Journal, Telemetry

RETRY_SECONDS = 10.0
"""Pause after a failed write; lines within it are lost."""

CHECK_SECONDS = 1.0
"""Interval of checking that the file is still at its path."""


class LogFile(LineConsole):
    """Writes the journal and regularly the status to a file until `close`.

    The file is rotated when it would exceed `max_bytes`; `kept_files` older ones stay, named
    `path`.1 and so on. `report` gets one sentence when the file cannot be written, and one when it
    can be written again. A file that was moved away or deleted is created again.
    """

    def __init__(
        self,
        path: Path,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        report: Callable[[str], None],
        redactor: Redactor,
        format: Literal["text", "json"],
        max_bytes: int,
        kept_files: int,
    ) -> None:
        self._file = _RetriedFile(path, clock, report, max_bytes, kept_files)
        lines = JsonLines(redactor) if format == "json" else PlainLines(redactor, DATE)
        super().__init__(telemetry, journal, clock, self._file, lines, redactor)

    def reopen(self) -> None:
        """Open the path again: log rotators have moved the file away."""
        self._file.reopen()

    def close(self, lines: Sequence[str] = ()) -> None:
        """Write the last lines and close the file."""
        super().close(lines)
        self._file.close()


class _RetriedFile:
    """A file that is opened again after a failed write and a pause."""

    def __init__(
        self,
        path: Path,
        clock: Clock,
        report: Callable[[str], None],
        max_bytes: int,
        kept_files: int,
    ) -> None:
        self._path = path
        self._clock = clock
        self._report = report
        self._handler = _Handler(path, max_bytes, kept_files)
        self._failed_at: float | None = None
        self._checked_at = clock.now()
        self._reporting = False
        self._is_emptied = False

    def line(self, text: str) -> None:
        """Write a line, except within `RETRY_SECONDS` after a failure."""
        now = self._clock.now()
        if self._failed_at is not None and now - self._failed_at < RETRY_SECONDS:
            return
        if now - self._checked_at >= CHECK_SECONDS:
            self._checked_at = now
            self._handler.close_if_moved()
        error = self._handler.write(text)
        failed_before, self._failed_at = self._failed_at is not None, now if error else None
        if error and not failed_before:
            reason = getattr(error, "strerror", None) or str(error)
            self._report_state(
                f"log file {self._path} cannot be written ({reason}); mining continues without "
                f"it; retrying every {RETRY_SECONDS:.0f} s"
            )
        elif failed_before and not error:
            self._report_state(f"log file {self._path} is written again")
        if (unrotated := self._handler.rotation_error) and not self._is_emptied:
            self._is_emptied = True
            self._report_state(
                f"log file {self._path} cannot be renamed ({unrotated.strerror}), so it is emptied "
                "each time it is full; let the miner write to its folder"
            )

    def reopen(self) -> None:
        """Open the path again with the next line."""
        self._handler.close_file()
        self._failed_at = None

    def close(self) -> None:
        self._handler.close_file()
        self._handler.close()

    def _report_state(self, sentence: str) -> None:
        # A report in the journal comes back here as a line.
        if not self._reporting:
            self._reporting = True
            try:
                self._report(sentence)
            finally:
                self._reporting = False


class _Handler(RotatingFileHandler):
    """A handler that returns its errors."""

    def __init__(self, path: Path, max_bytes: int, kept_files: int) -> None:
        super().__init__(
            path, maxBytes=max_bytes, backupCount=kept_files, encoding="utf-8", delay=True
        )
        self._errors: list[BaseException | None] = []
        self.rotation_error: OSError | None = None
        """Why the file was emptied instead of renamed."""

    def write(self, line: str) -> BaseException | None:
        """Write a line; return the error if it failed."""
        self.handle(logging.LogRecord("", logging.INFO, "", 0, line, None, None))
        if not self._errors:
            return None
        self.close_file()
        return self._errors.pop()

    def close_file(self) -> None:
        """Close the file; the next line opens it again."""
        stream = self.stream
        self.stream = None
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.close()

    def close_if_moved(self) -> None:
        """Close the file if it is no longer the one at its path."""
        if self.stream is not None:
            opened = os.fstat(self.stream.fileno())
            try:
                moved = not os.path.samestat(opened, os.stat(self.baseFilename))
            except OSError:
                moved = True
            # Only a regular file is reopened: a terminal or a pipe may have no path.
            if moved and stat.S_ISREG(opened.st_mode):
                self.close_file()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        self._errors.append(sys.exc_info()[1])

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802
        return bool(super().shouldRollover(record)) and not self._is_standard_stream()

    def doRollover(self) -> None:  # noqa: N802
        named = self.baseFilename
        # The file is rotated where a link points to; the link stays.
        self.baseFilename = os.path.realpath(named)
        try:
            if self.backupCount:
                super().doRollover()
                return
        except OSError as error:  # its folder may be read-only, or a folder be in the way
            self.rotation_error = error
        finally:
            self.baseFilename = named
        # Without older files the base class would let this one grow.
        self.close_file()
        os.truncate(named, 0)

    def _is_standard_stream(self) -> bool:
        """Whether the file is also our standard output or error, as /dev/stdout is."""
        assert self.stream is not None
        opened = os.fstat(self.stream.fileno())
        for number in (1, 2):
            with suppress(OSError):
                if os.path.samestat(opened, os.fstat(number)):
                    return True
        return False

    def _open(self) -> TextIOWrapper:
        # Opening a FIFO that has no reader fails instead of waiting for one.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
        number = os.open(self.baseFilename, flags, 0o600)
        # The file may exist and be readable by others; devices and pipes stay unchanged.
        if stat.S_ISREG(os.fstat(number).st_mode):
            with suppress(OSError):
                os.chmod(number if os.chmod in os.supports_fd else self.baseFilename, 0o600)
        return open(number, "a", encoding=self.encoding, errors="backslashreplace")

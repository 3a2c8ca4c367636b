"""A view of the run as lines, for terminals, pipes and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from miner.clock import Clock
from miner.console.repeat_filter import RepeatFilter
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Snapshot, Telemetry

TICK_SECONDS = 1.0


class LineFormat(Protocol):
    """Writes entries and snapshots as lines without their line ends."""

    def entry(self, entry: JournalEntry) -> str:
        """Return the line of `entry`."""

    def status(self, snapshot: Snapshot, full: bool) -> Sequence[str]:
        """Return the lines of `snapshot`, redacted; with one for each device if `full`."""

    def note(self, text: str, at: float) -> str:
        """Return the line of a `text` that is not in the journal; `at` is in UNIX seconds."""


class LineOutput(Protocol):
    """Takes lines."""

    def line(self, text: str) -> None:
        """Write `text` and a line end."""


class LineConsole:
    """Writes a line for each entry of the journal, and regularly the status.

    The status comes every `status_seconds` once a device has searched; every `full_every`th status
    is a full one.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        output: LineOutput,
        format: LineFormat,
        redactor: Redactor,
        status_seconds: float = 10.0,
        full_every: int = 3,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._output = output
        self._format = format
        self._redactor = redactor
        self._status_seconds, self._full_every = status_seconds, full_every
        self._filter = RepeatFilter(journal, clock, redactor, self)

    def set_level(self, level: Level) -> None:
        """Leave out entries below `level` from now on."""
        self._filter.level = level

    def entry(self, entry: JournalEntry) -> None:
        """Write `entry`."""
        self._output.line(self._format.entry(entry))

    def write(self, line: str) -> None:
        """Write a line that is not in the journal, such as the answer to a signal."""
        self._output.line(self._format.note(self._redactor.one_line(line), self._clock.wall()))

    async def keep(self) -> None:
        """Write statuses and sums of repeats until cancelled."""
        due, count = self._clock.now() + self._status_seconds, 0
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._filter.tick()
            if self._clock.now() < due:
                continue
            due, count = due + self._status_seconds, count + 1
            snapshot = self._telemetry.snapshot()
            if snapshot.tried and self._filter.level <= Level.INFO:
                for line in self._format.status(snapshot, count % self._full_every == 0):
                    self._output.line(line)

    def close(self, lines: Sequence[str] = ()) -> None:
        """Write the last lines, and nothing after them."""
        self._filter.close()
        for line in lines:
            self._filter.show("summary", line)

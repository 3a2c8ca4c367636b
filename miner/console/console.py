"""Views of the run in terminals, pipes and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TextIO

from miner.clock import Clock
from miner.console.json_lines import JsonLines
from miner.console.output import Output
from miner.console.plain import PlainLines
from miner.console.repeat_filter import RepeatFilter
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Snapshot, Telemetry

ConsoleKind = Literal["auto", "plain", "live", "json"]

TICK_SECONDS = 1.0


class ConsoleView(Protocol):
    """Shows the journal and the snapshot from its creation until `close`.

    No method raises when the terminal fails.
    """

    def set_level(self, level: Level) -> None:
        """Leave out entries below `level` from now on."""

    def write(self, line: str) -> None:
        """Show a line that is not in the journal, such as the answer to a signal."""

    async def keep(self) -> None:
        """Show the status regularly until cancelled."""

    def close(self, lines: Sequence[str] = ()) -> None:
        """Show the last lines, those of `summary`, and nothing after them."""


def open_console(
    kind: ConsoleKind,
    telemetry: Telemetry,
    journal: Journal,
    clock: Clock,
    stream: TextIO,
    redactor: Redactor,
    environ: Mapping[str, str] = os.environ,
) -> ConsoleView:
    """Return the view on `stream`; "auto" is live in a terminal and plain elsewhere.

    Where a live view is impossible, returns a plain one with a note.
    """
    if kind == "json":
        lines = JsonLines(redactor)
        output = Output(stream, lambda text: lines.note(text, clock.wall()))
        return LineConsole(telemetry, journal, clock, output, lines, redactor)
    output = Output(stream)
    if kind in ("auto", "live") and output.isatty() and _can_draw_on(environ.get("TERM", "")):
        # Rich takes long to load.
        from miner.console.live import LiveConsole

        colour = not environ.get("NO_COLOR")
        return LiveConsole(telemetry, journal, clock, output, redactor, colour)
    view = LineConsole(telemetry, journal, clock, output, PlainLines(redactor), redactor)
    if kind == "live":
        view.write("note      no live view: the output is not a terminal that can be drawn on")
    return view


def _can_draw_on(term: str) -> bool:
    # Terminals on Windows do not set TERM.
    return term not in ("dumb", "unknown") and (bool(term) or os.name == "nt")


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
        self._filter.level = level

    def entry(self, entry: JournalEntry) -> None:
        self._output.line(self._format.entry(entry))

    def write(self, line: str) -> None:
        self._output.line(self._format.note(self._redactor.one_line(line), self._clock.wall()))

    async def keep(self) -> None:
        """Write statuses and counts of repeated lines until cancelled."""
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
        self._filter.close()
        for line in lines:
            self._filter.show("summary", line)

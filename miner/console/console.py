"""Views of the run in terminals, pipes and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TextIO

from miner.clock import Clock
from miner.console.json_lines import JsonLines
from miner.console.output import Output
from miner.console.plain import PlainLines, beginning_on
from miner.console.repeat_filter import RepeatFilter
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Snapshot, Telemetry

ConsoleKind = Literal["auto", "plain", "live", "json"]

TICK_SECONDS = 1.0

FIRST_STATUS_SECONDS = 10.0
"""Time to the first status, which shows that mining has begun."""


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
        return LineConsole(telemetry, journal, clock, output, lines, redactor, _pace(output))
    output = Output(stream)
    if kind in ("auto", "live") and output.isatty() and _can_draw_on(environ.get("TERM", "")):
        # Rich takes long to load.
        from miner.console.live import LiveConsole

        colour = not environ.get("NO_COLOR")
        return LiveConsole(telemetry, journal, clock, output, redactor, colour)
    plain = PlainLines(redactor, beginning_on(stream, environ))
    view = LineConsole(telemetry, journal, clock, output, plain, redactor, _pace(output))
    if kind == "live":
        view.write("note      no live view: the output is not a terminal that can be drawn on")
    return view


def _can_draw_on(term: str) -> bool:
    # Terminals on Windows do not set TERM.
    return term not in ("dumb", "unknown") and (bool(term) or os.name == "nt")


@dataclass(frozen=True, slots=True)
class StatusPace:
    """How often a status is written. The defaults suit lines that are kept, as in a log."""

    seconds: float = 60.0
    full_every: int = 60
    """One status in this many is full, beginning with the first."""


def _pace(output: Output) -> StatusPace:
    return StatusPace(10.0, 3) if output.isatty() else StatusPace()


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

    The status comes at `pace`, once a device has searched.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        output: LineOutput,
        format: LineFormat,
        redactor: Redactor,
        pace: StatusPace = StatusPace(),
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._output = output
        self._format = format
        self._redactor = redactor
        self._pace = pace
        self._filter = RepeatFilter(journal, clock, redactor, self)

    def set_level(self, level: Level) -> None:
        self._filter.level = level

    def entry(self, entry: JournalEntry) -> None:
        self._output.line(self._format.entry(entry))

    def write(self, line: str) -> None:
        self._output.line(self._format.note(self._redactor.one_line(line), self._clock.wall()))

    async def keep(self) -> None:
        """Write statuses and counts of repeated lines until cancelled."""
        due, count = self._clock.now() + FIRST_STATUS_SECONDS, 0
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._filter.tick()
            if self._clock.now() < due:
                continue
            snapshot = self._telemetry.snapshot()
            seconds = self._pace.seconds if snapshot.tried else FIRST_STATUS_SECONDS
            due += seconds
            if due <= self._clock.now():  # the process was suspended
                due = self._clock.now() + seconds
            if snapshot.tried and self._filter.level <= Level.INFO:
                for line in self._format.status(snapshot, count % self._pace.full_every == 0):
                    self._output.line(line)
                count += 1

    def close(self, lines: Sequence[str] = ()) -> None:
        self._filter.close()
        for line in lines:
            self._filter.show("summary", line)

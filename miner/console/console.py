"""Opens the view of the run in the terminal: live, plain or JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TextIO

from miner.clock import Clock
from miner.console.json_lines import JsonLines
from miner.console.line_console import LineConsole
from miner.console.output import Output
from miner.console.plain import PlainLines
from miner.safe_text import Redactor
from miner.telemetry import Journal, Level, Telemetry

ConsoleKind = Literal["auto", "plain", "live", "json"]


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

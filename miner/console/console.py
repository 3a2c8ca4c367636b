"""Which view the terminal gets: plain, live or JSON."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Literal, Protocol, TextIO

from miner.clock import Clock
from miner.console.json_lines import JsonConsole
from miner.console.output import Output
from miner.console.plain import PlainConsole
from miner.safe_text import Redactor
from miner.telemetry import Journal, Level, Telemetry

Kind = Literal["auto", "plain", "live", "json"]


class ConsoleView(Protocol):
    """Shows what the journal and the snapshot say, from its making until `close`."""

    def set_level(self, level: Level) -> None:
        """Show from now on what matters at least so much."""

    def write(self, line: str) -> None:
        """Show a line that is in no journal."""

    async def keep(self) -> None:
        """Show how it goes, until cancelled; what a live view did to the terminal is undone then.

        It ends by no failure of the terminal, and neither does any other method.
        """

    def close(self, lines: Sequence[str] = ()) -> None:
        """Show the last lines, those of `summary`, and nothing after them."""


def open_console(
    kind: Kind,
    telemetry: Telemetry,
    journal: Journal,
    clock: Clock,
    stream: TextIO,
    redactor: Redactor,
    environ: Mapping[str, str] = os.environ,
) -> ConsoleView:
    """Return the view on `stream`: "auto" is live in a terminal and plain otherwise. A live view
    where there is no terminal, or a dumb one, is plain, and says so."""
    output = Output(stream)
    if kind == "json":
        records = JsonConsole(telemetry, journal, clock, output.line, redactor)
        output.phrase = records.note
        return records
    alive = output.isatty() and _can_be_drawn_on(environ.get("TERM", ""))
    if kind in ("auto", "live") and alive:
        # What draws is loaded where something is drawn.
        from miner.console.live import LiveConsole

        colour = not environ.get("NO_COLOR")
        return LiveConsole(telemetry, journal, clock, output, redactor, colour)
    view = PlainConsole(telemetry, journal, clock, output.line, redactor)
    if kind == "live":
        view.write("note      no live view: the output is no terminal that could be drawn on")
    return view


def _can_be_drawn_on(term: str) -> bool:
    # Windows' terminals have no such name.
    return term not in ("dumb", "unknown") and (bool(term) or os.name == "nt")

"""The live view of a terminal: entries scroll above a table that is redrawn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import IO, cast

from rich.console import Console as Terminal
from rich.console import ConsoleOptions, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from miner.clock import Clock
from miner.console.live_table import draw_table
from miner.console.output import Output
from miner.console.repeat_filter import RepeatFilter
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Telemetry

DRAW_SECONDS = 1.0
"""Interval of redrawing."""

_KEPT = 200
"""Lines kept for redrawing the whole screen, and held while the terminal is not read."""

_STYLES = {Level.DEBUG: "dim", Level.WARNING: "yellow", Level.ERROR: "bold red"}


class _Steady(Terminal):
    """A terminal whose cursor stays visible: a killed process leaves nothing to restore."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class _Newest:
    """The newest table: Rich redraws it below each line that is printed."""

    table = Text()

    def __rich_console__(self, console: Terminal, options: ConsoleOptions) -> RenderResult:
        yield from self.table.render(console)


class LiveConsole:
    """Draws at most every `DRAW_SECONDS`, and not while the terminal is not read."""

    def __init__(
        self,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        output: Output,
        redactor: Redactor,
        colour: bool = True,
        width: int | None = None,
        height: int | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._output = output
        output.synchronised = True
        self._redactor = redactor
        self._filter = RepeatFilter(journal, clock, redactor, self)
        self._terminal = _Steady(
            file=cast("IO[str]", output), force_terminal=True, force_interactive=True,
            no_color=not colour, highlight=False, markup=False, emoji=False,
            legacy_windows=False, width=width, height=height,
        )  # fmt: skip
        self._newest = _Newest()
        self._live = Live(
            self._newest, console=self._terminal, auto_refresh=False, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._pending: deque[Text] = deque(maxlen=_KEPT)
        self._printed: deque[Text] = deque(maxlen=_KEPT)
        self._size = self._terminal.size
        self._ended = False

    def set_level(self, level: Level) -> None:
        self._filter.level = level

    def entry(self, entry: JournalEntry) -> None:
        self._add(entry_text(entry))

    def write(self, line: str) -> None:
        self._add(Text(self._redactor.one_line(line)))

    async def keep(self) -> None:
        """Draw until cancelled; the last table stays."""
        self._live.start()
        try:
            while True:
                self._filter.tick()
                self.draw()
                await self._clock.sleep(DRAW_SECONDS)
        finally:
            self._end()

    def close(self, lines: Sequence[str] = ()) -> None:
        self._filter.close()
        self._end()
        for line in lines:
            self._filter.show("summary", line)

    def draw(self) -> None:
        """Print the new lines and redraw the table; do nothing if the terminal would block."""
        if not self._output.ready:
            return
        size = self._terminal.size
        table = draw_table(
            self._telemetry.snapshot(), size.width, max(1, size.height - 1), self._redactor
        )
        self._newest.table = table
        above: list[Text | Control] = []
        if size != self._size:
            # The terminal has reflowed the old table: draw the whole screen.
            self._size = size
            above.append(Control(ControlType.CLEAR, ControlType.HOME))
            self._unprint(size.height - table.plain.count("\n"))
        above += self._take_pending()
        if above:
            self._terminal.print(*above, sep="\n")
        else:
            self._live.refresh()

    def _end(self) -> None:
        """Draw the last table; later lines are printed below it."""
        if self._ended:
            return
        self._ended = True
        if not self._output.ready:
            self._output.give_up()
        try:
            if self._live.is_started:
                self.draw()
        finally:
            self._live.stop()
            self._print_pending()

    def _unprint(self, rows: int) -> None:
        """Make the newest printed lines pending again, as many as fill `rows` of the screen."""
        rows -= len(self._pending)
        while self._printed and rows > 0:
            line = self._printed.pop()
            self._pending.appendleft(line)
            rows -= 1 + line.cell_len // self._size.width

    def _print_pending(self) -> None:
        if lines := self._take_pending():
            self._terminal.print(*lines, sep="\n")

    def _take_pending(self) -> list[Text]:
        lines = list(self._pending)
        self._pending.clear()
        self._printed.extend(lines)
        return lines

    def _add(self, line: Text) -> None:
        self._pending.append(line)
        if self._ended:
            self._print_pending()


def entry_text(entry: JournalEntry) -> Text:
    """Return `entry` as a coloured line with the local time."""
    return Text.assemble(
        (f"{datetime.fromtimestamp(entry.at):%H:%M:%S} ", "dim"),
        (f"{entry.topic:<10} ", "cyan"),
        (entry.text, _STYLES.get(entry.level, "")),
    )

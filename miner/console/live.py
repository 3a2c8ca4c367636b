"""The live view of a terminal: what happens scrolls by above a table that is drawn anew."""

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
from miner.console.live_table import picture
from miner.console.output import Output
from miner.console.repeat_filter import Feed
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level, Telemetry

DRAW_SECONDS = 0.5
"""From one drawing to the next."""

_KEPT = 200
"""Lines remembered for a drawing of the whole screen, and held while nobody reads."""

_STYLES = {Level.DEBUG: "dim", Level.WARNING: "yellow", Level.ERROR: "bold red"}


class _Steady(Terminal):
    """A terminal whose cursor stays: a process that is killed has nothing to restore."""

    def show_cursor(self, show: bool = True) -> bool:
        return False


class _Frame:
    """The newest picture, so that lines printed above it bring it along."""

    drawn = Text()

    def __rich_console__(self, console: Terminal, options: ConsoleOptions) -> RenderResult:
        yield self.drawn


class LiveConsole:
    """Draws on the event loop, twice a second at most, and nothing while nobody reads."""

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
        output.framed = True
        self._redactor = redactor
        self._feed = Feed(journal, clock, self._entry, redactor)
        self._terminal = _Steady(
            file=cast("IO[str]", output), force_terminal=True, force_interactive=True,
            no_color=not colour, highlight=False, markup=False, emoji=False,
            legacy_windows=False, width=width, height=height,
        )  # fmt: skip
        self._frame = _Frame()
        self._live = Live(
            self._frame, console=self._terminal, auto_refresh=False, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._new: deque[Text] = deque(maxlen=_KEPT)
        self._shown: deque[Text] = deque(maxlen=_KEPT)
        self._size = self._terminal.size
        self._over = False

    def set_level(self, level: Level) -> None:
        """Show from now on what matters at least so much."""
        self._feed.level = level

    def write(self, line: str) -> None:
        """Show what is in no journal, such as the answer to a signal."""
        self._add(Text(self._redactor.one_line(line)))

    async def keep(self) -> None:
        """Draw until cancelled; the last picture stays."""
        self._live.start()
        try:
            while True:
                self._feed.tick()
                self.draw()
                await self._clock.sleep(DRAW_SECONDS)
        finally:
            self._end()

    def close(self, lines: Sequence[str] = ()) -> None:
        """Print the last lines and no more after them."""
        self._feed.close()
        self._end()
        for line in lines:
            at = self._clock.wall()
            self._entry(JournalEntry(0, at, Level.INFO, "summary", self._redactor.one_line(line)))

    def draw(self) -> None:
        """Draw what is new; nothing where the terminal takes nothing now."""
        if not self._output.ready:
            return
        size = self._terminal.size
        drawn = picture(
            self._telemetry.snapshot(), size.width, max(1, size.height - 1), self._redactor
        )
        self._frame.drawn = drawn
        above: list[Text | Control] = []
        if size != self._size:
            # The change has torn what stood there.
            self._size = size
            above.append(Control(ControlType.CLEAR, ControlType.HOME))
            self._new.extendleft(reversed(self._last_shown(size.height - drawn.plain.count("\n"))))
        above += self._take()
        if above:
            self._terminal.print(*above, sep="\n")
        else:
            self._live.refresh()

    def _end(self) -> None:
        """Leave the last picture where it is; from here on lines are printed below it."""
        if self._over:
            return
        self._over = True
        if not self._output.ready:
            self._output.give_up()
        try:
            if self._live.is_started:
                self.draw()
        finally:
            self._live.stop()
            self._print_new()

    def _last_shown(self, rows: int) -> list[Text]:
        """Return the newest lines that fill `rows`, and take them back."""
        lines: list[Text] = []
        rows -= len(self._new)
        while self._shown and rows > 0:
            lines.insert(0, self._shown.pop())
            rows -= 1 + lines[0].cell_len // self._size.width
        return lines

    def _print_new(self) -> None:
        if lines := self._take():
            self._terminal.print(*lines, sep="\n")

    def _take(self) -> list[Text]:
        lines = list(self._new)
        self._new.clear()
        self._shown.extend(lines)
        return lines

    def _entry(self, entry: JournalEntry) -> None:
        self._add(entry_text(entry))

    def _add(self, line: Text) -> None:
        self._new.append(line)
        if self._over:
            self._print_new()


def entry_text(entry: JournalEntry) -> Text:
    """Return an entry as a coloured line with the local time."""
    return Text.assemble(
        (f"{datetime.fromtimestamp(entry.at):%H:%M:%S} ", "dim"),
        (f"{entry.topic:<10} ", "cyan"),
        (entry.text, _STYLES.get(entry.level, "")),
    )

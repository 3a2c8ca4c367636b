"""Lines before mining begins, when telemetry does not exist yet and drivers may take a minute."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from miner import __version__
from miner.clock import Clock
from miner.console.json_lines import JsonLines
from miner.console.plain import TIME, PlainLines
from miner.safe_text import Redactor
from miner.telemetry import JournalEntry, Level
from miner.work import DeviceInfo


class StartLines:
    """Writes what the start is doing, by `write`; any thread may use it.

    `console` is the kind of the console that follows: its lines are JSON if those are. Plain lines
    begin with `beginning`.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        clock: Clock,
        console: str = "plain",
        beginning: str = TIME,
    ) -> None:
        self._write, self._clock = write, clock
        redactor = Redactor()
        self._format = JsonLines(redactor) if console == "json" else PlainLines(redactor, beginning)
        self._number = 0

    def starting(self, algorithm: str, pools: Sequence[str]) -> None:
        """Write the first line; `pools` are addresses without logins."""
        shown = ", ".join(pools)
        self._line(f"progpow-miner {__version__}, {algorithm}, {shown}; looking for devices")

    def trying(self, info: DeviceInfo) -> None:
        """Report that the trial of `info` begins."""
        self._line(f"trying {info.name} {info.model} …")

    def note(self, sentence: str) -> None:
        """Report what happened in an earlier run."""
        self._line(sentence)

    def _line(self, text: str) -> None:
        self._number += 1
        entry = JournalEntry(self._number, self._clock.wall(), Level.INFO, "start", text)
        self._write(self._format.entry(entry))

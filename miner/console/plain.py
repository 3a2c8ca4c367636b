"""Lines with the time of day, fit for a terminal, a pipe and a log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from miner.clock import Clock
from miner.console.feed import Feed, unredacted
from miner.console.status import full_status, status_line
from miner.telemetry import Entry, Journal, Level, Snapshot, Telemetry
from miner.telemetry.cleaning import Clean

TICK_SECONDS = 1.0
STATUS_SECONDS = 10.0
FULL_EVERY = 3
"""One in so many statuses has a line for each device."""


class LineConsole:
    """Prints a line for what happened and a while for how it goes; a kind says what they look
    like."""

    def __init__(
        self,
        telemetry: Telemetry,
        journal: Journal,
        clock: Clock,
        write: Callable[[str], None],
        redact: Clean = unredacted,
    ) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._print = write
        self._feed = Feed(journal, clock, self.entry, redact)

    def set_level(self, level: Level) -> None:
        """Print from now on what matters at least so much."""
        self._feed.level = level

    def entry(self, entry: Entry) -> None:
        """Print one entry of the journal."""
        raise NotImplementedError

    def status(self, snapshot: Snapshot, full: bool) -> None:
        """Print how it goes; `full` with each device."""
        raise NotImplementedError

    def write(self, line: str) -> None:
        """Print what is in no journal, such as the answer to a signal."""
        self._print(self._feed.clean(line))

    async def keep(self) -> None:
        """Print the status every ten seconds, and repeats in time, until cancelled."""
        due, count = self._clock.now() + STATUS_SECONDS, 0
        while True:
            await self._clock.sleep(TICK_SECONDS)
            self._feed.tick()
            if self._clock.now() < due:
                continue
            due, count = due + STATUS_SECONDS, count + 1
            snapshot = self._telemetry.snapshot()
            if snapshot.tried and self._feed.level <= Level.INFO:
                self.status(snapshot, count % FULL_EVERY == 0)

    def close(self, lines: Sequence[str] = ()) -> None:
        """Print the last lines and no more after them."""
        self._feed.close()
        for line in lines:
            self._last(line)

    def _last(self, line: str) -> None:
        self.entry(Entry(0, self._clock.wall(), Level.INFO, "summary", self._feed.clean(line)))


class PlainConsole(LineConsole):
    """Prints "HH:MM:SS topic     text"."""

    def entry(self, entry: Entry) -> None:
        self._print(plain_line(entry.at, entry.topic, entry.text))

    def status(self, snapshot: Snapshot, full: bool) -> None:
        lines = full_status(snapshot) if full else [("status", status_line(snapshot))]
        for topic, text in lines:
            self._print(plain_line(snapshot.at, topic, self._feed.clean(text)))


def plain_line(at: float, topic: str, text: str, date: bool = False) -> str:
    """Return a line with the local time at UNIX second `at`, with its `date` where lines are
    kept for long."""
    moment = datetime.fromtimestamp(at)
    return f"{moment:{'%Y-%m-%d ' if date else ''}%H:%M:%S} {topic:<9} {text}"

"""Limits repeated lines: passes the journal's entries to one view."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from miner.clock import Clock
from miner.formatting import format_count
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level

REPEAT_SECONDS = 10.0
"""A text that its topic repeats is shown once in this time; then the repeats are counted."""

MOST_LINES = 2000
"""Most lines of one topic in `REPEAT_SECONDS`; of the rest only the last is shown."""


class EntryView(Protocol):
    """Shows entries one by one."""

    def entry(self, entry: JournalEntry) -> None:
        """Show `entry`, whose texts are redacted and printable."""


@dataclass(slots=True)
class _Topic:
    """The newest entry of a topic, and how many entries are held back."""

    entry: JournalEntry
    due: float
    """Clock seconds at which the entries held back are summed up."""
    window_start: float
    shown: int
    """Lines since `window_start`."""
    held: int = 0
    """Entries held back; `entry` is the last of them."""
    mixed: bool = False
    """The entries held back have several texts, since the topic exceeded `MOST_LINES`."""


class RepeatFilter:
    """Passes the journal's entries to `view`, redacted and without repeats, until `close`."""

    def __init__(self, journal: Journal, clock: Clock, redactor: Redactor, view: EntryView) -> None:
        self.level = Level.INFO
        """Entries below it are not shown."""
        self._clock = clock
        self._redactor = redactor
        self._view = view
        self._topics: dict[str, _Topic] = {}
        self._unsubscribe = journal.subscribe(self._entry)

    def tick(self) -> None:
        """Sum up the repeats that are due. Call it about once a second."""
        now = self._clock.now()
        for name, topic in list(self._topics.items()):
            if topic.due > now:
                continue
            if self._sum_up(topic):
                # While the repeats continue, only their sums are shown.
                self._topics[name] = _Topic(topic.entry, now + REPEAT_SECONDS, now, 1)
            else:
                del self._topics[name]

    def show(self, topic: str, text: str) -> None:
        """Pass on a line that is not in the journal."""
        text = self._redactor.one_line(text)
        self._view.entry(JournalEntry(0, self._clock.wall(), Level.INFO, topic, text))

    def close(self) -> None:
        """Sum up all repeats; pass on nothing more from the journal."""
        self._unsubscribe()
        for topic in self._topics.values():
            self._sum_up(topic)
        self._topics.clear()

    def _entry(self, entry: JournalEntry) -> None:
        if entry.level < self.level:
            return
        one_line = self._redactor.one_line
        entry = replace(entry, topic=one_line(entry.topic), text=one_line(entry.text))
        self.tick()
        now, topic = self._clock.now(), self._topics.get(entry.topic)
        if topic is None:
            topic = self._topics[entry.topic] = _Topic(entry, now, now, 0)
        elif topic.entry.text == entry.text and not topic.mixed:
            topic.held += 1
            topic.entry = entry
            return
        if now - topic.window_start >= REPEAT_SECONDS:
            topic.window_start, topic.shown = now, 0
        if topic.shown >= MOST_LINES:
            topic.held += 1
            topic.entry, topic.mixed = entry, True
            topic.due = topic.window_start + REPEAT_SECONDS
            return
        # The sum comes first: below this entry it would look newer.
        topic.shown += 1 + self._sum_up(topic)
        topic.entry, topic.due, topic.held = entry, now + REPEAT_SECONDS, 0
        self._view.entry(entry)

    def _sum_up(self, topic: _Topic) -> bool:
        """Show the last entry held back with the number of the others; return whether any was."""
        if not topic.held:
            return False
        text, others = topic.entry.text, topic.held - 1
        if not topic.mixed:
            times = "once" if topic.held == 1 else f"{topic.held} times"
            text += f" (repeated {times})"
        elif others:
            text += f" ({format_count(others, 'earlier line')} left out)"
        self._view.entry(replace(topic.entry, at=self._clock.wall(), text=text))
        return True

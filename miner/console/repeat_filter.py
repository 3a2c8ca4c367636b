"""The journal's entries as one view may tell them: important enough, redacted, not repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from miner.clock import Clock
from miner.safe_text import Redactor
from miner.telemetry import Journal, JournalEntry, Level

REPEAT_SECONDS = 10.0
"""What a topic says again and again is told once in this time, and then how often it came."""


MOST_LINES = 2000
"""Lines that a topic has in that time; of what else it says then only the last is told."""


@dataclass(slots=True)
class _Said:
    """What a topic said last, and how much of it is held back."""

    entry: JournalEntry
    until: float
    """When what is held back is told, in clock seconds."""
    began: float
    lines: int
    """Told since `began`."""
    more: int = 0
    """Entries that are held back; `entry` is the last of them."""
    mixed: bool = False
    """They are not all what was told last."""


class Feed:
    """Hands the journal's entries to one view, from its making until `close`."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        tell: Callable[[JournalEntry], None],
        redactor: Redactor,
    ) -> None:
        self.level = Level.INFO
        """The least that is told; may be set at any time."""
        self._clock = clock
        self._tell = tell
        self._redactor = redactor
        self._said: dict[str, _Said] = {}
        """By topic; of topics there are few."""
        self._unsubscribe = journal.subscribe(self._entry)

    def tick(self) -> None:
        """Tell how often was repeated what has not been told again for long enough."""
        now = self._clock.now()
        for topic, said in list(self._said.items()):
            if said.until > now:
                continue
            if self._sum_up(said):
                # A flood goes on to be told in sums, without its text in between.
                self._said[topic] = _Said(said.entry, now + REPEAT_SECONDS, now, 1)
            else:
                del self._said[topic]

    def close(self) -> None:
        """Tell what is due and end."""
        self._unsubscribe()
        for said in self._said.values():
            self._sum_up(said)
        self._said.clear()

    def _entry(self, entry: JournalEntry) -> None:
        if entry.level < self.level:
            return
        entry = replace(
            entry,
            topic=self._redactor.one_line(entry.topic),
            text=self._redactor.one_line(entry.text),
        )
        self.tick()
        now, said = self._clock.now(), self._said.get(entry.topic)
        if said is None:
            said = self._said[entry.topic] = _Said(entry, now, now, 0)
        elif said.entry.text == entry.text and not said.mixed:
            said.more += 1
            said.entry = entry
            return
        if now - said.began >= REPEAT_SECONDS:
            said.began, said.lines = now, 0
        if said.lines >= MOST_LINES:
            said.more += 1
            said.entry, said.mixed, said.until = entry, True, said.began + REPEAT_SECONDS
            return
        # Told later, it would look like the present: "goes on" of a device that pauses.
        said.lines += 1 + self._sum_up(said)
        said.entry, said.until, said.more = entry, now + REPEAT_SECONDS, 0
        self._tell(entry)

    def _sum_up(self, said: _Said) -> bool:
        if not said.more:
            return False
        text, before = said.entry.text, said.more - 1
        if not said.mixed:
            text += f" (said {'once' if said.more == 1 else f'{said.more} times'} more)"
        elif before:
            text += f" ({before} line{'s' if before > 1 else ''} before it left out)"
        self._tell(replace(said.entry, at=self._clock.wall(), text=text))
        return True

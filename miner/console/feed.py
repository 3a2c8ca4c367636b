"""The journal's entries as one view may tell them: important enough, redacted, not repeated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from miner.clock import Clock
from miner.telemetry import Entry, Journal, Level
from miner.telemetry.cleaning import Clean, shown

REPEAT_SECONDS = 10.0
"""What a topic says again and again is told once in this time, and then how often it came."""


def unredacted(text: str) -> str:
    """Return `text`, where there is nothing to hide."""
    return text


@dataclass(slots=True)
class _Said:
    entry: Entry
    until: float
    """Clock seconds."""
    more: int = 0


class Feed:
    """Hands the journal's entries to one view, from its making until `close`."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        tell: Callable[[Entry], None],
        level: Level = Level.INFO,
        redact: Clean = unredacted,
    ) -> None:
        self.level = level
        """The least that is told; may be set at any time."""
        self._clock = clock
        self._tell = tell
        self._redact = redact
        self._said: dict[str, _Said] = {}
        """What each topic said last, in the order in which they end."""
        self._unsubscribe = journal.subscribe(self._entry)

    def clean(self, text: str) -> str:
        """Return `text` on one line, without what nobody may read."""
        return shown(text, self._redact)

    def tick(self) -> None:
        """Tell how often was repeated what has not been told again for long enough."""
        now = self._clock.now()
        while self._said:
            topic, said = next(iter(self._said.items()))
            if said.until > now:
                return
            del self._said[topic]
            if self._sum_up(said):
                # A flood goes on to be told in sums, without its text in between.
                self._said[topic] = _Said(said.entry, now + REPEAT_SECONDS)

    def close(self) -> None:
        """Tell what is due and end."""
        self._unsubscribe()
        for said in self._said.values():
            self._sum_up(said)
        self._said.clear()

    def _entry(self, entry: Entry) -> None:
        if entry.level < self.level:
            return
        entry = replace(entry, topic=self.clean(entry.topic), text=self.clean(entry.text))
        self.tick()
        said = self._said.get(entry.topic)
        if said and said.entry.text == entry.text:
            said.more += 1
            said.entry = entry
            return
        if said:
            # Told later, it would look like the present: "goes on" of a device that pauses.
            del self._said[entry.topic]
            self._sum_up(said)
        self._said[entry.topic] = _Said(entry, self._clock.now() + REPEAT_SECONDS)
        self._tell(entry)

    def _sum_up(self, said: _Said) -> bool:
        if not said.more:
            return False
        times = "once" if said.more == 1 else f"{said.more} times"
        text = f"{said.entry.text} (said {times} more)"
        self._tell(replace(said.entry, at=self._clock.wall(), text=text))
        return True

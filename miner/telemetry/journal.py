"""The list of what happened, in sentences: console, log and dashboard show it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from miner.clock import Clock
from miner.telemetry.events import Event, ShareAnswered
from miner.telemetry.sentences import Level, Sentence, sentence_of
from miner.work import Outcome

KEPT = 500
"""Entries that are remembered."""

REPEAT_SECONDS = 10.0
"""A sentence that may come in floods is let through once in this time."""

PROGRESS_STEP = 0.1
"""Progress is told in steps of this share."""

_NUMBER = re.compile(r"\b(?:[0-9a-f]{16,}|\w*[0-9]\w*)\b")


@dataclass(frozen=True, slots=True)
class Entry:
    """A sentence with its time."""

    number: int
    """Counts up from 1 without gaps."""
    at: float
    """UNIX seconds."""
    level: Level
    topic: str
    """A device, or "pool", "job", "share", "cache" and the like."""
    text: str


class Journal:
    """Turns events into entries; used on the event loop's thread only."""

    detailed = False
    """Whether events of `Level.DEBUG` are entered: they would push out what matters more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._numbers = count(1)
        self._accepted = 0
        self._told: dict[str, int] = {}
        self._repeated: dict[tuple[str, str], float] = {}
        self._callbacks: list[Callable[[Entry], None]] = []

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The newest entries, oldest first."""
        return tuple(self._entries)

    def event(self, event: Event) -> None:
        """Enter what a person wants to know of `event`."""
        if isinstance(event, ShareAnswered) and event.verdict.outcome is Outcome.ACCEPTED:
            self._accepted += 1
        sentence = sentence_of(event, self._accepted)
        if sentence is None or (sentence.level == Level.DEBUG and not self.detailed):
            return
        if sentence.step is not None:
            self._progress(sentence, sentence.step)
        elif not (sentence.seldom and self._is_repeated(sentence)):
            self.say(sentence.topic, sentence.text, sentence.level)

    def say(self, topic: str, text: str, level: Level = Level.INFO) -> None:
        """Enter a sentence that belongs to no event."""
        entry = Entry(next(self._numbers), self._clock.wall(), level, topic, text)
        self._entries.append(entry)
        for callback in tuple(self._callbacks):
            callback(entry)

    def subscribe(self, callback: Callable[[Entry], None]) -> Callable[[], None]:
        """Have `callback` called with each entry from now on; returns what ends that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def _progress(self, sentence: Sentence, done: float) -> None:
        what = f"{sentence.topic} {sentence.text}"
        step = int(done / PROGRESS_STEP + 1e-6)
        if self._told.get(what) != step:
            self._told[what] = step
            self.say(sentence.topic, f"{sentence.text}: {done:4.0%}", sentence.level)

    def _is_repeated(self, sentence: Sentence) -> bool:
        # Nonces and counts differ each time, and would be remembered for weeks.
        kind = (sentence.topic, _NUMBER.sub("", sentence.text)[:30])
        now = self._clock.now()
        if now - self._repeated.get(kind, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return True
        self._repeated[kind] = now
        return False

"""How often somebody may be wrong about a secret before nobody listens for a while."""

from __future__ import annotations

from collections import OrderedDict
from math import inf

from miner.clock import Clock
from miner.telemetry import Journal, Level

GUESSES = 10
"""Wrong secrets in a row that somebody may send."""

GUESS_SECONDS = 10.0
"""After them he may send one in this time."""

GUESSERS = 1024
"""Those whose guesses are remembered."""

TELL_SECONDS = 600.0
"""The journal tells of guessing once in this time."""


class Guesses:
    """Counts wrong secrets by who sent them, so that none can be found by trying."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._counted: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._told = -inf

    def wait(self, who: str) -> float:
        """Return the seconds for which nothing that `who` sends is looked at, not even the right
        secret; 0 where it is."""
        return max(self._level(who) - (GUESSES - 1), 0.0) * GUESS_SECONDS

    def wrong(self, who: str) -> None:
        """Note a wrong one of `who`, which the journal may name."""
        now = self._clock.now()
        self._counted[who] = (self._level(who) + 1, now)
        self._counted.move_to_end(who)
        if len(self._counted) > GUESSERS:
            self._counted.popitem(last=False)
        if self.wait(who) and now - self._told >= TELL_SECONDS:
            self._told = now
            text = f"{who} sends wrong tokens and is made to wait"
            self._journal.say("api", text, Level.WARNING)

    def _level(self, who: str) -> float:
        """Return the guesses of `who` that still count."""
        count, at = self._counted.get(who, (0.0, 0.0))
        return max(count - (self._clock.now() - at) / GUESS_SECONDS, 0.0)

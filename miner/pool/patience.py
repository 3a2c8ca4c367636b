"""How long to go on without a pool that takes us in."""

from __future__ import annotations

from math import inf

from miner.clock import Clock


class Patience:
    """Lasts `seconds` from its latest renewal; None: for ever."""

    def __init__(self, seconds: float | None, clock: Clock) -> None:
        self.seconds = inf if seconds is None else seconds
        self._clock = clock
        self._since = clock.now()

    @property
    def left(self) -> float:
        """Seconds until it is over; infinity where it never is."""
        return self._since + self.seconds - self._clock.now()

    def renew(self) -> None:
        """Begin anew: a login held until now."""
        self._since = self._clock.now()

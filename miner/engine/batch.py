"""How many nonces a launch searches, so that it lasts about a tenth of a second."""

from __future__ import annotations

TARGET_SECONDS = 0.1
FADE = 0.7
"""What an older launch still weighs when a newer one was measured."""


class BatchSize:
    """Doubles from one granule until a launch lasts half the target, then follows the rate."""

    def __init__(
        self, granule: int, *, seconds: float = TARGET_SECONDS, least: int = 1, most: int = 1 << 30
    ) -> None:
        self._granule = granule
        self._seconds = seconds
        self._least = -(-max(least, 1) // granule) * granule
        self._most = max(most // granule * granule, self._least)
        self._nonces = self._least
        self._growing = True
        self._tried = 0.0
        self._spent = 0.0

    @property
    def nonces(self) -> int:
        """Nonces of the next launch, a multiple of the granule."""
        return self._nonces

    def measured(self, tried: int, seconds: float) -> None:
        """Note that `tried` nonces kept the device busy for `seconds`.

        Nonces and time are summed apart, so two results that arrive together do not look like
        one impossibly fast launch.
        """
        if self._growing:
            if tried < self._nonces:
                return
            if seconds < self._seconds / 2:
                self._nonces = min(self._nonces * 2, self._most)
                self._growing = self._nonces < self._most
                return
            self._growing = False
        self._tried = self._tried * FADE + tried
        self._spent = self._spent * FADE + seconds
        if self._spent <= 0:
            return
        wished = int(self._tried / self._spent * self._seconds)
        wished = min(max(wished, self._nonces // 2), self._nonces * 2)
        whole = wished // self._granule * self._granule
        self._nonces = min(max(whole, self._least), self._most)

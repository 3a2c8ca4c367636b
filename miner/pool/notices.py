"""What a person is to read of pools, as far as a person can."""

from __future__ import annotations

from collections import deque

from miner import telemetry
from miner.clock import Clock

MOST = 20
"""Messages of pools in a minute that are passed on."""


class Notices:
    """Passes pools' messages on, a flood of them only in part, and all of our own remarks."""

    def __init__(self, emit: telemetry.Emit, clock: Clock) -> None:
        self._emit, self._clock = emit, clock
        self._passed: deque[float] = deque()
        """Clock seconds of the newest messages."""

    def remark(self, pool: str, text: str) -> None:
        """Report our own `text` on the pool that is labelled `pool`."""
        self._emit(telemetry.PoolRemark(pool, text))

    def pass_on(self, pool: str, text: str) -> None:
        """Report `text` of the pool that is labelled `pool`."""
        now = self._clock.now()
        while self._passed and self._passed[0] <= now - 60:
            self._passed.popleft()
        if len(self._passed) > MOST:
            return
        if len(self._passed) == MOST:
            self.remark(pool, f"more than {MOST} messages in a minute; the others are left out")
        else:
            self._emit(telemetry.PoolNotice(pool, text))
        self._passed.append(now)

"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio

TURNS = 50
"""Turns of the event loop after which all tasks wait."""


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class FakeClock:
    """Seconds pass only by `advance`."""

    def __init__(self) -> None:
        self._now = 1000.0
        self.ahead = 0.0
        """Seconds by which the time of day was set forward."""
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return 1_800_000_000.0 + self.ahead + self.now()

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, waking)
        self._sleepers.append(entry)
        try:
            await waking
        finally:
            self._sleepers.remove(entry)

    def sleepers_due_in(self, seconds: float) -> int:
        """Return how many sleep until exactly `seconds` from now."""
        due = self._now + seconds
        return sum(at == due and not waking.done() for at, waking in self._sleepers)

    async def suspend(self, seconds: float) -> None:
        """Pass `seconds` at once, as for a suspended process, then wake all that are due."""
        await settle()
        self._now += seconds
        await self.advance(0.0)

    def skip(self, seconds: float) -> None:
        """Pass `seconds` at once, while nothing sleeps and no other task runs."""
        assert not self._sleepers
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, waking each sleeper at its own time."""
        await settle()
        end = self._now + seconds
        while due := [at for at, waking in self._sleepers if at <= end and not waking.done()]:
            self._now = max(self._now, min(due))
            for at, waking in self._sleepers:
                if at <= self._now and not waking.done():
                    waking.set_result(None)
            await settle()
        self._now = end
        await settle()

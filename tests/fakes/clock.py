"""A clock that stands still until a test moves it."""

from __future__ import annotations

import asyncio

TURNS = 50
"""Turns of the event loop after which everything that can go on has gone on."""


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class FakeClock:
    """Seconds that pass by `advance` alone."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now()

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (self._now + seconds, waking)
        self._sleepers.append(entry)
        try:
            await waking
        finally:
            self._sleepers.remove(entry)

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

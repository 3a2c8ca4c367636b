"""The time limit that all parts of a shutdown share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from miner.clock import Clock

STOP_SECONDS = 5.0
"""From the start of a shutdown (first signal or any other end of a run) to its end; devices,
outstanding answers, connections, drivers and disks share them."""

CONNECTION_SECONDS = 0.5
"""Part of `STOP_SECONDS` reserved for closing connections, however long answers take."""


class ShutdownDeadline:
    """Counts down once a shutdown has begun; used on one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def begin(self) -> None:
        """Start the countdown; later calls change nothing."""
        if self._since is None:
            self._since = self._clock.now()

    def left(self) -> float:
        """Return the remaining seconds; `STOP_SECONDS` before `begin`."""
        spent = 0.0 if self._since is None else self._clock.now() - self._since
        return max(STOP_SECONDS - spent, 0.0)

    def for_answers(self) -> float:
        """Return how many seconds to wait for pools' answers; never 0, so that an answer that
        has already arrived is read."""
        return max(self.left() - CONNECTION_SECONDS, 0.1)

    async def cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cancel `tasks` and wait for their cleanup; cancel them again at the deadline."""
        pending = set(tasks)
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=self.left())
        for task in pending:
            task.cancel()

    @asynccontextmanager
    async def closing(self, opened: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Enter `opened` for the block; abort its exit at the deadline."""
        await opened.__aenter__()
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.left()):
                    await opened.__aexit__(None, None, None)

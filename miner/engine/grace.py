"""The grace that the end of a run is given, all that ends together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

from miner.clock import Clock

STOP_SECONDS = 5.0
"""From the first signal, or whatever else ends a run, to its end: devices, the last answers,
connections, drivers and disks have these together."""

CLOSING_SECONDS = 0.5
"""Of those, what is kept for connections to be closed, however long answers take."""


class Grace:
    """One bound for all that ends; used on one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: float | None = None

    def begin(self) -> None:
        """Note that the end has begun; the first time counts."""
        if self._since is None:
            self._since = self._clock.now()

    def left(self) -> float:
        """Return the seconds that are left; all of them before it has begun."""
        spent = 0.0 if self._since is None else self._clock.now() - self._since
        return max(STOP_SECONDS - spent, 0.0)

    def for_answers(self) -> float:
        """Return the seconds for which pools' answers may be waited for now."""
        return max(self.left() - CLOSING_SECONDS, 0.1)

    async def cancel(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        """Cancel `tasks`; what they close takes what is left, and is broken off then."""
        pending = set(tasks)
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=self.left())
        for task in pending:
            task.cancel()

    @asynccontextmanager
    async def closing(self, opened: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
        """Keep `opened` for the block; its closing takes what is left, and is broken off then."""
        await opened.__aenter__()
        try:
            yield
        finally:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.left()):
                    await opened.__aexit__(None, None, None)

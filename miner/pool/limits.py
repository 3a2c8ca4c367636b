"""How long each part of a connection's life may take."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from miner.clock import Clock


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; none is so short that a loaded pool counts as dead."""

    connect: float = 10.0
    """For name, connection and TLS handshake together."""
    login: float = 30.0
    """For all answers up to the accepted login together."""
    answer: float = 30.0
    """A share without an answer for so long counts as lost; it is not sent again."""
    silence: float = 600.0
    """A pool without a new job for so long is taken for dead."""


async def within(clock: Clock, seconds: float, waiting: Coroutine[Any, Any, object]) -> None:
    """Return when `waiting` is over, at the latest after `seconds`."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(waiting), group.create_task(clock.sleep(seconds))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from miner.engine.shutdown_deadline import CONNECTION_SECONDS, STOP_SECONDS, ShutdownDeadline
from tests.fakes.device import WAIT, Ticks


def test_the_countdown_starts_with_the_first_begin():
    clock = Ticks(100.0)
    deadline = ShutdownDeadline(clock)
    clock.pass_time(50)
    assert deadline.left() == STOP_SECONDS
    deadline.begin()
    clock.pass_time(1)
    deadline.begin()
    assert deadline.left() == STOP_SECONDS - 1
    assert deadline.for_answers() == STOP_SECONDS - 1 - CONNECTION_SECONDS
    clock.pass_time(50)
    assert deadline.left() == 0
    assert deadline.for_answers() > 0, "an answer that is here is heard"


def over() -> ShutdownDeadline:
    clock = Ticks()
    deadline = ShutdownDeadline(clock)
    deadline.begin()
    clock.pass_time(STOP_SECONDS)
    return deadline


async def test_a_task_whose_cleanup_exceeds_the_deadline_is_cancelled_again():
    torn = asyncio.Event()

    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()
            finally:
                torn.set()

    async with asyncio.timeout(WAIT), asyncio.TaskGroup() as group:
        task = group.create_task(stubborn())
        await asyncio.sleep(0)
        await over().cancel([task])
    assert torn.is_set()


@asynccontextmanager
async def door(left: list[str]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        try:
            await asyncio.Event().wait()
        finally:
            left.append("closed")


async def test_a_closing_that_exceeds_the_deadline_is_aborted_and_hides_no_error():
    left: list[str] = []
    async with asyncio.timeout(WAIT):
        async with over().closing(door(left)):
            pass
        with pytest.raises(ZeroDivisionError):
            async with over().closing(door(left)):
                raise ZeroDivisionError
    assert left == ["closed", "closed"]

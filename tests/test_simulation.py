from __future__ import annotations

import asyncio
import socket
import threading
from time import monotonic

import pytest

from miner.clock import CATCH_UP_SECONDS, LoopClock, SimulatedLoop, first_of, run, settle, within
from tests.fakes.clock import FakeClock


def test_half_an_hour_takes_no_time_and_keeps_its_order() -> None:
    woken: list[tuple[float, str]] = []

    async def wake(name: str, seconds: float, times: int) -> None:
        clock = LoopClock()
        for _ in range(times):
            await clock.sleep(seconds)
            woken.append((clock.now(), name))

    async def both() -> float:
        async with asyncio.TaskGroup() as group:
            group.create_task(wake("minute", 60.0, 30))
            group.create_task(wake("quarter", 900.0, 2))
        return LoopClock().now()

    begun = monotonic()
    assert run(both()) == 1800.0
    assert monotonic() - begun < 10
    assert len(woken) == 32
    assert woken == sorted(woken, key=lambda entry: entry[0])
    assert {at for at, name in woken if name == "quarter"} == {900.0, 1800.0}


def test_a_limit_passes_in_simulated_time() -> None:
    async def wait() -> float:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await asyncio.Event().wait()
        return LoopClock().now()

    assert run(wait()) == 600.0


def test_within_reports_whether_the_wait_ended_in_time() -> None:
    async def wait(seconds: float) -> tuple[bool, float]:
        ended = await within(LoopClock(), 10, asyncio.sleep(seconds))
        return ended, LoopClock().now()

    assert run(wait(9)) == (True, 9.0)
    assert run(wait(11)) == (False, 10.0)


async def test_what_happened_while_the_process_was_suspended_is_within_the_limit() -> None:
    clock, event = FakeClock(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(within(clock, 10, event.wait()))
        await clock.suspend(3600.0)
        event.set()
        assert await waiting
        waiting = group.create_task(within(clock, 10, asyncio.Event().wait()))
        await clock.suspend(3600.0)
        assert not waiting.done()
        await clock.advance(CATCH_UP_SECONDS)
        assert not await waiting


def test_first_of_cancels_the_slower_one() -> None:
    cancelled: list[str] = []

    async def wait(name: str, seconds: float) -> str:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cancelled.append(name)
            raise
        return name

    assert run(first_of(wait("a", 1), wait("b", 2))) == "a"
    assert run(first_of(wait("c", 2), wait("d", 1))) == "d"
    assert cancelled == ["b", "c"]


def test_first_of_raises_the_error_itself_with_its_cause() -> None:
    async def fail() -> None:
        raise ValueError("late") from KeyError("why")

    with pytest.raises(ValueError, match="late") as caught:
        run(first_of(asyncio.sleep(5), fail()))
    assert isinstance(caught.value.__cause__, KeyError)


def test_first_of_prefers_its_own_cancellation_to_an_error() -> None:
    async def fail_when_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("cancelled") from None

    async def cancel() -> bool:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(first_of(fail_when_cancelled(), asyncio.sleep(9)))
            await settle()
            task.cancel()
        return task.cancelled()

    assert run(cancel())


def test_settle_runs_every_ready_task() -> None:
    async def chain(count: int) -> int:
        queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(count + 1)]

        async def pass_on(i: int) -> None:
            queues[i + 1].put_nowait(await queues[i].get() + 1)

        async with asyncio.TaskGroup() as group:
            for i in reversed(range(count)):
                group.create_task(pass_on(i))
            queues[0].put_nowait(0)
            await settle()
            assert LoopClock().now() < 0.001
            return queues[count].get_nowait()

    assert run(chain(500)) == 500


def test_a_deadlock_is_an_error() -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="nothing is left"):
        run(for_ever())


def test_time_passes_normally_while_a_thread_works() -> None:
    async def both() -> str:
        going = threading.Event()
        async with asyncio.timeout(3600):
            async with asyncio.TaskGroup() as group:
                work = group.create_task(asyncio.to_thread(going.wait, 30))
                await settle()
                going.set()
            assert work.result()
        assert LoopClock().now() < 60
        await asyncio.sleep(3600)
        return "done"

    assert run(both()) == "done"


def test_time_passes_normally_while_a_socket_is_watched() -> None:
    async def both() -> bytes:
        ours, theirs = socket.socketpair()
        with theirs:
            reader, writer = await asyncio.open_connection(sock=ours)
            late = threading.Timer(0.05, theirs.sendall, [b"late"])
            late.start()
            async with asyncio.timeout(3600):
                data = await reader.read(10)
            late.join()
            writer.close()
            await writer.wait_closed()
        assert LoopClock().now() < 60
        return data

    assert run(both()) == b"late"


def test_each_loop_starts_at_0() -> None:
    loop = SimulatedLoop()
    try:
        assert loop.time() == 0.0
        loop.run_until_complete(asyncio.sleep(5))
        assert loop.time() == 5.0
    finally:
        loop.close()

from __future__ import annotations

import asyncio
import threading

import pytest

from miner.engine.threads import RunningThread, Threads, WorkPool, work_left
from tests.fakes.device import WAIT


async def test_threads_are_stopped_and_joined_at_the_end():
    stop, names = threading.Event(), []
    ended: list[RunningThread] = []

    def body() -> None:
        names.append(threading.current_thread().name)
        assert stop.wait(WAIT)

    async with Threads(WAIT, ended.append) as threads:
        running = threads.start("one", body, stop.set)
        assert threads.left == ("one",)
    assert names == ["work-one"]
    assert ended == [running]
    assert threads.left == ()


async def test_a_threads_exception_is_kept():
    def body() -> None:
        raise ValueError("a mistake")

    ended: list[RunningThread] = []
    async with Threads(WAIT, ended.append) as threads:
        running = threads.start("one", body, lambda: None)
    assert isinstance(running.error, ValueError)
    assert ended == [running]


async def test_a_thread_that_does_not_end_is_named():
    release = threading.Event()
    async with Threads(0.05, lambda _: None) as threads:
        running = threads.start("stuck", lambda: release.wait(WAIT) and None, lambda: None)
        assert await threads.finish() == ("stuck",)
        release.set()
    running.join()


async def test_a_thread_may_end_after_its_loop_is_closed():
    release = threading.Event()
    started: list[RunningThread] = []

    async def lone() -> None:
        async with Threads(0.01, lambda _: None) as threads:
            started.append(threads.start("late", lambda: release.wait(WAIT) and None, lambda: None))

    await asyncio.get_running_loop().run_in_executor(None, lambda: asyncio.run(lone()))
    release.set()
    started[0].join()
    assert started[0].error is None


async def test_offload_returns_results_and_raises_errors():
    with WorkPool("work", 1) as pool:
        name = await pool.offload(lambda: threading.current_thread().name)
        assert name.startswith("work-")
        assert await pool.offload(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await pool.offload(divmod, 7, 0)


def test_closing_drops_queued_work_and_waits_for_running_work():
    begun, release = threading.Event(), threading.Event()

    def first() -> str:
        begun.set()
        assert release.wait(WAIT)
        return "done"

    with WorkPool("work", 1) as pool:
        running = pool.submit(first)
        queued = pool.submit(lambda: "never")
        assert begun.wait(WAIT)
        queued.add_done_callback(lambda _: release.set())
    assert running.result(WAIT) == "done"
    assert queued.cancelled()


async def test_an_abandoned_thread_is_not_waited_for():
    release = threading.Event()
    async with asyncio.timeout(WAIT / 2):
        async with Threads(WAIT, lambda _: None) as threads:
            running = threads.start("stuck", lambda: release.wait(WAIT) and None, lambda: None)
            threads.abandon("stuck")
            assert await threads.finish() == ("stuck",)
    release.set()
    running.join()


def test_closing_waits_no_longer_than_the_time_left(monkeypatch):
    release = threading.Event()
    waited = []
    monkeypatch.setattr(
        "concurrent.futures.wait", lambda running, timeout: waited.append((len(running), timeout))
    )
    with WorkPool("work", 1, lambda: 0.0) as pool:
        running = pool.submit(release.wait, WAIT)
    assert waited == [(1, 0.0)]
    assert pool.left
    assert work_left()
    release.set()
    assert running.result(WAIT)
    assert not work_left()

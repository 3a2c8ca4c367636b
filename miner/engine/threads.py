"""All threads of the miner: one for each device, and pools for blocking work."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from types import TracebackType
from typing import ParamSpec, Self, TypeVar

from miner.engine.loop_stalls import Activity

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS = 2.0
"""Time for which a closing pool waits for its running work."""

THREAD_PREFIX = "work-"
"""Start of the names of all our threads."""

IDLE_SECONDS = 0.5
"""A thread without work ends well within this time."""


class RunningThread:
    """A started thread; `error` is the exception of its body, once `done`."""

    def __init__(self, name: str, body: Callable[[], None], stop: Callable[[], None]) -> None:
        self.name = name
        self.stop = stop
        self.error: BaseException | None = None
        self.done = False
        self.abandoned = False
        """Whether the thread hangs, so that its end is not awaited."""
        self._body = body

    def start(self, ended: Callable[[], None]) -> None:
        """Start the thread; its last action is to call `ended`."""
        self._thread = threading.Thread(
            target=self._run, args=(ended,), name=THREAD_PREFIX + self.name, daemon=False
        )
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self, ended: Callable[[], None]) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 - raised again by the engine
            self.error = error
        finally:
            ended()


class Threads:
    """Threads of one event loop; leaving the block asks all of them to stop and waits at most
    `limit` seconds for all together. `on_end` is called on the loop."""

    def __init__(self, limit: float, on_end: Callable[[RunningThread], None]) -> None:
        self._limit = limit
        self._on_end = on_end
        self._running: list[RunningThread] = []

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.finish()

    @property
    def left(self) -> tuple[str, ...]:
        """Names of the threads that have not ended."""
        return tuple(thread.name for thread in self._running if not thread.done)

    def start(self, name: str, body: Callable[[], None], stop: Callable[[], None]) -> RunningThread:
        """Run `body` in a new thread; `stop`, called on the loop, asks it to end."""
        thread = RunningThread(name, body, stop)

        def ended() -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._note_end, thread)

        self._running.append(thread)
        thread.start(ended)
        return thread

    def abandon(self, name: str) -> None:
        """Do not wait for the thread `name`: it is known to be stuck."""
        for thread in self._running:
            if thread.name == name:
                thread.abandoned = True
        self._ended.set()

    async def finish(self) -> tuple[str, ...]:
        """Ask all to stop, wait up to the limit, return the names of those still running."""
        for thread in self._running:
            if not thread.done:
                thread.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limit):
                while any(not thread.done and not thread.abandoned for thread in self._running):
                    self._ended.clear()
                    await self._ended.wait()
        return self.left

    def _note_end(self, thread: RunningThread) -> None:
        thread.join()
        thread.done = True
        self._ended.set()
        self._on_end(thread)


class WorkPool:
    """Up to `size` threads for blocking work of the event loop and the devices' threads.

    Leaving the block drops queued work and waits for running work, at most `CLOSE_SECONDS` or
    the seconds that `time_left` then returns. `activity` records the work under `name`.
    """

    def __init__(
        self,
        name: str,
        size: int,
        time_left: Callable[[], float] = lambda: CLOSE_SECONDS,
        activity: Activity | None = None,
    ) -> None:
        self._name, self._activity = name, activity
        self._time_left = time_left
        self._pool = concurrent.futures.ThreadPoolExecutor(
            size, thread_name_prefix=THREAD_PREFIX + name
        )
        self._lock = threading.Lock()
        self._open: set[concurrent.futures.Future[object]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = tuple(self._open)
        concurrent.futures.wait(running, timeout=min(self._time_left(), CLOSE_SECONDS))

    @property
    def left(self) -> bool:
        """Whether work is running or queued."""
        with self._lock:
            return bool(self._open)

    def submit(
        self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Queue `func`; any thread may call this."""

        def run() -> T:
            with self._activity.of(self._name) if self._activity else nullcontext():
                return func(*args, **kwargs)

        future = self._pool.submit(run)
        with self._lock:
            self._open.add(future)  # type: ignore[arg-type]
        future.add_done_callback(self._forget)
        return future

    async def offload(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `func` in the pool; return its result or raise its exception."""
        return await asyncio.wrap_future(self.submit(func, *args, **kwargs))

    def _forget(self, future: concurrent.futures.Future[T]) -> None:
        with self._lock:
            self._open.discard(future)


def work_left() -> bool:
    """Return whether a thread still runs, such as a compiler that takes minutes or a device that
    waits for it.

    The interpreter waits for such threads when it exits.
    """
    for thread in threading.enumerate():
        if thread.name.startswith(THREAD_PREFIX):
            thread.join(IDLE_SECONDS)
            if thread.is_alive():
                return True
    return False

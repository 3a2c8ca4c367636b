"""The only place where threads start."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import ClassVar, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CLOSE_SECONDS = 2.0
"""How long a closing pool waits for what is running in it."""


class Running:
    """A started thread; `error` is what its body raised, once `done`."""

    def __init__(self, name: str, body: Callable[[], None], stop: Callable[[], None]) -> None:
        self.name = name
        self.stop = stop
        self.error: BaseException | None = None
        self.done = False
        self.forsaken = False
        """Nobody waits for it any more."""
        self._body = body

    def start(self, ended: Callable[[], None]) -> None:
        """Start it; `ended` is called in the thread itself, last of all."""
        self._thread = threading.Thread(
            target=self._run, args=(ended,), name=self.name, daemon=False
        )
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _run(self, ended: Callable[[], None]) -> None:
        try:
            self._body()
        except BaseException as error:  # noqa: BLE001 - it is carried to whoever waits
            self.error = error
        finally:
            ended()


class Threads:
    """Threads of one event loop, all asked to stop and waited for when the block is left.

    The wait is bounded by `limit` seconds for all of them together.
    """

    def __init__(self, limit: float, on_end: Callable[[Running], None]) -> None:
        self._limit = limit
        self._on_end = on_end
        self._running: list[Running] = []

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

    def start(self, name: str, body: Callable[[], None], stop: Callable[[], None]) -> Running:
        """Run `body` in a thread of its own; `stop`, called from the loop, asks it to end."""
        thread = Running(name, body, stop)

        def ended() -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._note_end, thread)

        self._running.append(thread)
        thread.start(ended)
        return thread

    def forsake(self, name: str) -> None:
        """Wait for the thread `name` no more: it is known to be stuck."""
        for thread in self._running:
            if thread.name == name:
                thread.forsaken = True
        self._ended.set()

    async def finish(self) -> tuple[str, ...]:
        """Ask all to stop, wait at most the limit, return the names that did not come back."""
        for thread in self._running:
            if not thread.done:
                thread.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limit):
                while any(not thread.done and not thread.forsaken for thread in self._running):
                    self._ended.clear()
                    await self._ended.wait()
        return self.left

    def _note_end(self, thread: Running) -> None:
        thread.join()
        thread.done = True
        self._ended.set()
        self._on_end(thread)


class WorkPool:
    """At most `size` threads for work that a device's thread or the event loop must not do.

    Leaving the block drops what is queued and waits for what runs, up to `CLOSE_SECONDS` or to
    the seconds that `patience` names then. What runs on is `abandoned`; the interpreter would
    wait for it at its end.
    """

    _closed: ClassVar[list[WorkPool]] = []

    def __init__(
        self, name: str, size: int, patience: Callable[[], float] = lambda: CLOSE_SECONDS
    ) -> None:
        self._patience = patience
        self._pool = concurrent.futures.ThreadPoolExecutor(size, thread_name_prefix=name)
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
        concurrent.futures.wait(running, timeout=min(self._patience(), CLOSE_SECONDS))
        self._closed[:] = [pool for pool in (*self._closed, self) if pool.left]

    @classmethod
    def abandoned(cls) -> bool:
        """Return whether something still runs in a pool that was left, as a compiler does that
        takes minutes."""
        return any(pool.left for pool in cls._closed)

    @property
    def left(self) -> bool:
        """Whether something still runs in it."""
        with self._lock:
            return bool(self._open)

    def submit(
        self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> concurrent.futures.Future[T]:
        """Have `func` run soon; any thread may ask."""
        future = self._pool.submit(func, *args, **kwargs)
        with self._lock:
            self._open.add(future)  # type: ignore[arg-type]
        future.add_done_callback(self._forget)
        return future

    async def offload(self, func: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `func` returns or raise what it raises, off the event loop."""
        return await asyncio.wrap_future(self.submit(func, *args, **kwargs))

    def _forget(self, future: concurrent.futures.Future[T]) -> None:
        with self._lock:
            self._open.discard(future)

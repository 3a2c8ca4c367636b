"""What the process does when it is told to stop or to read its settings again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

STOPPED_AT_ONCE = 130

_STOPS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def signals(
    stop: Callable[[], None],
    write: Callable[[str], None],
    reload: Callable[[], None] | None = None,
) -> Iterator[None]:
    """First SIGINT or SIGTERM: `stop`; the second: the process ends at once with 130. SIGHUP,
    where there is one: `reload`."""
    seen: list[int] = []

    def received(number: int) -> None:
        if seen:
            os._exit(STOPPED_AT_ONCE)
        seen.append(number)
        write("stopping: what was found is submitted; once more stops at once")
        stop()

    handlers: dict[int, Callable[[], None]] = {
        number: lambda n=number: received(n)  # type: ignore[misc]
        for number in _STOPS
    }
    if reload is not None and hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = reload
    undo = [_handle(number, handler) for number, handler in handlers.items()]
    try:
        yield
    finally:
        for back in undo:
            back()


@contextmanager
def handled(name: str, handler: Any) -> Iterator[None]:
    """Have `handler`, as `signal.signal` takes it, deal with the signal `name`, outside of
    `signals`. Nothing changes where there is no such signal, or in a thread, which gets none."""
    number = getattr(signal, name, None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _handle(number: int, handler: Callable[[], None]) -> Callable[[], Any]:
    """Have `handler` called on the running loop; return what gives the signal back to whoever
    had it before."""
    import asyncio  # takes long, and most commands need none

    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    try:
        loop.add_signal_handler(number, handler)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))
        return lambda: signal.signal(number, before)

    def undo() -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before)

    return undo

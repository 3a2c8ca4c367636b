"""What the process does when it is told to stop or to read its settings again."""

from __future__ import annotations

import asyncio
import os
import signal
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


def _handle(number: int, handler: Callable[[], None]) -> Callable[[], Any]:
    """Have `handler` called on the running loop; return what ends that."""
    loop = asyncio.get_running_loop()
    try:
        loop.add_signal_handler(number, handler)
    except NotImplementedError:  # Windows
        before = signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))
        return lambda: signal.signal(number, before)
    return lambda: loop.remove_signal_handler(number)

"""What the process does when it is told to stop or to read its settings again, or is left alone."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

STOPPED_AT_ONCE = 130

_STOPS = (signal.SIGINT, signal.SIGTERM)
_STREAMS = (0, 1, 2)


@contextmanager
def signals(
    stop: Callable[[], None],
    write: Callable[[str], None],
    reload: Callable[[], None] | None = None,
) -> Iterator[None]:
    """First SIGINT or SIGTERM: `stop`; the second: the process ends at once with 130.

    SIGHUP, where there is one: `reload`, unless it tells that the terminal was closed in which
    the process was started: then that is the first signal. While it stops, SIGHUP is nothing: a
    closed terminal tells it twice.
    """
    stopping = False

    def received() -> None:
        nonlocal stopping
        if stopping:
            os._exit(STOPPED_AT_ONCE)
        stopping = True
        write("stopping: what was found is submitted; once more stops at once")
        stop()

    def hung_up() -> None:
        if stopping or reload is None:
            return
        if terminal is not None and _is_gone(terminal):
            _let_go()
            received()
        else:
            reload()

    terminal = _terminal()
    handlers = dict.fromkeys(_STOPS, received)
    if reload is not None and hasattr(signal, "SIGHUP"):
        handlers[signal.SIGHUP] = hung_up
    undo = [_handle(number, handler) for number, handler in handlers.items()]
    try:
        yield
    finally:
        for back in undo:
            back()
        if terminal is not None:
            os.close(terminal)


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


def _terminal() -> int | None:
    """Return a descriptor of its own for the terminal that controls this process and that one of
    its streams is; None where there is none, as in a service or under `nohup`."""
    for stream in _STREAMS:
        if hasattr(os, "tcgetpgrp"):
            with suppress(OSError):
                os.tcgetpgrp(stream)  # fails for what is not the controlling terminal
                return os.dup(stream)
    return None


def _is_gone(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def _let_go() -> None:
    """Have the streams that were a closed terminal lead nowhere: writing would only fail."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in _STREAMS:
        if _is_gone(stream):
            os.dup2(nowhere, stream)
    os.close(nowhere)


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

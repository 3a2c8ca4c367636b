"""Signals that stop the process or reload its settings."""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any

STOPPED_AT_ONCE = 130

_STOPS = [
    number
    for number in signal.Signals
    if number.name in ("SIGINT", "SIGTERM", "SIGQUIT", "SIGPWR", "SIGXCPU")
]
_STRAY = [
    number
    for number in signal.Signals
    if number.name in ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO")
]
"""Signals without a meaning here, which would end the process and lose the shares in flight."""

_STREAMS = (0, 1, 2)


@contextmanager
def signals(
    stop: Callable[[], None], write: Callable[[str], None], reload: Callable[[], None] | None = None
) -> Iterator[None]:
    """Call `stop` at the first SIGINT, SIGTERM, SIGQUIT, SIGPWR or SIGXCPU; exit with code 130 at
    the second.

    SIGHUP calls `reload`, unless the controlling terminal is gone; then it counts as the first
    stop signal. It is ignored while stopping, since a closed terminal sends it twice. Signals
    without a meaning, such as SIGUSR1, are reported once each.
    """
    stopping = False
    reported: set[signal.Signals] = set()

    def received() -> None:
        nonlocal stopping
        if stopping:
            os._exit(STOPPED_AT_ONCE)
        stopping = True
        write("stopping: shares found are submitted; another signal stops at once")
        stop()

    def hung_up() -> None:
        if stopping or reload is None:
            return
        if terminal is not None and _is_gone(terminal):
            _redirect_closed_streams()
            received()
        else:
            reload()

    def strayed(number: signal.Signals) -> None:
        if number not in reported:
            reported.add(number)
            write(f"{number.name} is ignored; SIGTERM stops in order")

    terminal = _terminal()
    handlers: dict[signal.Signals, Callable[[], None]] = dict.fromkeys(_STOPS, received)
    for number in _STRAY:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.SIG_IGN):
            handlers[number] = partial(strayed, number)
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
    """Handle the signal `name` by `handler`, which `signal.signal` accepts, outside of `signals`.

    Does nothing on systems without that signal, outside the main thread, and for a signal that is
    ignored, as under `nohup`, or has a handler that is not Python's, as a profiler's.
    """
    number = getattr(signal, name, None)
    is_main = threading.current_thread() is threading.main_thread()
    if number is None or not is_main or signal.getsignal(number) in (signal.SIG_IGN, None):
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def stray_ignored() -> Iterator[None]:
    """Ignore signals without a meaning, unless they are handled, outside of `signals`."""
    with ExitStack() as stack:
        for number in _STRAY:
            if signal.getsignal(number) is signal.SIG_DFL:
                stack.enter_context(handled(number.name, signal.SIG_IGN))
        yield


def _terminal() -> int | None:
    """Return a duplicate descriptor of the controlling terminal, if a standard stream is open on
    it; None in a service or under `nohup`."""
    for stream in _STREAMS:
        if hasattr(os, "tcgetpgrp"):
            with suppress(OSError):
                os.tcgetpgrp(stream)  # fails unless it is the controlling terminal
                return os.dup(stream)
    return None


def _is_gone(terminal: int) -> bool:
    try:
        os.tcgetpgrp(terminal)
    except OSError as error:
        return error.errno == errno.EIO
    return False


def _redirect_closed_streams() -> None:
    for stream in _STREAMS:
        if _is_gone(stream):
            redirect_to_null(stream)


def redirect_to_null(descriptor: int) -> None:
    """Redirect a stream that has lost its terminal or reader, since using it fails."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _handle(number: int, handler: Callable[[], None]) -> Callable[[], Any]:
    """Call `handler` on the running loop; return a function that restores the previous one."""
    import asyncio  # imported late: it is slow, and most commands do without it

    loop = asyncio.get_running_loop()
    before = signal.getsignal(number)
    if hasattr(signal, "pthread_sigmask"):  # some programs start others with signals blocked
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    try:
        loop.add_signal_handler(number, handler)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(handler))
        return lambda: signal.signal(number, before)

    def undo() -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before)

    return undo

"""Release of an OpenCL driver's objects, in turns with its builds."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class Kept:
    """Owns one driver object; when the owner is dropped, the object goes to the release list."""

    __slots__ = ("_objects", "object")

    def __init__(self, objects: DriverObjects, item: Any) -> None:
        self._objects, self.object = objects, item

    def __del__(self) -> None:
        self._objects.retire(self.object)


class DriverObjects:
    """The release list of a driver, emptied only while none of its builds runs; any thread may
    call it.

    PyOpenCL releases an object in its destructor, which holds the interpreter's lock. Intel's
    driver lets the release of a program wait for the build of another one. So a destructor that
    runs during a build, at a time that the garbage collector chooses, would stop all threads of
    the process.
    """

    def __init__(self) -> None:
        self._retired: deque[Any] = deque()
        self._turn = threading.Condition()
        self._builds = 0
        self._waiting = 0
        """Threads that wait in `alone`, or are in its block; no build starts before they end."""

    def keep(self, item: Any) -> Kept:
        """Return the owner of the driver object `item`; nothing else should refer to it."""
        return Kept(self, item)

    def retire(self, *items: Any) -> None:
        """Put `items` on the release list. Takes no lock, since destructors call it."""
        self._retired.extend(items)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Enclose a build; builds run side by side. The last one that ends empties the list."""
        with self._turn:
            self._turn.wait_for(lambda: not self._waiting)
            self._builds += 1
        try:
            yield
        finally:
            with self._turn:
                self._builds -= 1
                self._empty_if_idle()
                self._turn.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for the running builds, empty the list, and start no build during the block."""
        with self._turn:
            self._waiting += 1
            try:
                self._turn.wait_for(lambda: not self._builds)
                self._empty_if_idle()
                yield
            finally:
                self._waiting -= 1
                self._turn.notify_all()

    def release_if_idle(self) -> None:
        """Empty the list, unless a build runs: then its end does so."""
        with self._turn:
            self._empty_if_idle()

    def _empty_if_idle(self) -> None:
        if self._builds:
            return
        while self._retired:
            self._retired.popleft()


@cache
def driver_objects() -> DriverObjects:
    """Return the release list of this process: drivers have one compiler for all devices."""
    return DriverObjects()

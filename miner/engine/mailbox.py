"""The one-slot mailbox of a device's thread: an unread older job is gone, which is right."""

from __future__ import annotations

import threading
from collections.abc import Callable

from miner.work import Job


class Mailbox:
    """Holds the newest job; any thread may put, look or wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._job: Job | None = None
        self._stopping = False

    @property
    def job(self) -> Job | None:
        """The newest job; None: the device rests."""
        return self._job

    @property
    def stopping(self) -> bool:
        return self._stopping

    def put(self, job: Job | None) -> None:
        with self._changed:
            self._job = job
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask the reader to end; it is never taken back."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def poke(self) -> None:
        """Have everyone who waits look at his condition again."""
        with self._changed:
            self._changed.notify_all()

    def next_job(self) -> Job | None:
        """Wait for a job and return it; None: stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or self._job is not None)
            return None if self._stopping else self._job

    def wait(self, until: Callable[[], bool], seconds: float | None = None) -> None:
        """Return when `until()` holds, when a stop is asked for, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or until(), seconds)

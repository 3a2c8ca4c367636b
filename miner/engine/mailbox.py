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
        self._arrived = 0.0
        self._paused = False
        self._stopping = False

    @property
    def job(self) -> Job | None:
        """The newest job; None: the device rests."""
        return self._job

    @property
    def arrived(self) -> float:
        """Clock seconds at which the newest job came, or could first be worked on."""
        return self._arrived

    def workable(self, now: float) -> None:
        """Note that until now the newest job could not have been worked on."""
        with self._changed:
            self._arrived = max(self._arrived, now)

    @property
    def paused(self) -> bool:
        """The reader is to leave its device alone, whatever the job."""
        return self._paused

    @property
    def stopping(self) -> bool:
        return self._stopping

    def put(self, job: Job | None, now: float = 0.0) -> None:
        with self._changed:
            self._job, self._arrived = job, now
            self._changed.notify_all()

    def pause(self, paused: bool) -> None:
        """Have the reader stop or go on."""
        with self._changed:
            self._paused = paused
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
        """Wait for a job, and for the end of a pause, and return it; None: stop."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or (self._job is not None and not self._paused)
            )
            return None if self._stopping else self._job

    def wait(self, until: Callable[[], bool], seconds: float | None = None) -> None:
        """Return when `until()` holds, when a stop is asked for, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or until(), seconds)

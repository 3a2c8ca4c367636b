"""The newest job of a device, its remaining nonces, and the staleness of jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Protocol

from cachetools import LRUCache

from miner.work import Job, NonceRange, NonceSpace, SearchKey


class StoppableLaunch(Protocol):
    """A launch that searches for `job`."""

    @property
    def job(self) -> Job: ...

    def stop(self) -> None:
        """End it early; never blocks."""


class JobSlot:
    """Holds the newest job, pause and stop requests of one device, and the launches in flight.

    The device's thread reads and waits, other threads write.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._launches: list[StoppableLaunch] = []
        self._job: Job | None = None
        self._arrived = 0.0
        self._paused = False
        self._stopping = False

    @property
    def job(self) -> Job | None:
        """The newest job; None: there is nothing to mine."""
        return self._job

    @property
    def arrived(self) -> float:
        """Clock seconds at which the newest job arrived, or later became workable."""
        return self._arrived

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def stopping(self) -> bool:
        return self._stopping

    def put(self, job: Job | None, now: float = 0.0) -> None:
        """Make `job` the newest one, and stop the launches whose work it makes worthless."""
        with self._changed:
            self._job, self._arrived = job, now
            for launch in self._launches:
                self._stop_if_worthless(launch)
            self._changed.notify_all()

    def add_launch(self, launch: StoppableLaunch) -> None:
        """Stop `launch` as soon as its work is worthless, until it is removed."""
        with self._changed:
            self._launches.append(launch)
            self._stop_if_worthless(launch)

    def remove_launch(self, launch: StoppableLaunch) -> None:
        with self._changed:
            self._launches.remove(launch)

    def forget_launches(self) -> None:
        """Remove all launches: the device may be closed now."""
        with self._changed:
            self._launches.clear()

    def _stop_if_worthless(self, launch: StoppableLaunch) -> None:
        newest = None if self._stopping else self._job
        if newest is not None and makes_worthless(newest, launch.job):
            launch.stop()

    def mark_workable(self, now: float) -> None:
        """Record that the device could not work on the newest job before clock second `now`."""
        with self._changed:
            self._arrived = max(self._arrived, now)

    def pause(self, paused: bool) -> None:
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def stop(self) -> None:
        """Request a stop; this is final."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Have every `wait` check its condition again."""
        with self._changed:
            self._changed.notify_all()

    def next_job(self) -> Job | None:
        """Wait until there is a job and no pause, and return the job; None: stop."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._stopping or (self._job is not None and not self._paused)
            )
            return None if self._stopping else self._job

    def wait(self, until: Callable[[], bool], seconds: float | None = None) -> None:
        """Return when `until()` is true, a stop is requested, or `seconds` have passed."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopping or until(), seconds)


def makes_worthless(newest: Job, job: Job) -> bool:
    """Return whether `newest` makes work on `job` worthless, as the pool that sent both declares.

    Solutions found before are still sent (see `Staleness`), but the search ends: the nonces of
    `newest` are as likely to hit. Work for another session is paid by another pool or connection,
    and jobs with an equal `search_key` share their work.
    """
    return newest.clean and newest.session == job.session and newest.search_key != job.search_key


REMEMBERED = 8
"""Searches whose progress is kept: a pool that alternates between jobs repeats no nonce."""


@dataclass(slots=True)
class _Slice:
    """One device's part of a search: it covers [start, size), then [0, start)."""

    first: int
    """Nonce at offset 0."""
    start: int
    cursor: int
    end: int
    wrapped: bool = False

    def take(self, count: int, granule: int) -> NonceRange | None:
        while True:
            left = (self.end - self.cursor) // granule * granule
            if left:
                count = min(max(count // granule, 1) * granule, left)
                span = NonceRange(self.first + self.cursor, count)
                self.cursor += count
                return span
            if self.wrapped:
                return None
            self.wrapped, self.cursor, self.end = True, 0, self.start


class NonceAllocator:
    """Hands out ranges of a job's nonces to `devices` devices; any thread may call it.

    The free bits are split by their top bits into a power of two of equal slices, one for each
    device. Jobs with an equal `search_key` continue the same search.
    """

    def __init__(self, devices: int, random: Random) -> None:
        self._device_bits = max(devices - 1, 0).bit_length()
        self._random = random
        self._searches: LRUCache[SearchKey, dict[int, _Slice]] = LRUCache(REMEMBERED)
        self._newest: tuple[SearchKey | None, dict[int, _Slice]] = None, {}
        """The search of the last call; most calls continue it."""
        self._lock = threading.Lock()

    def take(self, job: Job, device: int, count: int, granule: int = 1) -> NonceRange | None:
        """Return the next range of device number `device` (from 0); None: its slice is used up.

        The range holds at most `count` nonces, rounded down to a multiple of `granule`, at least
        one granule. A remainder of the slice smaller than a granule is not searched.
        """
        with self._lock:
            key, slices = self._newest
            if key != (wanted := job.search_key):
                slices = self._searches.setdefault(wanted, {})
                self._newest = wanted, slices
            if device not in slices:
                slices[device] = self._slice(job.nonces, device, granule)
            return slices[device].take(count, granule)

    def _slice(self, space: NonceSpace, device: int, granule: int) -> _Slice:
        bits = max(space.free_bits - self._device_bits, 0)
        size = 1 << bits
        if (device + 1) << bits > space.size:
            return _Slice(space.first, 0, 0, 0, wrapped=True)
        first = space.first + (device << bits)
        start = self._random.randrange(max(size // granule, 1)) * granule
        return _Slice(first, start, start, size)


GRACE_SECONDS = 2.0
"""Time after a clean job of a greater height in which solutions of older jobs are still sent."""


class Staleness:
    """Compares jobs with the newest one; heights are compared only within one session."""

    def __init__(self) -> None:
        self._newest: Job | None = None
        self._clean: Job | None = None
        self._clean_since = 0.0

    def update(self, job: Job | None, now: float) -> None:
        """Make `job` the newest at clock second `now`; None: there is nothing to mine."""
        self._newest = job
        if job is None or not job.clean:
            return
        known = self._clean
        if known is None or (known.session, known.height) != (job.session, job.height):
            self._clean_since = now
        self._clean = job

    def is_stale(self, job: Job, now: float) -> bool:
        """Return whether a solution of `job` is too old to be sent at clock second `now`.

        Without a newest job, or when that belongs to another session, no solution is stale: the
        pool client decides about it.
        """
        newest, clean = self._newest, self._clean
        if newest is None or newest.session != job.session or job.height >= newest.height:
            return False
        if clean is None or clean.session != job.session or job.height >= clean.height:
            return False
        return now - self._clean_since > GRACE_SECONDS

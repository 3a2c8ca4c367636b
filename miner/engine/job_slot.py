"""The job of a device, and the nonces that are left of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from miner.work import Job, NonceRange, NonceSpace


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


SearchKey = tuple[int, bytes, int, NonceSpace]

REMEMBERED = 8
"""Searches whose progress is kept, so that a pool going back and forth repeats nothing."""


@dataclass(slots=True)
class _Share:
    """One device's part of a search: it walks [start, size), then [0, start), then rests."""

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


@dataclass(slots=True)
class _Search:
    shares: dict[int, _Share] = field(default_factory=dict)


class NonceAllocator:
    """Hands out ranges of a job's nonces to `devices` devices; any thread may ask.

    The free part is split by its top bits into a power of two of equal shares. Jobs with an
    equal `search_key` are one search: it goes on where it was.
    """

    def __init__(self, devices: int, random: Random, remembered: int = REMEMBERED) -> None:
        self._share_bits = max(devices - 1, 0).bit_length()
        self._random = random
        self._remembered = remembered
        self._searches: OrderedDict[SearchKey, _Search] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, job: Job, device: int, count: int, granule: int = 1) -> NonceRange | None:
        """Return the next range of device number `device` (from 0), or None when its share is
        used up.

        The range holds at most `count` nonces, rounded down to a multiple of `granule` but at
        least one granule; a tail of the share smaller than that is left unsearched.
        """
        with self._lock:
            search = self._search(job.search_key)
            share = search.shares.get(device)
            if share is None:
                share = self._share(job.nonces, device, granule)
                search.shares[device] = share
            return share.take(count, granule)

    def _search(self, key: SearchKey) -> _Search:
        search = self._searches.setdefault(key, _Search())
        self._searches.move_to_end(key)
        while len(self._searches) > self._remembered:
            self._searches.popitem(last=False)
        return search

    def _share(self, space: NonceSpace, device: int, granule: int) -> _Share:
        bits = max(space.free_bits - self._share_bits, 0)
        size = 1 << bits
        if (device + 1) << bits > space.size:
            return _Share(space.first, 0, 0, 0, wrapped=True)
        first = space.first + (device << bits)
        start = self._random.randrange(max(size // granule, 1)) * granule
        return _Share(first, start, start, size)

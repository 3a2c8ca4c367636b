"""Judges whether the height of a job is worth a dataset (DAG), before one is built for it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cachetools import LRUCache

from miner.catalog import Coin
from miner.clock import Clock
from miner.net.address import is_local
from miner.work import Job

FAR_EPOCHS = 50
"""A job this many epochs from all other jobs of its pool needs a second one to confirm it."""

UNREPLACED_SECONDS = 30.0
"""A job that the pool does not replace for this long needs no confirmation."""

FREE_INTERRUPTIONS = 3
"""Datasets in a row that jobs of other epochs may interrupt before a new epoch needs a second
job."""

_YEAR = 365.25 * 86400
_MOST_POOLS, _MOST_EPOCHS = 16, 64


@dataclass(frozen=True, slots=True)
class HeightDoubt:
    """Reason why no dataset is built for a job."""

    reason: str
    seconds: float | None
    """Most seconds for which the job is skipped; None: until another job comes."""
    known: bool = False
    """Whether the same doubt was raised before."""


@dataclass(slots=True)
class _PoolHeights:
    epochs: LRUCache[int, bool] = field(default_factory=lambda: LRUCache(_MOST_EPOCHS))
    """Epochs of the pool's jobs."""
    unconfirmed: Job | None = None
    """The newest job that is far from all of them."""
    since: float = 0.0
    """Clock seconds at which it arrived."""


class HeightJudge:
    """Compares the height of a job with those of the pool's other jobs, and with the chain of
    `coin` if its file has a reference; any thread may call it.

    A height is too far ahead if a chain twice as fast as its reference would still need a year to
    reach it. Pools of the local network are not judged: a test pool may have any height.
    """

    def __init__(self, clock: Clock, coin: Coin | None = None) -> None:
        self._clock, self._coin = clock, coin
        self._pools: LRUCache[str, _PoolHeights] = LRUCache(_MOST_POOLS)
        self._lock = threading.Lock()

    def note(self, job: Job) -> None:
        """Remember a new job of a pool."""
        number = job.epoch.number
        with self._lock:
            pool = self._pools.setdefault(job.pool, _PoolHeights())
            other = pool.unconfirmed
            if not pool.epochs or _is_near(number, pool.epochs):
                pool.epochs[number] = True
            elif other is None or not _is_near(number, [other.epoch.number]):
                pool.unconfirmed, pool.since = job, self._clock.now()
            elif job.header_hash != other.header_hash:
                pool.epochs[number] = True

    def doubt(self, job: Job) -> HeightDoubt | None:
        """Return why no dataset is built for `job`; None: its height is plausible."""
        if is_local(urlsplit(job.pool).hostname or ""):
            return None
        years = self._years_ahead(job.height)
        if years is not None and self._coin is not None:
            return HeightDoubt(
                f"height {job.height} is {years:.0f} years ahead of {self._coin.name}'s chain; "
                "check pool and coin",
                None,
            )
        with self._lock:
            pool = self._pools.get(job.pool)
            if pool is None or not pool.epochs or _is_near(job.epoch.number, pool.epochs):
                return None
            left = pool.since + UNREPLACED_SECONDS - self._clock.now()
            nearest = min(abs(job.epoch.number - epoch) for epoch in pool.epochs)
        if left <= 0:
            return None
        return HeightDoubt(
            f"height {job.height} is {nearest} epochs from the pool's other jobs; mined once a "
            "second job confirms it",
            left,
        )

    def _years_ahead(self, height: int) -> float | None:
        """Return how far `height` is ahead of the chain, if that is implausibly far."""
        chain = self._coin.chain if self._coin is not None else None
        if chain is None:
            return None
        passed = self._clock.wall() - chain.time
        if passed < 0:  # the clock of this machine is wrong
            return None
        ahead = (height - chain.height) * chain.block_seconds - passed
        return ahead / _YEAR if ahead > passed + _YEAR else None


class EpochInterruptions:
    """Makes new epochs wait for a second job, once jobs of other epochs have interrupted several
    datasets of a device in a row. Otherwise a pool that names another epoch with each job would
    keep the device building.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._interrupted = 0
        """Datasets in a row that were not completed."""
        self._first: Job | None = None
        """The first job of the newest epoch, once too many datasets were interrupted."""
        self._since = 0.0
        """Clock seconds at which it was first doubted."""

    def note_build(self, *, complete: bool) -> None:
        """Remember whether a dataset was completed."""
        self._interrupted = 0 if complete else self._interrupted + 1
        self._first = None

    def doubt(self, job: Job) -> HeightDoubt | None:
        """Return why no dataset is built for `job` yet; None: its epoch may last."""
        if self._interrupted < FREE_INTERRUPTIONS:
            return None
        first, now = self._first, self._clock.now()
        if first is None or first.epoch != job.epoch:
            self._first, self._since = job, now
        elif first.header_hash != job.header_hash:
            return None
        left = self._since + UNREPLACED_SECONDS - now
        if left <= 0:
            return None
        return HeightDoubt(
            f"the pool named other epochs before any of the last {self._interrupted} datasets "
            "(DAGs) was complete; a new one is built once a second job confirms its epoch, or "
            f"after {UNREPLACED_SECONDS:.0f} s; check the pool",
            left,
            known=first is not None,
        )


def _is_near(number: int, epochs: Iterable[int]) -> bool:
    return any(abs(number - epoch) <= FAR_EPOCHS for epoch in epochs)

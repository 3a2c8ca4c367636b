"""Hashes on the CPU, and the light caches that they need."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from miner.cached_files import delete_abandoned, delete_oldest, read_checked, write_checked
from miner.catalog import find_variant, variants
from miner.errors import BadValue, BadVariant, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest, Hasher, Light, input_words
from miner.progpow.light import build_light_cache, dataset_nodes, light_cache
from miner.progpow.variant import Variant
from miner.resources import available_memory, cache_directory
from miner.work import Job

KEPT_IN_MEMORY = 2
"""Light caches: the current epoch's and one neighbour's."""

UNUSED_SECONDS = 3600.0
"""Others stay in memory for this long after their last use, for a pool that alternates."""

MEMORY_BYTES = 512 << 20
"""Limit for the light caches kept in memory, unless the newest alone is larger."""

LARGEST_LIGHT_CACHE = 1 << 30
"""Bytes; a dataset is 64 times as large. The largest of a coin in 2026 takes about 160 MiB."""

DISK_BYTES = 640 << 20
"""Limit for light caches on disk, up to 160 MiB each; the least recently used are deleted."""

KEPT_HASHERS = 16

MOST_MARKS = 100
"""Variant files whose known answers were right that are remembered, the newest ones."""


class Interrupted(Exception):
    """A light cache was not built because its watcher asked to stop."""


class LightCacheWatcher(Protocol):
    """Follows the loading or building of a light cache, in the thread that does it."""

    def should_stop(self) -> bool:
        """Whether the light cache is no longer needed."""

    def on_progress(self, epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        """Receive progress: `done` from 0 to 1 (1 once, when ready) after `seconds`."""


class Unwatched:
    """A watcher that never asks to stop."""

    def should_stop(self) -> bool:
        return False

    def on_progress(self, epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        pass


class Verifier:
    """Hashes nonces on the CPU; any thread may call it.

    A light cache is built once, by the first thread that needs it, while the others wait.
    """

    def __init__(self, *, disk: bool = True, now: Callable[[], float] = time.monotonic) -> None:
        self._disk, self._now = disk, now
        self._lights: OrderedDict[Epoch, tuple[Light, float]] = OrderedDict()
        """Light caches with the time of their last use, the least recently used first."""
        self._hashers: LRUCache[tuple[str, int, Epoch], Hasher] = LRUCache(KEPT_HASHERS)
        self._lock = threading.Lock()
        self._building = threading.Lock()

    def light(self, epoch: Epoch, watcher: LightCacheWatcher | None = None) -> Light:
        """Return the light cache of `epoch`; building it takes seconds.

        Raises `Interrupted` within half a second after `watcher.should_stop()` becomes true.
        """
        watcher = watcher or Unwatched()
        if (kept := self._kept(epoch)) is not None:
            return kept
        while not self._building.acquire(timeout=0.1):
            if watcher.should_stop():
                raise Interrupted
        try:
            if (kept := self._kept(epoch)) is not None:
                return kept
            light = self._load_or_build(epoch, watcher)
            with self._lock:
                self._keep(light)
            return light
        finally:
            self._building.release()

    def light_cache(
        self, epoch: Epoch, watcher: LightCacheWatcher | None = None
    ) -> NDArray[np.uint32]:
        """Return the light cache of `epoch`, shape (light_items, 16).

        Raises as `light` does. Before it allocates memory it raises `BadValue` for a light cache
        larger than `LARGEST_LIGHT_CACHE`, and `OutOfMemory` for one that this machine has no memory
        for.
        """
        if epoch.light_bytes > LARGEST_LIGHT_CACHE:
            raise BadValue(
                "height",
                f"its light cache would have {epoch.light_bytes:,} bytes, the limit is "
                f"{LARGEST_LIGHT_CACHE:,}",
            )
        with self._lock:
            needed = 0 if epoch in self._lights else epoch.light_bytes
        free = available_memory() if needed else None
        if free is not None and needed > free:
            raise OutOfMemory(
                f"the light cache of epoch {epoch.number} needs {needed:,} bytes of this machine's "
                f"memory, {free:,} are available; close other programs, or mine another coin"
            )
        return self.light(epoch, watcher).cache

    def dataset_nodes(
        self, epoch: Epoch, light: NDArray[np.uint32], first: int, count: int
    ) -> NDArray[np.uint32]:
        """Return `count` dataset nodes (64-byte items) from `first`, shape (count, 16)."""
        return dataset_nodes(epoch, light, first, count)

    def _kept(self, epoch: Epoch) -> Light | None:
        with self._lock:
            if epoch not in self._lights:
                return None
            light, _ = self._lights[epoch]
            self._lights[epoch] = light, self._now()
            self._lights.move_to_end(epoch)
            return light

    def _keep(self, light: Light) -> None:
        self._lights[light.epoch] = light, self._now()
        while len(self._lights) > 1 and (self._bytes_kept() > MEMORY_BYTES or self._has_unused()):
            self._lights.popitem(last=False)
        for key, hasher in list(self._hashers.items()):
            if hasher.light.epoch not in self._lights:
                del self._hashers[key]

    def _bytes_kept(self) -> int:
        return sum(epoch.light_bytes for epoch in self._lights)

    def _has_unused(self) -> bool:
        _, used_at = next(iter(self._lights.values()))
        return len(self._lights) > KEPT_IN_MEMORY and self._now() - used_at > UNUSED_SECONDS

    def hasher(self, variant: Variant, height: int, epoch: Epoch) -> Hasher:
        """Return the hasher of `variant` at `height` on `epoch`."""
        key = (variant.name, variant.period_at(height), epoch)
        light = self.light(epoch)
        with self._lock:
            kept = self._hashers.get(key)
            # A user's own variant may have the name of a shipped one.
            if kept is None or kept.light is not light or kept.variant != variant:
                kept = Hasher(variant, key[1], light)
                if epoch in self._lights:
                    self._hashers[key] = kept
        return kept

    def hash(
        self, variant: Variant, height: int, epoch: Epoch, header_hash: bytes, nonce: int
    ) -> Digest:
        """Return the digest of `nonce`; raises `BadValue` as `Hasher.hash` does."""
        input_words(header_hash, nonce)  # before a light cache is built
        return self.hasher(variant, height, epoch).hash(header_hash, nonce)

    def digest(self, job: Job, nonce: int) -> Digest:
        """Return the digest of `nonce` for `job`."""
        return self.hash(job.variant, job.height, job.epoch, job.header_hash, nonce)

    def _load_or_build(self, epoch: Epoch, watcher: LightCacheWatcher) -> Light:
        begun = time.monotonic()
        if self._disk:
            delete_abandoned(_light_directory())
        cache = load_light_cache(epoch) if self._disk else None
        if cache is not None:
            light = Light.of(epoch, cache)
            watcher.on_progress(epoch, 1.0, time.monotonic() - begun, True)
            return light
        cache = np.empty((epoch.light_items, 16), np.uint32)
        for done in build_light_cache(epoch, cache):
            if watcher.should_stop():
                raise Interrupted
            if done < 1.0:
                watcher.on_progress(epoch, done, time.monotonic() - begun, False)
        light = Light.of(epoch, cache)
        if self._disk:
            store_light_cache(epoch, cache)
        watcher.on_progress(epoch, 1.0, time.monotonic() - begun, False)
        return light


def _light_directory() -> Path:
    return cache_directory() / "light"


def _light_path(epoch: Epoch) -> Path:
    return _light_directory() / f"{epoch.seed_epoch}-{epoch.light_items}.light"


def load_light_cache(epoch: Epoch) -> NDArray[np.uint32] | None:
    """Return the light cache from disk; None: missing or damaged."""
    cache = np.empty((epoch.light_items, 16), np.uint32)
    with suppress(OSError):
        for _ in read_checked(_light_path(epoch), cache.nbytes, [cache.data]):
            pass
        return cache
    return None


def store_light_cache(epoch: Epoch, cache: NDArray[np.uint32]) -> None:
    """Write `cache` to disk; do nothing if it is too large, or if that is impossible, as in a
    read-only container."""
    if cache.nbytes > DISK_BYTES // 2:
        return
    path = _light_path(epoch)
    with suppress(OSError):
        write_checked(path, [cache.data])
        delete_oldest(path.parent, path.suffix, DISK_BYTES)


def prove_variant(variant: Variant) -> None:
    """Compute the known answers of `variant`; raises `BadVariant` with the first wrong one."""
    caches: dict[Epoch, Light] = {}
    for number, answer in enumerate(variant.known_answers, 1):
        toy = variant.with_sizes(answer.sizes)
        epoch = toy.epoch_at(answer.height)
        if epoch not in caches:
            caches[epoch] = Light.of(epoch, light_cache(epoch))
        hasher = Hasher(toy, toy.period_at(answer.height), caches[epoch])
        digest = hasher.hash(answer.header_hash, answer.nonce)
        for field, got, wanted in (
            ("mix_hash", digest.mix_hash, answer.mix_hash),
            ("final_hash", digest.final_hash, answer.final_hash),
        ):
            if got != wanted:
                raise BadVariant(
                    f"variant {variant.name!r}: known_answers[{number}].{field}: computed "
                    f"{got.hex()}, the file has {wanted.hex()}"
                )


def prove_file(variant: Variant, path: Path) -> None:
    """Compute the known answers of a user's file, once per content of the file."""
    content = hashlib.sha256(path.read_bytes()).hexdigest()
    mark = cache_directory() / "proved" / content[:32]
    if os.path.exists(mark):
        return
    prove_variant(variant)
    with suppress(OSError):  # the answers are computed again next time
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        marks = sorted(mark.parent.iterdir(), key=lambda p: p.stat().st_mtime)
        for old in marks[:-MOST_MARKS]:
            old.unlink(missing_ok=True)


def chosen_variant(name: str) -> Variant:
    """Return the variant with name or path `name`; the known answers of a user's own file are
    checked first. Raises `UsageError`."""
    variant = find_variant(name)
    if variants().get(variant.name) != variant:
        prove_file(variant, Path(name).expanduser())
    return variant

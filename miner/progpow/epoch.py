"""Epochs: ranges of heights that share a light cache and a dataset (DAG)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import isqrt

LIGHT_ITEM_BYTES = 64
"""Bytes of a light cache item (ethash's HASH_BYTES)."""

DATASET_ITEM_BYTES = 128
"""Bytes of the dataset item whose count is prime (ethash's MIX_BYTES)."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """All that a light cache and a dataset depend on: equal epochs have the same dataset."""

    number: int
    seed_epoch: int
    """How often keccak-256 is applied to 32 zero bytes to get the seed."""
    light_items: int
    """64-byte items of the light cache, prime."""
    dataset_items: int
    """128-byte items of the dataset, prime."""
    parents: int
    """Light cache items that each 64-byte node is mixed from."""

    @property
    def light_bytes(self) -> int:
        return self.light_items * LIGHT_ITEM_BYTES

    @property
    def dataset_bytes(self) -> int:
        return self.dataset_items * DATASET_ITEM_BYTES

    @property
    def entries(self) -> int:
        """256-byte entries that a hash reads; an odd last item is never read."""
        return self.dataset_items // 2

    @property
    def nodes(self) -> int:
        """64-byte nodes of the entries, four each."""
        return self.entries * 4


@lru_cache(maxsize=256)
def largest_prime_upto(n: int) -> int:
    """Return the largest prime <= n (n >= 2). Trial division suffices: n is below 2**33 here."""
    while not (n == 2 or (n % 2 and all(n % divisor for divisor in range(3, isqrt(n) + 1, 2)))):
        n -= 1
    return n

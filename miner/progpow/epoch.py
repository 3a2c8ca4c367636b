"""Epochs: which one a height belongs to, how large its light cache and dataset are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

LIGHT_ITEM_BYTES = 64
"""Bytes of a light cache item (ethash's HASH_BYTES)."""

DATASET_ITEM_BYTES = 128
"""Bytes of the item whose count is prime; two of them make one 256-byte entry."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Everything that a light cache and a dataset depend on.

    Two epochs that compare equal have the same dataset, whatever their variants are called.
    """

    number: int
    seed_epoch: int
    """Index in the keccak256 chain that starts with 32 zero bytes."""
    light_items: int
    """64-byte items of the light cache, prime."""
    dataset_items: int
    """128-byte items of the dataset, prime."""
    parents: int

    @property
    def light_bytes(self) -> int:
        return self.light_items * LIGHT_ITEM_BYTES

    @property
    def dataset_bytes(self) -> int:
        return self.dataset_items * DATASET_ITEM_BYTES

    @property
    def entries(self) -> int:
        """256-byte entries that ProgPoW reads; an odd last item is never read."""
        return self.dataset_items // 2

    @property
    def nodes(self) -> int:
        """64-byte nodes that make up the entries: four to each."""
        return self.entries * 4


@dataclass(frozen=True, slots=True)
class Span:
    """Heights from `from_height` on: epoch = first_epoch + (height - from_height) // length."""

    from_height: int
    length: int
    first_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Clamp:
    """An epoch above `above` is `to` instead, for ever."""

    above: int
    to: int


@dataclass(frozen=True, slots=True)
class Scale:
    """From `from_epoch` on sizes (never seeds) are those of `factor` times the epoch."""

    from_epoch: int
    factor: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes before the prime search: initial + growth * epoch."""

    initial: int
    growth: int


@dataclass(frozen=True, slots=True)
class FixedSizes:
    """Sizes written down outright, the same in every epoch."""

    light_items: int
    dataset_items: int
    seed_epoch: int


@lru_cache(maxsize=256)
def largest_prime_upto(n: int) -> int:
    """Return the largest prime <= n (n >= 2), by trial division: n stays below 2**33 here."""
    while not _is_prime(n):
        n -= 1
    return n


def _is_prime(n: int) -> bool:
    if n < 4:
        return n >= 2
    if n % 2 == 0:
        return False
    divisor = 3
    while divisor * divisor <= n:
        if n % divisor == 0:
            return False
        divisor += 2
    return True

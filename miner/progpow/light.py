"""The light cache, and the dataset (DAG) items computed from it.

A node is 64 bytes, 16 words; four nodes make the 256-byte entry that a hash reads. This is
ethash's algorithm with the number of parents left to the variant.
Source: ethereum.org/developers/docs/consensus-mechanisms/pow/mining/mining-algorithms/ethash.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from miner.progpow.epoch import Epoch
from miner.progpow.jit import compiled, multiply_xor_row
from miner.progpow.keccak import keccak512, keccak_block, seed_hash
from miner.progpow.kiss99 import FNV_PRIME
from miner.progpow.variant import L1_WORDS

_CACHE_ROUNDS = 3
"""Passes of RandMemoHash over the light cache (ethash's CACHE_ROUNDS)."""

_SLICE_ITEMS = 131_072
"""Items per step, 8 MiB: about a quarter of a second, which is how long a stop may wait."""


@compiled
def _chain(cache, first, last):  # type: ignore[no-untyped-def]
    """Make each item the keccak-512 of the one before."""
    state = np.empty(25, np.uint64)
    for i in range(first, last):
        keccak_block(state, cache[i - 1], 8, 9, cache[i], 8)


@compiled
def _randomize(cache, first, last):  # type: ignore[no-untyped-def]
    """Replace each item by the keccak-512 of the item before it xor an item that its own first
    word chooses."""
    items = cache.shape[0]
    state = np.empty(25, np.uint64)
    block = np.empty(8, np.uint64)
    for i in range(first, last):
        before = i - 1 if i else items - 1
        chosen = np.int64(np.uint32(cache[i, 0]) % np.uint32(items))
        for k in range(8):
            block[k] = cache[before, k] ^ cache[chosen, k]
        keccak_block(state, block, 8, 9, cache[i], 8)


def build_light_cache(epoch: Epoch, out: NDArray[np.uint32]) -> Iterator[float]:
    """Fill `out`, shape (light_items, 16), in steps; yield the progress, from 0 to 1."""
    items = epoch.light_items
    cache = out.view(np.uint64)
    seed = np.frombuffer(seed_hash(epoch.seed_epoch), "<u8").astype(np.uint64)
    keccak_block(np.empty(25, np.uint64), seed, 4, 9, cache[0], 8)
    total = items * (1 + _CACHE_ROUNDS)
    for turn in range(1 + _CACHE_ROUNDS):
        for begin in range(0, items, _SLICE_ITEMS):
            end = min(begin + _SLICE_ITEMS, items)
            if turn == 0:
                _chain(cache, max(begin, 1), end)
            else:
                _randomize(cache, begin, end)
            yield (turn * items + end) / total


def light_cache(epoch: Epoch) -> NDArray[np.uint32]:
    """Return the light cache of `epoch`, shape (light_items, 16)."""
    out = np.empty((epoch.light_items, 16), np.uint32)
    for _ in build_light_cache(epoch, out):
        pass
    return out


@compiled
def dataset_entry(light, parents, index, out):  # type: ignore[no-untyped-def]
    """Fill out, shape (4, 16) uint32, with the nodes 4*index to 4*index + 3."""
    # The nodes are computed side by side, since each waits for memory at every parent. Parents
    # are chosen and mixed in by FNV-1 (multiply, then xor), unlike the FNV-1a of the hash.
    n = np.uint32(light.shape[0])
    prime = np.uint32(FNV_PRIME)
    state = np.empty(25, np.uint64)
    wide = out.view(np.uint64)
    words = out.reshape(64)
    cache = light.reshape(light.size)
    base = np.uint32(index) * np.uint32(4)
    for t in range(4):
        i = np.uint32(base + np.uint32(t))
        start = np.uintp(i % n) * np.uintp(16)
        for k in range(16):
            words[np.uintp(16 * t + k)] = cache[start + np.uintp(k)]
        words[16 * t] ^= i
        keccak512(state, wide[t])
    for j in range(parents):
        for t in range(4):
            i = np.uint32(base + np.uint32(t))
            chosen = words[np.uintp(16 * t + (j & 15))]
            parent = (np.uint32((i ^ np.uint32(j)) * prime) ^ chosen) % n
            source = np.uintp(parent) * np.uintp(16)
            multiply_xor_row(words, np.uintp(16 * t), FNV_PRIME, cache, source)
    for t in range(4):
        keccak512(state, wide[t])


def dataset_nodes(
    epoch: Epoch, light: NDArray[np.uint32], first: int, count: int
) -> NDArray[np.uint32]:
    """Return the 64-byte nodes `first` to `first + count - 1`, shape (count, 16)."""
    begin, end = first // 4, (first + count + 3) // 4
    out = np.empty((end - begin, 4, 16), np.uint32)
    for entry in range(begin, end):
        dataset_entry(light, epoch.parents, entry, out[entry - begin])
    skipped = first - begin * 4
    return out.reshape(-1, 16)[skipped : skipped + count]


def l1_cache(epoch: Epoch, light: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Return the first 16 KiB of the dataset, shape (4096,)."""
    return dataset_nodes(epoch, light, 0, L1_WORDS // 16).reshape(-1)

"""The light cache with the dataset nodes that are computed from it.

A node is 64 bytes, 16 little-endian words; four nodes make the 256-byte entry that a hash
reads. Source: ethash's specification, with the number of parents left to the variant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from miner.progpow.epoch import Epoch
from miner.progpow.jit import compiled
from miner.progpow.keccak import keccak512, keccak_f1600, seed_hash
from miner.progpow.program import FNV_PRIME
from miner.progpow.variant import L1_WORDS

_SLICE_ITEMS = 131_072
"""Items per step, 8 MiB: a stop waits for one step at most, about a quarter of a second."""

_CACHE_ROUNDS = 3


@compiled
def _fill(cache, first, last):  # type: ignore[no-untyped-def]
    state = np.empty(25, np.uint64)
    block = np.empty(8, np.uint64)
    for k in range(8):
        block[k] = cache[first - 1, k]
    for i in range(first, last):
        keccak512(state, block)
        for k in range(8):
            cache[i, k] = block[k]


@compiled
def _first(cache, seed):  # type: ignore[no-untyped-def]
    state = np.zeros(25, np.uint64)
    for k in range(4):
        state[k] = seed[k]
    state[4] = np.uint64(1)
    state[8] = np.uint64(0x8000000000000000)
    keccak_f1600(state)
    for k in range(8):
        cache[0, k] = state[k]


@compiled
def _mix(cache, first, last):  # type: ignore[no-untyped-def]
    n = cache.shape[0]
    state = np.empty(25, np.uint64)
    block = np.empty(8, np.uint64)
    for i in range(first, last):
        v = np.int64(np.uint32(cache[i, 0]) % np.uint32(n))
        u = i - 1 if i else n - 1
        for k in range(8):
            block[k] = cache[u, k] ^ cache[v, k]
        keccak512(state, block)
        for k in range(8):
            cache[i, k] = block[k]


def build_light_cache(epoch: Epoch, out: NDArray[np.uint32]) -> Iterator[float]:
    """Fill `out`, shape (light_items, 16), and yield the share done, 0 to 1, step by step.

    Serial by design: each item is the keccak512 of the one before it.
    """
    items = epoch.light_items
    cache = out.view(np.uint64)
    seed = np.frombuffer(seed_hash(epoch.seed_epoch), "<u8").astype(np.uint64)
    _first(cache, seed)
    total = items * (1 + _CACHE_ROUNDS)
    for turn in range(1 + _CACHE_ROUNDS):
        for begin in range(0, items, _SLICE_ITEMS):
            end = min(begin + _SLICE_ITEMS, items)
            if turn == 0:
                _fill(cache, max(begin, 1), end)
            else:
                _mix(cache, begin, end)
            yield (turn * items + end) / total


def light_cache(epoch: Epoch) -> NDArray[np.uint32]:
    """Return the light cache of `epoch`, shape (light_items, 16)."""
    out = np.empty((epoch.light_items, 16), np.uint32)
    for _ in build_light_cache(epoch, out):
        pass
    return out


@intrinsic
def _mix_row(typing, out, to, light, source):  # type: ignore[no-untyped-def]
    """out[to : to + 16] = out[...] * FNV prime ^ light[source : source + 16], as one vector.

    Written as LLVM code because numba leaves the loop over 16 words scalar, at half the speed.
    """
    row = ir.VectorType(ir.IntType(32), 16)

    def emit(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        def row_at(position):  # type: ignore[no-untyped-def]
            array = context.make_array(signature.args[position])(
                context, builder, arguments[position]
            )
            return builder.bitcast(
                builder.gep(array.data, [arguments[position + 1]]), row.as_pointer()
            )

        target, other = row_at(0), row_at(2)  # type: ignore[no-untyped-call]
        before, parent = builder.load(target), builder.load(other)
        before.align = parent.align = 4
        mixed = builder.mul(before, ir.Constant(row, [FNV_PRIME] * 16))
        builder.store(builder.xor(mixed, parent), target).align = 4
        return context.get_dummy_value()

    return types.void(out, to, light, source), emit


@compiled
def dataset_entry(light, parents, index, out):  # type: ignore[no-untyped-def]
    """Fill out, shape (4, 16) uint32, with the nodes 4*index to 4*index+3.

    The four are computed side by side, since each waits for the light cache at every parent.
    """
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
            _mix_row(words, np.uintp(16 * t), cache, np.uintp(parent) * np.uintp(16))
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
    """Return the first 16 KiB of the dataset as words."""
    return dataset_nodes(epoch, light, 0, L1_WORDS // 16).reshape(-1)

"""The hash of one nonce, computed from the light cache alone.

Source: progPowHash of the specification, with the variants' paddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.errors import BadValue
from miner.progpow import instructions, kiss99
from miner.progpow.epoch import Epoch
from miner.progpow.instructions import (
    CACHE_READ,
    DAG_WORD,
    FROM_OPERAND,
    FROM_SEED,
    MERGES,
    OPERATIONS,
    SEED_MERGE,
    Instruction,
)
from miner.progpow.jit import clz, compiled, popcount
from miner.progpow.keccak import as_words, keccak_f800
from miner.progpow.kiss99 import FNV_BASIS
from miner.progpow.light import dataset_entry, l1_cache
from miner.progpow.program import program
from miner.progpow.variant import DAG_LOADS, L1_WORDS, LANES, Variant

WORD = 0xFFFFFFFF

Words = NDArray[np.uint32]

# Numba computes these on 64-bit integers, as it does all words of the mix below: they hold
# every intermediate result, and a result is cut to 32 bits by `& WORD`.
_fnv1a = compiled(kiss99.fnv1a)
_kiss99 = compiled(kiss99.kiss99)
_merge_of = compiled(instructions.merge_of)


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """An epoch's light cache, shape (light_items, 16), and L1 cache, shape (4096,)."""

    epoch: Epoch
    cache: NDArray[np.uint32]
    l1: NDArray[np.uint32]

    @classmethod
    def of(cls, epoch: Epoch, cache: NDArray[np.uint32]) -> Light:
        """Return `cache` with the L1 cache computed from it."""
        return cls(epoch, cache, l1_cache(epoch, cache))


@dataclass(frozen=True, slots=True)
class Digest:
    """Both hashes of a nonce, 32 bytes each, in the order in which they are printed."""

    mix_hash: bytes
    final_hash: bytes

    @property
    def value(self) -> int:
        """The final hash as a big-endian number, to be compared with a target."""
        return int.from_bytes(self.final_hash, "big")


def absorb(*parts: Words) -> Words:
    """Return the first 8 words of keccak-f800 of `parts`, 25 words together."""
    state = np.concatenate(parts)
    keccak_f800(state)
    return state[:8]


@compiled
def fill_mix(seed_low, seed_high, mix):  # type: ignore[no-untyped-def]
    """Write the initial registers of every lane to mix, shape (LANES, registers)."""
    for lane in range(LANES):
        z = _fnv1a(FNV_BASIS, seed_low)
        w = _fnv1a(z, seed_high)
        jsr = _fnv1a(w, lane)
        jcong = _fnv1a(jsr, lane)
        for r in range(mix.shape[1]):
            z, w, jsr, jcong, mix[lane, r] = _kiss99(z, w, jsr, jcong)


@compiled
def _rotl(a, n):  # type: ignore[no-untyped-def]
    n &= 31
    return ((a << n) | (a >> (32 - n))) & WORD


@compiled
def merge(a, b, kind, rotation):  # type: ignore[no-untyped-def]
    """Return `a` with `b` merged in; `kind` is an index of MERGES, `rotation` 1 to 31 or
    FROM_OPERAND."""
    if kind == 0:
        return (a * 33 + b) & WORD
    if kind == 1:
        return ((a ^ b) * 33) & WORD
    if rotation == FROM_OPERAND:
        rotation = (b >> 16 & 31) + 1
    if kind == 2:
        return _rotl(a, rotation) ^ b
    return _rotl(a, 32 - rotation) ^ b


@compiled
def math(operation, a, b):  # type: ignore[no-untyped-def]
    """Return operation(a, b); `operation` is an index of OPERATIONS."""
    if operation == 0:
        return (a + b) & WORD
    if operation == 1:
        return (a * b) & WORD
    if operation == 2:
        return np.int64((np.uint64(a) * np.uint64(b)) >> np.uint64(32))
    if operation == 3:
        return min(a, b)
    if operation == 4:
        return _rotl(a, b)
    if operation == 5:
        return _rotl(a, 32 - (b & 31))
    if operation == 6:
        return a & b
    if operation == 7:
        return a | b
    if operation == 8:
        return a ^ b
    if operation == 9:
        return clz(a) + clz(b)
    return popcount(a) + popcount(b)


_CACHE_READ, _DAG_WORD = OPERATIONS.index(CACHE_READ), OPERATIONS.index(DAG_WORD)
_MERGES = (*MERGES, SEED_MERGE)
_SEED_MERGE = _MERGES.index(SEED_MERGE)


def encode(steps: Sequence[Instruction]) -> NDArray[np.int64]:
    """Return instructions as rows (operation, first, second, destination, merge, rotation), shape
    (n, 6), with indices of OPERATIONS and of MERGES and SEED_MERGE."""
    rows = [
        (
            OPERATIONS.index(step.operation), step.first, step.second,
            step.destination, _MERGES.index(step.merge), step.rotation,
        )
        for step in steps
    ]  # fmt: skip
    return np.array(rows, np.int64)


@compiled
def mix_dataset(light, l1, parents, entries, code, addressing, seed, mix, indices):  # type: ignore[no-untyped-def]
    """In each loop run the program on the entry that register 0 of one lane selects.

    `addressing` is (entry lane, or -1 for the loop's; whether loop, and whether loop and lane,
    are mixed into indices of entries and of the L1 cache: 0 or 1).
    """
    entry_lane, entry_mixed, cache_mixed = addressing
    entry = np.empty((4, 16), np.uint32)
    words = entry.reshape(64)
    for loop in range(indices.shape[0]):
        chosen = loop % LANES if entry_lane < 0 else entry_lane
        indices[loop] = (mix[chosen, 0] ^ loop * entry_mixed) % entries
        dataset_entry(light, parents, indices[loop], entry)
        for step in range(code.shape[0]):
            operation, first, second, destination, kind, rotation = code[step]
            if kind == _SEED_MERGE:
                kind, of_seed = _merge_of(np.int64(seed[first]))
                if rotation == FROM_SEED:
                    rotation = of_seed
            for lane in range(LANES):
                if operation == _CACHE_READ:
                    index = mix[lane, first] ^ (LANES * loop + lane) * cache_mixed
                    b = np.int64(l1[index & (L1_WORDS - 1)])
                elif operation == _DAG_WORD:
                    b = np.int64(words[((lane ^ loop) % LANES) * DAG_LOADS + first])
                else:
                    b = math(operation, mix[lane, first], mix[lane, second])
                mix[lane, destination] = merge(mix[lane, destination], b, kind, rotation)


@compiled
def reduce_mix(mix, out):  # type: ignore[no-untyped-def]
    """Write the mix hash, 8 words, to `out`: lane i goes into word i mod 8."""
    out[:] = FNV_BASIS
    for lane in range(LANES):
        h = FNV_BASIS
        for r in range(mix.shape[1]):
            h = _fnv1a(h, mix[lane, r])
        out[lane % 8] = _fnv1a(np.int64(out[lane % 8]), h)


class Hasher:
    """The hash of a variant in one period, on the epoch of `light`; any thread may use it."""

    def __init__(self, variant: Variant, period: int, light: Light) -> None:
        self.variant, self.light = variant, light
        drawn, choices = program(variant, period), variant.choices
        self._code = encode(drawn.steps)
        self._addressing = (
            -1 if drawn.entry_lane is None else drawn.entry_lane,
            int(choices.entry_index == "mixed"),
            int(choices.cache_index == "mixed"),
        )

    def hash(self, header_hash: bytes, nonce: int) -> Digest:
        """Return the digest of `nonce` under a 32-byte header hash (byte 0 first).

        Raises `BadValue` for another length and for a nonce outside 64 bits.
        """
        return self.trace(header_hash, nonce)[0]

    def trace(self, header_hash: bytes, nonce: int) -> tuple[Digest, NDArray[np.uint32]]:
        """Return the digest, and the index of the 256-byte entry that each loop read."""
        variant, light = self.variant, self.light
        header, nonce_words = input_words(header_hash, nonce)
        digest, seed = _begin(variant, header, nonce_words)
        mix = np.empty((LANES, variant.registers), np.int64)
        fill_mix(int(seed[0]), int(seed[1]), mix)
        indices = np.empty(variant.dag_loops, np.uint32)
        epoch, addressing = light.epoch, self._addressing
        mix_dataset(
            light.cache, light.l1, epoch.parents, epoch.entries, self._code, addressing, digest,
            mix, indices,
        )  # fmt: skip
        mix_hash = np.empty(8, np.uint32)
        reduce_mix(mix, mix_hash)
        final_hash = _end(variant, header, nonce_words, digest, seed, mix_hash)
        return Digest(mix_hash.astype("<u4").tobytes(), final_hash), indices


def final_hash(variant: Variant, header_hash: bytes, nonce: int, mix_hash: bytes) -> bytes:
    """Return the final hash that follows from a mix hash, which is not checked.

    Raises `BadValue` as `Hasher.hash` does.
    """
    if len(mix_hash) != 32:
        raise BadValue("mix_hash", f"needs 32 bytes, has {len(mix_hash)}")
    header, nonce_words = input_words(header_hash, nonce)
    digest, seed = _begin(variant, header, nonce_words)
    return _end(variant, header, nonce_words, digest, seed, as_words(mix_hash))


def input_words(header_hash: bytes, nonce: int) -> tuple[Words, Words]:
    """Return header hash and nonce as words; raises `BadValue` for other sizes."""
    if len(header_hash) != 32:
        raise BadValue("header_hash", f"needs 32 bytes, has {len(header_hash)}")
    if not 0 <= nonce < 2**64:
        raise BadValue("nonce", f"{nonce} is outside 0 to 2**64 - 1")
    return as_words(header_hash), as_words(nonce.to_bytes(8, "little"))


def _begin(variant: Variant, header: Words, nonce: Words) -> tuple[Words, Words]:
    """Return the first keccak's digest, 8 words, and the seed of the mix, 2 words."""
    digest = absorb(header, nonce, np.array(variant.initial_padding, np.uint32))
    seed = digest[:2]
    if variant.absorbs == "header":  # its first 8 bytes are a big-endian number
        seed = seed[::-1].byteswap()
    return digest, seed


def _end(
    variant: Variant, header: Words, nonce: Words, digest: Words, seed: Words, mix_hash: Words
) -> bytes:
    """Return the final hash, by the last keccak."""
    absorbed = {"digest": [digest], "header": [header, seed], "nonce": [header, nonce]}
    padding = np.array(variant.final_padding, np.uint32)
    words = absorb(*absorbed[variant.absorbs], mix_hash, padding)
    return words.astype("<u4" if variant.byte_order == "little" else ">u4").tobytes()

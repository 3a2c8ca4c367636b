"""The hash of one nonce, computed from the light cache alone.

Source: progPowHash of the specification, with the variants' paddings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.errors import BadValue
from miner.progpow import program as random_program
from miner.progpow.epoch import Epoch
from miner.progpow.jit import clz, compiled, popcount
from miner.progpow.keccak import as_words, keccak_f800
from miner.progpow.light import dataset_entry, l1_cache
from miner.progpow.program import (
    CACHE_READ,
    DAG_WORD,
    FNV_BASIS,
    MERGES,
    OPERATIONS,
    Program,
    program,
)
from miner.progpow.variant import DAG_LOADS, L1_WORDS, LANES, Variant

HASH_BYTES = 32
WORD = 0xFFFFFFFF

# Numba computes these on 64-bit integers, as it does all words of the mix below: they hold
# every intermediate result, and a result is cut to 32 bits by `& WORD`.
_fnv1a = compiled(random_program.fnv1a)
_kiss99 = compiled(random_program.kiss99)


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


@compiled
def initial_state(header, nonce, padding, s):  # type: ignore[no-untyped-def]
    """Write the output of the first keccak-f800 to s, shape (25,) uint32."""
    for i in range(8):
        s[i] = header[i]
    s[8] = np.uint32(nonce)
    s[9] = np.uint32(nonce >> np.uint64(32))
    for i in range(15):
        s[10 + i] = padding[i]
    keccak_f800(s)


@compiled
def fill_mix(seed_low, seed_high, lane, out):  # type: ignore[no-untyped-def]
    """Write a lane's initial registers to out, shape (registers,)."""
    z = _fnv1a(FNV_BASIS, seed_low)
    w = _fnv1a(z, seed_high)
    jsr = _fnv1a(w, lane)
    jcong = _fnv1a(jsr, lane)
    for r in range(out.shape[0]):
        z, w, jsr, jcong, out[r] = _kiss99(z, w, jsr, jcong)


@compiled
def _rotl(a, n):  # type: ignore[no-untyped-def]
    n &= 31
    return ((a << n) | (a >> (32 - n))) & WORD


@compiled
def merge(a, b, kind, rotation):  # type: ignore[no-untyped-def]
    """Return `a` with `b` merged in; `kind` is an index of MERGES."""
    if kind == 0:
        return (a * 33 + b) & WORD
    if kind == 1:
        return ((a ^ b) * 33) & WORD
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


def encode(instructions: Program) -> NDArray[np.int64]:
    """Return the program as rows (operation, first, second, destination, merge, rotation), shape
    (n, 6), with indices of OPERATIONS and MERGES."""
    rows = [
        (
            OPERATIONS.index(step.operation), step.first, step.second,
            step.destination, MERGES.index(step.merge), step.rotation,
        )
        for step in instructions
    ]  # fmt: skip
    return np.array(rows, np.int64)


@compiled
def _mix_dataset(light, l1, parents, entries, code, mix, indices):  # type: ignore[no-untyped-def]
    """In each loop run the program on the entry that register 0 of one lane selects."""
    entry = np.empty((4, 16), np.uint32)
    words = entry.reshape(64)
    for loop in range(indices.shape[0]):
        indices[loop] = mix[loop % LANES, 0] % entries
        dataset_entry(light, parents, indices[loop], entry)
        for step in range(code.shape[0]):
            operation, first, second, destination, kind, rotation = code[step]
            for lane in range(LANES):
                if operation == _CACHE_READ:
                    b = np.int64(l1[mix[lane, first] & (L1_WORDS - 1)])
                elif operation == _DAG_WORD:
                    b = np.int64(words[((lane ^ loop) % LANES) * DAG_LOADS + first])
                else:
                    b = math(operation, mix[lane, first], mix[lane, second])
                mix[lane, destination] = merge(mix[lane, destination], b, kind, rotation)


@compiled
def _reduce(mix, out):  # type: ignore[no-untyped-def]
    """Write the mix hash, 8 words, to `out`: lane i goes into word i mod 8."""
    out[:] = FNV_BASIS
    for lane in range(LANES):
        h = FNV_BASIS
        for r in range(mix.shape[1]):
            h = _fnv1a(h, mix[lane, r])
        out[lane % 8] = _fnv1a(np.int64(out[lane % 8]), h)


@compiled
def _byte_swap(a):  # type: ignore[no-untyped-def]
    return (_rotl(a, 8) & 0x00FF00FF) | (_rotl(a, 24) & 0xFF00FF00)


@compiled
def _hash(  # type: ignore[no-untyped-def]
    light, l1, parents, entries, code, registers, absorbs_digest, initial, final, header, nonce,
    mix_hash, final_hash, indices,
):  # fmt: skip
    s = np.empty(25, np.uint32)
    initial_state(header, nonce, initial, s)
    digest = s[:8].copy()
    seed_low, seed_high = np.int64(digest[0]), np.int64(digest[1])
    if not absorbs_digest:
        # The specification reads the digest's first 8 bytes as a big-endian number.
        seed_low, seed_high = _byte_swap(seed_high), _byte_swap(seed_low)
    mix = np.empty((LANES, registers), np.int64)
    for lane in range(LANES):
        fill_mix(seed_low, seed_high, lane, mix[lane])
    _mix_dataset(light, l1, parents, entries, code, mix, indices)
    _reduce(mix, mix_hash)
    if absorbs_digest:
        s[:8], s[8:16], s[16:] = digest, mix_hash, final
    else:
        s[:8], s[8], s[9], s[10:18], s[18:] = header, seed_low, seed_high, mix_hash, final
    keccak_f800(s)
    final_hash[:] = s[:8]


class Hasher:
    """The hash of a variant in one period, on the epoch of `light`; any thread may use it."""

    def __init__(self, variant: Variant, period: int, light: Light) -> None:
        self.variant, self.light = variant, light
        self._code = encode(program(variant, period))
        self._initial = np.array(variant.initial_padding, np.uint32)
        self._final = np.array(variant.final_padding, np.uint32)

    def hash(self, header_hash: bytes, nonce: int) -> Digest:
        """Return the digest of `nonce` under a 32-byte header hash (byte 0 first).

        Raises `BadValue` for another length and for a nonce outside 64 bits.
        """
        return self.trace(header_hash, nonce)[0]

    def trace(self, header_hash: bytes, nonce: int) -> tuple[Digest, NDArray[np.uint32]]:
        """Return the digest, and the index of the 256-byte entry that each loop read."""
        if len(header_hash) != HASH_BYTES:
            raise BadValue("header_hash", f"needs 32 bytes, has {len(header_hash)}")
        if not 0 <= nonce < 2**64:
            raise BadValue("nonce", f"{nonce} is outside 0 to 2**64 - 1")
        mix, final = np.empty(8, np.uint32), np.empty(8, np.uint32)
        indices = np.empty(self.variant.dag_loops, np.uint32)
        v, light = self.variant, self.light
        _hash(
            light.cache, light.l1, light.epoch.parents, light.epoch.entries, self._code,
            v.registers, v.absorbs_digest, self._initial, self._final,
            as_words(header_hash), np.uint64(nonce), mix, final, indices,
        )  # fmt: skip
        return Digest(mix.astype("<u4").tobytes(), final.astype("<u4").tobytes()), indices

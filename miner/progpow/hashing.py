"""The hash of one nonce, computed from the light cache alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.errors import BadValue
from miner.progpow.epoch import Epoch
from miner.progpow.jit import compiled
from miner.progpow.keccak import as_words, keccak_f800
from miner.progpow.light import dataset_entry, l1_cache
from miner.progpow.program import FNV_BASIS, FNV_PRIME, MERGES, CacheRead, Math, Program, program
from miner.progpow.variant import LANES, MATH_OPERATIONS, Variant

HASH_BYTES = 32


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """What a verification needs of an epoch: its light cache, shape (light_items, 16), and
    the L1 words, shape (4096,)."""

    epoch: Epoch
    cache: NDArray[np.uint32]
    l1: NDArray[np.uint32]

    @classmethod
    def of(cls, epoch: Epoch, cache: NDArray[np.uint32]) -> Light:
        """Return it with the L1 words computed."""
        return cls(epoch, cache, l1_cache(epoch, cache))


@dataclass(frozen=True, slots=True)
class Digest:
    """Both hashes of a nonce, 32 bytes each in the order in which they are written."""

    mix_hash: bytes
    final_hash: bytes

    @property
    def value(self) -> int:
        """The final hash as the number that is compared with a target."""
        return int.from_bytes(self.final_hash, "big")


@compiled
def initial_state(header, nonce, padding, s):  # type: ignore[no-untyped-def]
    """Run the first keccak: s, shape (25,) uint32, becomes its output."""
    for i in range(8):
        s[i] = header[i]
    s[8] = np.uint32(nonce)
    s[9] = np.uint32(nonce >> np.uint64(32))
    for i in range(15):
        s[10 + i] = padding[i]
    keccak_f800(s)


@compiled
def fill_mix(seed_low, seed_high, lane, out):  # type: ignore[no-untyped-def]
    """Fill out, shape (registers,) uint32, with a lane's first register values."""
    prime = np.uint32(FNV_PRIME)
    z = np.uint32((np.uint32(FNV_BASIS) ^ seed_low) * prime)
    w = np.uint32((z ^ seed_high) * prime)
    jsr = np.uint32((w ^ np.uint32(lane)) * prime)
    jcong = np.uint32((jsr ^ np.uint32(lane)) * prime)
    for r in range(out.shape[0]):
        z = np.uint32(np.uint32(36969) * (z & np.uint32(0xFFFF)) + (z >> np.uint32(16)))
        w = np.uint32(np.uint32(18000) * (w & np.uint32(0xFFFF)) + (w >> np.uint32(16)))
        jsr = np.uint32(jsr ^ np.uint32(jsr << np.uint32(17)))
        jsr = np.uint32(jsr ^ (jsr >> np.uint32(13)))
        jsr = np.uint32(jsr ^ np.uint32(jsr << np.uint32(5)))
        jcong = np.uint32(np.uint32(69069) * jcong + np.uint32(1234567))
        out[r] = np.uint32(np.uint32(np.uint32(z << np.uint32(16)) + w) ^ jcong) + jsr


@compiled
def _rotl(a, n):  # type: ignore[no-untyped-def]
    m = np.uint32(n) & np.uint32(31)
    return np.uint32((a << m) | (a >> ((np.uint32(32) - m) & np.uint32(31)))) if m else a


@compiled
def merge(a, b, kind, rotation):  # type: ignore[no-untyped-def]
    """Return `a` with `b` merged in; `kind` is an index of MERGES."""
    if kind == 0:
        return np.uint32(a * np.uint32(33) + b)
    if kind == 1:
        return np.uint32(np.uint32(a ^ b) * np.uint32(33))
    if kind == 2:
        return np.uint32(_rotl(a, rotation) ^ b)
    return np.uint32(_rotl(a, np.uint32(32) - np.uint32(rotation)) ^ b)


@compiled
def _clz(a):  # type: ignore[no-untyped-def]
    n = np.uint32(32)
    while a:
        a = np.uint32(a >> np.uint32(1))
        n -= np.uint32(1)
    return np.uint32(n)


@compiled
def _popcount(a):  # type: ignore[no-untyped-def]
    n = np.uint32(0)
    while a:
        a = np.uint32(a & (a - np.uint32(1)))
        n += np.uint32(1)
    return np.uint32(n)


@compiled
def math(operation, a, b):  # type: ignore[no-untyped-def]
    """Return operation(a, b); `operation` is an index of MATH_OPERATIONS."""
    if operation == 0:
        return np.uint32(a + b)
    if operation == 1:
        return np.uint32(a * b)
    if operation == 2:
        return np.uint32((np.uint64(a) * np.uint64(b)) >> np.uint64(32))
    if operation == 3:
        return min(a, b)
    if operation == 4:
        return _rotl(a, b)
    if operation == 5:
        return _rotl(a, np.uint32(32) - (b & np.uint32(31)))
    if operation == 6:
        return np.uint32(a & b)
    if operation == 7:
        return np.uint32(a | b)
    if operation == 8:
        return np.uint32(a ^ b)
    if operation == 9:
        return np.uint32(_clz(a) + _clz(b))
    return np.uint32(_popcount(a) + _popcount(b))


@compiled
def _loops(light, l1, parents, entries, code, count, mix, indices):  # type: ignore[no-untyped-def]
    entry = np.empty((4, 16), np.uint32)
    words = entry.reshape(64)
    for loop in range(count):
        index = mix[loop % LANES, 0] % np.uint32(entries)
        indices[loop] = index
        dataset_entry(light, parents, index, entry)
        for step in range(code.shape[0]):
            what, first, second, destination, kind, rotation = code[step]
            for lane in range(LANES):
                if what == -1:
                    b = l1[mix[lane, first] & np.uint32(4095)]
                elif what == -2:
                    b = words[((lane ^ loop) % LANES) * 4 + first]
                else:
                    b = math(what, mix[lane, first], mix[lane, second])
                mix[lane, destination] = merge(mix[lane, destination], b, kind, rotation)


@compiled
def _reduce(mix, out):  # type: ignore[no-untyped-def]
    prime = np.uint32(FNV_PRIME)
    for i in range(8):
        out[i] = np.uint32(FNV_BASIS)
    for lane in range(LANES):
        h = np.uint32(FNV_BASIS)
        for r in range(mix.shape[1]):
            h = np.uint32((h ^ mix[lane, r]) * prime)
        out[lane % 8] = np.uint32((out[lane % 8] ^ h) * prime)


@compiled
def _swap(a):  # type: ignore[no-untyped-def]
    return np.uint32(
        (a << np.uint32(24))
        | ((a & np.uint32(0xFF00)) << np.uint32(8))
        | ((a >> np.uint32(8)) & np.uint32(0xFF00))
        | (a >> np.uint32(24))
    )


@compiled
def _final(header, digest, seed_low, seed_high, absorbs_digest, mix, padding, s):  # type: ignore[no-untyped-def]
    if absorbs_digest:
        for i in range(8):
            s[i] = digest[i]
            s[8 + i] = mix[i]
        for i in range(9):
            s[16 + i] = padding[i]
    else:
        for i in range(8):
            s[i] = header[i]
            s[10 + i] = mix[i]
        s[8] = seed_low
        s[9] = seed_high
        for i in range(7):
            s[18 + i] = padding[i]
    keccak_f800(s)


@compiled
def _hash(  # type: ignore[no-untyped-def]
    light, l1, parents, entries, code, loops, registers,
    absorbs_digest, initial, final, header, nonce, mix_out, final_out, indices,
):  # fmt: skip
    s = np.empty(25, np.uint32)
    initial_state(header, nonce, initial, s)
    digest = s[:8].copy()
    seed_low, seed_high = digest[0], digest[1]
    if not absorbs_digest:
        seed_low, seed_high = _swap(digest[1]), _swap(digest[0])
    mix = np.empty((LANES, registers), np.uint32)
    for lane in range(LANES):
        fill_mix(seed_low, seed_high, lane, mix[lane])
    _loops(light, l1, parents, entries, code, loops, mix, indices)
    _reduce(mix, mix_out)
    _final(header, digest, seed_low, seed_high, absorbs_digest, mix_out, final, s)
    for i in range(8):
        final_out[i] = s[i]


def encode(instructions: Program) -> NDArray[np.int64]:
    """Return the program as rows (what, first, second, destination, merge, rotation), shape
    (n, 6); `what` is -1 for a cache read, -2 for a dataset word, else a math operation."""
    rows = []
    for step in instructions:
        tail = (step.destination, MERGES.index(step.merge), step.rotation)
        if isinstance(step, CacheRead):
            rows.append((-1, step.source, 0, *tail))
        elif isinstance(step, Math):
            rows.append((MATH_OPERATIONS.index(step.operation), step.first, step.second, *tail))
        else:
            rows.append((-2, step.word, 0, *tail))
    return np.array(rows, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Hasher:
    """A variant's hash at one period and epoch, ready for many nonces; any thread may use it."""

    variant: Variant
    light: Light
    code: NDArray[np.int64]
    initial: NDArray[np.uint32]
    final: NDArray[np.uint32]

    @classmethod
    def of(cls, variant: Variant, period: int, light: Light) -> Hasher:
        """Return the hasher of `period` on the epoch of `light`."""
        return cls(
            variant,
            light,
            encode(program(variant, period)),
            np.array(variant.initial_padding, np.uint32),
            np.array(variant.final_padding, np.uint32),
        )

    def hash(self, header_hash: bytes, nonce: int) -> Digest:
        """Return the digest of `nonce` under a 32-byte header hash (byte 0 first)."""
        return self.trace(header_hash, nonce)[0]

    def trace(self, header_hash: bytes, nonce: int) -> tuple[Digest, NDArray[np.uint32]]:
        """Return the digest with the index of the 256-byte entry that each loop read."""
        if len(header_hash) != HASH_BYTES:
            raise BadValue("header_hash", f"needs 32 bytes, has {len(header_hash)}")
        if not 0 <= nonce < 2**64:
            raise BadValue("nonce", f"{nonce} is outside 0 to 2**64 - 1")
        mix, final = np.empty(8, np.uint32), np.empty(8, np.uint32)
        indices = np.empty(self.variant.dag_loops, np.uint32)
        v, light = self.variant, self.light
        _hash(
            light.cache, light.l1, light.epoch.parents, light.epoch.entries, self.code,
            v.dag_loops, v.registers, v.absorbs_digest, self.initial, self.final,
            as_words(header_hash), np.uint64(nonce), mix, final, indices,
        )  # fmt: skip
        return Digest(mix.astype("<u4").tobytes(), final.astype("<u4").tobytes()), indices

"""Keccak as ProgPoW uses it: the permutation f800, keccak-256 and keccak-512.

The hashes pad as the original submission does (0x01 … 0x80), unlike SHA-3 (0x06 … 0x80).
Source: keccak.team, "The Keccak reference", version 3.0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from miner.progpow.jit import compiled, inlined

_ROUND_CONSTANTS = (
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000,
    0x000000000000808B, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008A, 0x0000000000000088, 0x0000000080008009, 0x000000008000000A,
    0x000000008000808B, 0x800000000000008B, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
)  # fmt: skip
_CONSTANTS = np.array(_ROUND_CONSTANTS, np.uint64)


@inlined
def _rotl(x, n, w):  # type: ignore[no-untyped-def]
    return _cut((x << np.uint64(n % w)) | (x >> np.uint64(w - n % w)), w)


@inlined
def _cut(x, w):  # type: ignore[no-untyped-def]
    return x & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - w))


@inlined
def _chi(a, b, c, d, e):  # type: ignore[no-untyped-def]
    return a ^ (~b & c), b ^ (~c & d), c ^ (~d & e), d ^ (~e & a), e ^ (~a & b)


@inlined
def _permute(s, rounds, w):  # type: ignore[no-untyped-def]
    """Permute the 25 lanes of `w` bits, lane (x, y) at s[x + 5*y], in place."""
    # Written out: loops over an array keep the state in memory and take 5 times as long.
    a0, a1, a2, a3, a4 = s[0], s[1], s[2], s[3], s[4]
    a5, a6, a7, a8, a9 = s[5], s[6], s[7], s[8], s[9]
    a10, a11, a12, a13, a14 = s[10], s[11], s[12], s[13], s[14]
    a15, a16, a17, a18, a19 = s[15], s[16], s[17], s[18], s[19]
    a20, a21, a22, a23, a24 = s[20], s[21], s[22], s[23], s[24]
    for r in range(rounds):
        # theta
        c0 = a0 ^ a5 ^ a10 ^ a15 ^ a20
        c1 = a1 ^ a6 ^ a11 ^ a16 ^ a21
        c2 = a2 ^ a7 ^ a12 ^ a17 ^ a22
        c3 = a3 ^ a8 ^ a13 ^ a18 ^ a23
        c4 = a4 ^ a9 ^ a14 ^ a19 ^ a24
        d0, d1, d2 = c4 ^ _rotl(c1, 1, w), c0 ^ _rotl(c2, 1, w), c1 ^ _rotl(c3, 1, w)
        d3, d4 = c2 ^ _rotl(c4, 1, w), c3 ^ _rotl(c0, 1, w)
        # rho and pi
        b0, b10, b20 = a0 ^ d0, _rotl(a1 ^ d1, 1, w), _rotl(a2 ^ d2, 62, w)
        b5, b15 = _rotl(a3 ^ d3, 28, w), _rotl(a4 ^ d4, 27, w)
        b16, b1, b11 = _rotl(a5 ^ d0, 36, w), _rotl(a6 ^ d1, 44, w), _rotl(a7 ^ d2, 6, w)
        b21, b6 = _rotl(a8 ^ d3, 55, w), _rotl(a9 ^ d4, 20, w)
        b7, b17, b2 = _rotl(a10 ^ d0, 3, w), _rotl(a11 ^ d1, 10, w), _rotl(a12 ^ d2, 43, w)
        b12, b22 = _rotl(a13 ^ d3, 25, w), _rotl(a14 ^ d4, 39, w)
        b23, b8 = _rotl(a15 ^ d0, 41, w), _rotl(a16 ^ d1, 45, w)
        b18, b3, b13 = (_rotl(a17 ^ d2, 15, w), _rotl(a18 ^ d3, 21, w), _rotl(a19 ^ d4, 8, w))
        b14, b24 = _rotl(a20 ^ d0, 18, w), _rotl(a21 ^ d1, 2, w)
        b9, b19, b4 = (_rotl(a22 ^ d2, 61, w), _rotl(a23 ^ d3, 56, w), _rotl(a24 ^ d4, 14, w))
        # chi and iota
        a0, a1, a2, a3, a4 = _chi(b0, b1, b2, b3, b4)
        a5, a6, a7, a8, a9 = _chi(b5, b6, b7, b8, b9)
        a10, a11, a12, a13, a14 = _chi(b10, b11, b12, b13, b14)
        a15, a16, a17, a18, a19 = _chi(b15, b16, b17, b18, b19)
        a20, a21, a22, a23, a24 = _chi(b20, b21, b22, b23, b24)
        a0 ^= _cut(_CONSTANTS[r], w)
    s[0], s[1], s[2], s[3], s[4] = a0, a1, a2, a3, a4
    s[5], s[6], s[7], s[8], s[9] = a5, a6, a7, a8, a9
    s[10], s[11], s[12], s[13], s[14] = a10, a11, a12, a13, a14
    s[15], s[16], s[17], s[18], s[19] = a15, a16, a17, a18, a19
    s[20], s[21], s[22], s[23], s[24] = a20, a21, a22, a23, a24


@compiled
def keccak_f800(s):  # type: ignore[no-untyped-def]
    """Permute the state s, shape (25,) uint32, in place."""
    _permute(s, 22, 32)


@compiled
def keccak_f1600(s):  # type: ignore[no-untyped-def]
    """Permute the state s, shape (25,) uint64, in place."""
    _permute(s, 24, 64)


@compiled
def keccak_block(state, message, words, rate, out, out_words):  # type: ignore[no-untyped-def]
    """Write the first `out_words` 64-bit words of keccak(`words` words of `message`) to `out`.

    `rate` is in words: 9 for keccak-512, 17 for keccak-256. `out` may be `message`; `state`
    is scratch, shape (25,) uint64, since allocating it takes longer than a round.
    """
    for i in range(words):
        state[i] = message[i]
    for i in range(words, 25):
        state[i] = 0
    state[words] ^= np.uint64(1)
    state[rate - 1] ^= np.uint64(1 << 63)
    keccak_f1600(state)
    for i in range(out_words):
        out[i] = state[i]


@compiled
def keccak512(state, block):  # type: ignore[no-untyped-def]
    """Replace block, shape (8,) uint64, by its keccak-512; `state` as in `keccak_block`."""
    keccak_block(state, block, 8, 9, block, 8)


KECCAK256_RATE = 136
"""Bytes that keccak-256 takes in between two permutations."""


def keccak256(data: bytes) -> bytes:
    """Return the keccak-256 of `data`, 32 bytes."""
    padded = bytearray(data + bytes(KECCAK256_RATE - len(data) % KECCAK256_RATE))
    padded[len(data)] ^= 0x01
    padded[-1] ^= 0x80
    state = np.zeros(25, np.uint64)
    for block in np.frombuffer(padded, "<u8").reshape(-1, KECCAK256_RATE // 8):
        state[: len(block)] ^= block
        keccak_f1600(state)
    return state[:4].astype("<u8").tobytes()


def seed_hash(epoch: int) -> bytes:
    """Return the seed of epoch `epoch`: keccak-256, applied `epoch` times to 32 zero bytes.

    Pools send this with each job, byte 0 first.
    """
    seed = np.zeros(4, np.uint64)
    state = np.empty(25, np.uint64)
    for _ in range(epoch):
        keccak_block(state, seed, 4, 17, seed, 4)
    return seed.astype("<u8").tobytes()


def as_words(data: bytes) -> NDArray[np.uint32]:
    """Return bytes as little-endian 32-bit words."""
    return np.frombuffer(data, "<u4").astype(np.uint32)

"""Keccak as ProgPoW uses it: f800 as a bare permutation, keccak512 and keccak256 of one block.

The hashes pad as the original submission does (0x01 … 0x80), not as SHA-3 (0x06 … 0x80).
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
_ROTATIONS = (
    0, 1, 62, 28, 27, 36, 44, 6, 55, 20, 3, 10, 43, 25, 39, 41, 45, 15, 21, 8, 18, 2, 61, 56, 14,
)  # fmt: skip
"""By lane x + 5*y; f800 takes them mod 32."""

_ROUNDS64 = np.array(_ROUND_CONSTANTS, np.uint64)
_ROUNDS32 = np.array([c & 0xFFFFFFFF for c in _ROUND_CONSTANTS[:22]], np.uint32)
_ROTATIONS32 = np.array([n % 32 for n in _ROTATIONS], np.uint32)


@inlined
def _rotl64(x, n):  # type: ignore[no-untyped-def]
    return (x << np.uint64(n)) | (x >> np.uint64(64 - n))


@compiled
def keccak_f1600(s):  # type: ignore[no-untyped-def]
    """Permute s, shape (25,) uint64, in place; lane x + 5*y.

    Written out, since a loop over an array keeps the state in memory and is 5 times slower.
    """
    a0, a1, a2, a3, a4 = s[0], s[1], s[2], s[3], s[4]
    a5, a6, a7, a8, a9 = s[5], s[6], s[7], s[8], s[9]
    a10, a11, a12, a13, a14 = s[10], s[11], s[12], s[13], s[14]
    a15, a16, a17, a18, a19 = s[15], s[16], s[17], s[18], s[19]
    a20, a21, a22, a23, a24 = s[20], s[21], s[22], s[23], s[24]
    for r in range(24):
        c0 = a0 ^ a5 ^ a10 ^ a15 ^ a20
        c1 = a1 ^ a6 ^ a11 ^ a16 ^ a21
        c2 = a2 ^ a7 ^ a12 ^ a17 ^ a22
        c3 = a3 ^ a8 ^ a13 ^ a18 ^ a23
        c4 = a4 ^ a9 ^ a14 ^ a19 ^ a24
        d0 = c4 ^ _rotl64(c1, 1)
        d1 = c0 ^ _rotl64(c2, 1)
        d2 = c1 ^ _rotl64(c3, 1)
        d3 = c2 ^ _rotl64(c4, 1)
        d4 = c3 ^ _rotl64(c0, 1)
        b0 = a0 ^ d0
        b10 = _rotl64(a1 ^ d1, 1)
        b20 = _rotl64(a2 ^ d2, 62)
        b5 = _rotl64(a3 ^ d3, 28)
        b15 = _rotl64(a4 ^ d4, 27)
        b16 = _rotl64(a5 ^ d0, 36)
        b1 = _rotl64(a6 ^ d1, 44)
        b11 = _rotl64(a7 ^ d2, 6)
        b21 = _rotl64(a8 ^ d3, 55)
        b6 = _rotl64(a9 ^ d4, 20)
        b7 = _rotl64(a10 ^ d0, 3)
        b17 = _rotl64(a11 ^ d1, 10)
        b2 = _rotl64(a12 ^ d2, 43)
        b12 = _rotl64(a13 ^ d3, 25)
        b22 = _rotl64(a14 ^ d4, 39)
        b23 = _rotl64(a15 ^ d0, 41)
        b8 = _rotl64(a16 ^ d1, 45)
        b18 = _rotl64(a17 ^ d2, 15)
        b3 = _rotl64(a18 ^ d3, 21)
        b13 = _rotl64(a19 ^ d4, 8)
        b14 = _rotl64(a20 ^ d0, 18)
        b24 = _rotl64(a21 ^ d1, 2)
        b9 = _rotl64(a22 ^ d2, 61)
        b19 = _rotl64(a23 ^ d3, 56)
        b4 = _rotl64(a24 ^ d4, 14)
        a0 = b0 ^ (~b1 & b2) ^ _ROUNDS64[r]
        a1 = b1 ^ (~b2 & b3)
        a2 = b2 ^ (~b3 & b4)
        a3 = b3 ^ (~b4 & b0)
        a4 = b4 ^ (~b0 & b1)
        a5 = b5 ^ (~b6 & b7)
        a6 = b6 ^ (~b7 & b8)
        a7 = b7 ^ (~b8 & b9)
        a8 = b8 ^ (~b9 & b5)
        a9 = b9 ^ (~b5 & b6)
        a10 = b10 ^ (~b11 & b12)
        a11 = b11 ^ (~b12 & b13)
        a12 = b12 ^ (~b13 & b14)
        a13 = b13 ^ (~b14 & b10)
        a14 = b14 ^ (~b10 & b11)
        a15 = b15 ^ (~b16 & b17)
        a16 = b16 ^ (~b17 & b18)
        a17 = b17 ^ (~b18 & b19)
        a18 = b18 ^ (~b19 & b15)
        a19 = b19 ^ (~b15 & b16)
        a20 = b20 ^ (~b21 & b22)
        a21 = b21 ^ (~b22 & b23)
        a22 = b22 ^ (~b23 & b24)
        a23 = b23 ^ (~b24 & b20)
        a24 = b24 ^ (~b20 & b21)
    s[0], s[1], s[2], s[3], s[4] = a0, a1, a2, a3, a4
    s[5], s[6], s[7], s[8], s[9] = a5, a6, a7, a8, a9
    s[10], s[11], s[12], s[13], s[14] = a10, a11, a12, a13, a14
    s[15], s[16], s[17], s[18], s[19] = a15, a16, a17, a18, a19
    s[20], s[21], s[22], s[23], s[24] = a20, a21, a22, a23, a24


@compiled
def keccak512(state, block):  # type: ignore[no-untyped-def]
    """Replace block, shape (8,) uint64 little-endian, by its keccak512; `state` is scratch of
    25 uint64, given by the caller since allocating it costs more than a round."""
    for i in range(8):
        state[i] = block[i]
    for i in range(8, 25):
        state[i] = 0
    state[8] = np.uint64(0x8000000000000001)
    keccak_f1600(state)
    for i in range(8):
        block[i] = state[i]


@compiled
def _keccak256(state, block):  # type: ignore[no-untyped-def]
    for i in range(4):
        state[i] = block[i]
    for i in range(4, 25):
        state[i] = 0
    state[4] = np.uint64(1)
    state[16] = np.uint64(0x8000000000000000)
    keccak_f1600(state)
    for i in range(4):
        block[i] = state[i]


@compiled
def keccak_f800(s):  # type: ignore[no-untyped-def]
    """Permute s, shape (25,) uint32, in place; lane x + 5*y, 22 rounds."""
    b = np.empty(25, np.uint32)
    c = np.empty(5, np.uint32)
    for r in range(22):
        for x in range(5):
            c[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20]
        for x in range(5):
            n = c[(x + 1) % 5]
            d = c[(x + 4) % 5] ^ np.uint32((n << np.uint32(1)) | (n >> np.uint32(31)))
            for y in range(5):
                v = np.uint32(s[x + 5 * y] ^ d)
                n = _ROTATIONS32[x + 5 * y]
                turned = np.uint32((v << n) | (v >> ((np.uint32(32) - n) & np.uint32(31))))
                b[y + 5 * ((2 * x + 3 * y) % 5)] = turned if n else v
        for y in range(5):
            for x in range(5):
                s[x + 5 * y] = b[x + 5 * y] ^ (~b[(x + 1) % 5 + 5 * y] & b[(x + 2) % 5 + 5 * y])
        s[0] ^= _ROUNDS32[r]


def seed_hash(epoch: int) -> bytes:
    """Return the 32 bytes of epoch `epoch`: keccak256 applied so often to 32 zero bytes.

    Pools send it with each job; byte 0 first.
    """
    block = np.zeros(4, np.uint64)
    state = np.empty(25, np.uint64)
    for _ in range(epoch):
        _keccak256(state, block)
    return block.astype("<u8").tobytes()


def as_words(data: bytes) -> NDArray[np.uint32]:
    """Return bytes as little-endian 32-bit words."""
    return np.frombuffer(data, "<u4").astype(np.uint32)

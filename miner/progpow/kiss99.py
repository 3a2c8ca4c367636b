"""FNV-1a steps with the KISS99 generator that they seed."""

from __future__ import annotations

FNV_PRIME = 0x01000193
FNV_BASIS = 0x811C9DC5


def fnv1a(h: int, d: int) -> int:
    """Return one FNV-1a step over whole words; departs from the standard, which takes bytes."""
    return ((h ^ d) * FNV_PRIME) & 0xFFFFFFFF


class Kiss99:
    """Marsaglia's KISS generator of 1999 (sci.math, 20 January 1999), on 32-bit words."""

    def __init__(self, z: int, w: int, jsr: int, jcong: int) -> None:
        self.z, self.w, self.jsr, self.jcong = z, w, jsr, jcong

    def next(self) -> int:
        """Return the next word."""
        self.z = 36969 * (self.z & 0xFFFF) + (self.z >> 16) & 0xFFFFFFFF
        self.w = 18000 * (self.w & 0xFFFF) + (self.w >> 16) & 0xFFFFFFFF
        jsr = self.jsr
        jsr ^= jsr << 17 & 0xFFFFFFFF
        jsr ^= jsr >> 13
        jsr ^= jsr << 5 & 0xFFFFFFFF
        self.jsr = jsr
        self.jcong = 69069 * self.jcong + 1234567 & 0xFFFFFFFF
        mwc = (self.z << 16) + self.w & 0xFFFFFFFF
        return (mwc ^ self.jcong) + jsr & 0xFFFFFFFF

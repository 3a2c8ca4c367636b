"""The generators that everything random is drawn from: KISS99, seeded by FNV-1a."""

from __future__ import annotations

from collections.abc import Iterator

FNV_PRIME = 0x01000193
FNV_BASIS = 0x811C9DC5


def fnv1a(h: int, d: int) -> int:
    """Return one FNV-1a step. Departs from the standard: it takes a word at a time, not a byte."""
    return ((h ^ d) * FNV_PRIME) & 0xFFFFFFFF


def kiss99(z: int, w: int, jsr: int, jcong: int) -> tuple[int, int, int, int, int]:
    """Return the next state (z, w, jsr, jcong) and the next word of KISS99.

    Source: George Marsaglia, "Random Numbers for C", sci.math, 20 January 1999. A later KISS of
    his differs, hence the 99; his `unsigned long` is 32 bits here.
    """
    z = 36969 * (z & 0xFFFF) + (z >> 16) & 0xFFFFFFFF
    w = 18000 * (w & 0xFFFF) + (w >> 16) & 0xFFFFFFFF
    jsr ^= jsr << 17 & 0xFFFFFFFF
    jsr ^= jsr >> 13
    jsr ^= jsr << 5 & 0xFFFFFFFF
    jcong = 69069 * jcong + 1234567 & 0xFFFFFFFF
    word = ((((z << 16) + w) ^ jcong) + jsr) & 0xFFFFFFFF
    return z, w, jsr, jcong, word


def kiss99_words(z: int, w: int, jsr: int, jcong: int) -> Iterator[int]:
    """Yield the words of KISS99 without end."""
    while True:
        z, w, jsr, jcong, word = kiss99(z, w, jsr, jcong)
        yield word


def period_words(period: int) -> Iterator[int]:
    """Yield the words that the program of `period` is drawn from.

    Source: progPowInit of the specification.
    """
    low, high = period & 0xFFFFFFFF, period >> 32
    z = fnv1a(FNV_BASIS, low)
    w = fnv1a(z, high)
    jsr = fnv1a(w, low)
    return kiss99_words(z, w, jsr, fnv1a(jsr, high))

"""Exact conversions between pool difficulties, targets and compact bits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import isfinite

from miner.errors import ProtocolError

MAX_TARGET = 2**256 - 1
"""Every hash is at or below it."""

DIFF1_KAWPOW = 0xFF << 216
"""Target of difficulty 1 on KawPow pools: 00000000ff, then 54 zero digits."""

DIFF1_FFFF = 0xFFFF << 208
"""Target of difficulty 1 on FiroPow pools: 00000000ffff, then 52 zero digits."""

DIFF1_BY_DIGITS: Mapping[str | None, int | None] = {
    "ff": DIFF1_KAWPOW,
    "ffff": DIFF1_FFFF,
    None: None,
}
"""Target of difficulty 1 by a coin's `difficulty_one`; None: the dialect defines it."""

_HEX = re.compile(r"(?:0[xX])?([0-9a-fA-F]+)")


def target_from_difficulty(difficulty: int | float | Fraction, diff1: int) -> int:
    """Return floor(diff1 / difficulty), at most `MAX_TARGET`.

    Raises `ProtocolError` unless `difficulty` is finite and above 0.
    """
    if isinstance(difficulty, float) and not isfinite(difficulty):
        raise ProtocolError(f"difficulty {difficulty} is not a number above 0")
    if difficulty <= 0:
        raise ProtocolError("difficulty is not above 0")
    exact = Fraction(difficulty)
    return min(diff1 * exact.denominator // exact.numerator, MAX_TARGET)


def difficulty_from_target(target: int, diff1: int) -> Fraction:
    """Return diff1 / target, with a target of 0 taken as 1."""
    return Fraction(diff1, max(target, 1))


def expected_hashes(target: int) -> Fraction:
    """Return the average number of hashes to find one at or below `target`."""
    return Fraction(2**256, target + 1)


def target_from_bits(bits: int | str) -> int:
    """Return the 256-bit target of a block's compact `bits` (a number or its hex digits).

    Raises `ProtocolError` if they are malformed, negative or above 256 bits.
    """
    if isinstance(bits, str):
        match = _HEX.fullmatch(bits)
        if not match or len(match[1]) > 8:
            raise ProtocolError("bits are not up to 8 hex digits")
        bits = int(match[1], 16)
    if not 0 <= bits < 2**32:
        raise ProtocolError("bits do not fit 32 bits")
    size, mantissa = bits >> 24, bits & 0x007FFFFF
    target = mantissa << 8 * (size - 3) if size >= 3 else mantissa >> 8 * (3 - size)
    if mantissa and bits & 0x00800000:
        raise ProtocolError("bits stand for a negative target")
    if target > MAX_TARGET:
        raise ProtocolError("bits stand for a target above 256 bits")
    return target


def parse_target(text: str) -> int:
    """Return the number of big-endian hex digits, with or without 0x, short ones left-padded.

    Raises `ProtocolError` for anything but 1 to 64 hex digits.
    """
    match = _HEX.fullmatch(text)
    if not match or len(match[1]) > 64:
        raise ProtocolError("a target is not 1 to 64 hex digits")
    return int(match[1], 16)

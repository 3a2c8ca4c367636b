from __future__ import annotations

from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.progpow.kiss99 import FNV_BASIS, fnv1a, kiss99, kiss99_words
from tests.progpow.published import PRIMITIVES

WORD = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize("row", PRIMITIVES["fnv1a"], ids=str)
def test_fnv1a(row: dict[str, int]) -> None:
    assert fnv1a(row["h"], row["d"]) == row["out"]


def test_fnv1a_is_not_fnv1() -> None:
    """The vectors list both; FNV-1 multiplies first and would give the other column."""
    for row in PRIMITIVES["fnv1"]:
        assert ((row["a"] * 0x01000193) ^ row["b"]) & 0xFFFFFFFF == row["out"]
    assert any(fnv1a(row["a"], row["b"]) != row["out"] for row in PRIMITIVES["fnv1"])


@pytest.mark.parametrize("row", PRIMITIVES["kiss99"], ids=lambda row: str(row["first6"][0]))
def test_kiss99(row: dict[str, Any]) -> None:
    assert list(islice(kiss99_words(**row["state"]), 6)) == row["first6"]


def test_kiss99_up_to_the_hundred_thousandth_word() -> None:
    row = PRIMITIVES["kiss99_default_state"]
    words = list(islice(kiss99_words(**row["state"]), 100_000))
    assert words[:8] == row["first8"]
    assert words[-1] == row["nth_100000"]


@given(WORD, WORD, WORD, WORD)
def test_words_and_state_stay_within_32_bits(z: int, w: int, jsr: int, jcong: int) -> None:
    for _ in range(20):
        z, w, jsr, jcong, word = kiss99(z, w, jsr, jcong)
        assert all(0 <= value < 2**32 for value in (z, w, jsr, jcong, word))


@given(WORD, WORD)
def test_fnv1a_stays_within_32_bits_and_is_invertible(h: int, d: int) -> None:
    hashed = fnv1a(h, d)
    assert 0 <= hashed < 2**32
    inverse = pow(0x01000193, -1, 2**32)
    assert (hashed * inverse) & 0xFFFFFFFF == h ^ d
    assert FNV_BASIS == 0x811C9DC5

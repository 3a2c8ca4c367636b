from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.difficulty import (
    DIFF1_FFFF,
    DIFF1_KAWPOW,
    MAX_TARGET,
    difficulty_from_target,
    expected_hashes,
    parse_target,
    target_from_bits,
    target_from_difficulty,
)

TARGETS = st.integers(1, MAX_TARGET)
DIFF1S = st.sampled_from([DIFF1_KAWPOW, DIFF1_FFFF, MAX_TARGET])


def test_difficulty_one_targets_as_pools_write_them() -> None:
    assert f"{DIFF1_KAWPOW:064x}" == "00000000ff" + "0" * 54
    assert f"{DIFF1_FFFF:064x}" == "00000000ffff" + "0" * 52


def test_difficulty_one_is_diff1() -> None:
    assert target_from_difficulty(1, DIFF1_KAWPOW) == DIFF1_KAWPOW
    assert difficulty_from_target(DIFF1_KAWPOW, DIFF1_KAWPOW) == 1
    assert expected_hashes(DIFF1_KAWPOW) == Fraction(2**256, DIFF1_KAWPOW + 1)


def test_half_a_difficulty_doubles_the_target() -> None:
    assert target_from_difficulty(0.5, DIFF1_KAWPOW) == 2 * DIFF1_KAWPOW


def test_recorded_target_is_its_difficulty() -> None:
    target = parse_target("0000000007f80000000000000000000000000000000000000000000000000000")
    assert difficulty_from_target(target, DIFF1_KAWPOW) == 32


def test_easiest_and_the_hardest_target() -> None:
    assert target_from_difficulty(Fraction(1, 2**300), DIFF1_KAWPOW) == MAX_TARGET
    assert target_from_difficulty(2**300, DIFF1_KAWPOW) == 0
    assert expected_hashes(MAX_TARGET) == 1
    assert expected_hashes(0) == 2**256
    assert difficulty_from_target(0, DIFF1_KAWPOW) == DIFF1_KAWPOW


@pytest.mark.parametrize("difficulty", [0, -1, 0.0, float("nan"), float("inf"), -float("inf")])
def test_invalid_difficulty_is_refused(difficulty: float) -> None:
    with pytest.raises(ProtocolError):
        target_from_difficulty(difficulty, DIFF1_KAWPOW)


@given(TARGETS, DIFF1S)
def test_target_to_difficulty_and_back_is_exact(target: int, diff1: int) -> None:
    assert target_from_difficulty(difficulty_from_target(target, diff1), diff1) == target


@given(TARGETS, TARGETS, DIFF1S)
def test_easier_target_is_never_a_higher_difficulty(a: int, b: int, diff1: int) -> None:
    easy, hard = max(a, b), min(a, b)
    assert difficulty_from_target(easy, diff1) <= difficulty_from_target(hard, diff1)
    assert expected_hashes(easy) <= expected_hashes(hard)


@given(st.floats(1e-12, 1e18), st.floats(1e-12, 1e18), DIFF1S)
def test_higher_difficulty_is_never_an_easier_target(a: float, b: float, diff1: int) -> None:
    assert target_from_difficulty(max(a, b), diff1) <= target_from_difficulty(min(a, b), diff1)


@pytest.mark.parametrize(
    ("bits", "target"),
    [
        ("1b0135ad", 0x0135AD << 192),
        ("0x1d00ffff", 0xFFFF << 208),
        (0x1F3FFFFF, 0x3FFFFF << 224),
        ("01123456", 0x12),
        ("00123456", 0),
        ("00000000", 0),
        ("04800000", 0),
        ("207fffff", 0x7FFFFF << 232),
    ],
)
def test_compact_bits(bits: int | str, target: int) -> None:
    assert target_from_bits(bits) == target


@pytest.mark.parametrize(
    "bits", ["", "0x", "xyz", "01b0135ad", "1b0135ad0", "04923456", "ff123456", -1, 2**32]
)
def test_invalid_bits_are_refused(bits: int | str) -> None:
    with pytest.raises(ProtocolError):
        target_from_bits(bits)


def test_target_with_and_without_0x() -> None:
    assert parse_target("0x00ff") == parse_target("FF") == 255


def test_short_target_is_left_padded() -> None:
    assert parse_target("ff") == parse_target("ff".rjust(64, "0"))


@pytest.mark.parametrize("text", ["", "0x", "g", " ff", "ff\n", "+1", "1_0", "0" * 65, "٣"])
def test_invalid_target_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError):
        parse_target(text)


@given(TARGETS)
def test_target_survives_formatting_and_parsing(target: int) -> None:
    assert parse_target(f"{target:064x}") == target

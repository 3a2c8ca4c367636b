from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.progpow.keccak import (
    as_words,
    keccak256,
    keccak512,
    keccak_f800,
    keccak_f1600,
    seed_hash,
)
from tests.progpow.published import PRIMITIVES, VECTORS

PADDED: dict[str, str] = PRIMITIVES["keccak_original_padding"]


@pytest.mark.parametrize("row", PRIMITIVES["keccak_f800"], ids=lambda row: str(row["out"][0]))
def test_keccak_f800(row: dict[str, list[int]]) -> None:
    state = np.array(row["in"], np.uint32)
    keccak_f800(state)
    assert state.tolist() == row["out"]


def test_keccak_f1600_with_the_empty_message() -> None:
    """keccak512 takes 64-byte blocks only, so the test pads the empty message."""
    for name, rate, length in (("keccak256_empty", 136, 32), ("keccak512_empty", 72, 64)):
        block = bytearray(200)
        block[0] = 0x01
        block[rate - 1] |= 0x80
        state = np.frombuffer(bytes(block), "<u8").astype(np.uint64)
        keccak_f1600(state)
        assert state.astype("<u8").tobytes()[:length].hex() == PADDED[name]


def test_keccak512_of_a_block_pads_as_the_original_does() -> None:
    block = np.arange(8, dtype=np.uint64)
    padded = bytearray(200)
    padded[:64] = block.astype("<u8").tobytes()
    padded[64] = 0x01
    padded[71] |= 0x80
    state = np.frombuffer(bytes(padded), "<u8").astype(np.uint64)
    keccak_f1600(state)
    keccak512(np.empty(25, np.uint64), block)
    assert block.tolist() == state[:8].tolist()


def test_keccak256_of_32_zero_bytes_is_the_seed_of_epoch_1() -> None:
    assert seed_hash(0) == bytes(32)
    assert seed_hash(1).hex() == PADDED["keccak256_of_32_zero_bytes"]
    assert keccak256(bytes(32)) == seed_hash(1)
    assert keccak256(b"").hex() == PADDED["keccak256_empty"]


@pytest.mark.parametrize("size", [1, 135, 136, 137, 271, 272, 273, 274])
def test_keccak256_of_any_length_absorbs_block_after_block(size: int) -> None:
    data = bytes(i % 251 for i in range(size))
    rest = bytearray(136)
    whole = size // 136 * 136
    rest[: size - whole] = data[whole:]
    rest[size - whole] ^= 0x01
    rest[135] ^= 0x80
    state = np.zeros(25, np.uint64)
    for at in range(0, whole + 136, 136):
        for lane, word in enumerate(np.frombuffer((data[:whole] + rest)[at : at + 136], "<u8")):
            state[lane] ^= word
        keccak_f1600(state)
    assert keccak256(data) == state.astype("<u8").tobytes()[:32]


def test_every_published_seed() -> None:
    seeds = {row["epoch"]: row["seed"] for rows in VECTORS["sizes"].values() for row in rows}
    seeds |= {row["epoch"]: row["seed"] for row in VECTORS["epochs"]}
    assert max(seeds) == 1000
    for epoch, seed in seeds.items():
        assert seed_hash(epoch).hex() == seed


@given(st.binary(min_size=32, max_size=32))
def test_words_are_little_endian(data: bytes) -> None:
    words = as_words(data)
    assert words.dtype == np.uint32
    assert words.shape == (8,)
    assert [int(w) for w in words] == [
        int.from_bytes(data[i : i + 4], "little") for i in range(0, 32, 4)
    ]

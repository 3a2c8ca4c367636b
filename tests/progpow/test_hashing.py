from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.errors import BadValue
from miner.progpow.hashing import Hasher, absorb, fill_mix, math, merge
from miner.progpow.instructions import OPERATIONS, merge_of
from miner.progpow.keccak import as_words
from miner.progpow.variant import LANES, FixedSizes
from tests.progpow.published import (
    PRIMITIVES,
    VECTORS,
    LightCaches,
    assert_published,
    named,
    toy_light,
)

TOY = FixedSizes(509, 8191, 0)


@pytest.mark.parametrize("row", VECTORS["toy"], ids=lambda r: r["variant"])
def test_toy_hashes(row: dict[str, Any]) -> None:
    sizes = FixedSizes(row["light_items"], row["dataset_items_128B"], row["seed_epoch"])
    light = toy_light(named(row["variant"]).parents, sizes)
    assert len(row["vectors"]) >= 3
    for vector in row["vectors"]:
        assert_published(light, vector | {"variant": row["variant"]})


def test_the_unpadded_draft_of_094_never_matches(caches: LightCaches) -> None:
    """Published before the padding words were added; no chain used it."""
    variant = variants()["progpow-0.9.4"]
    for row in VECTORS["spec_094_draft_unpadded"]["vectors"]:
        light = caches.light(variant.epoch(row["epoch"]))
        hasher = Hasher(variant, variant.period_at(row["height"]), light)
        digest = hasher.hash(bytes.fromhex(row["header_hash"]), int(row["nonce"], 16))
        assert digest.mix_hash.hex() != row["mix_hash"]
        assert digest.final_hash.hex() != row["final_hash"]


@pytest.mark.parametrize("row", VECTORS["traces"], ids=lambda r: r["variant"])
def test_the_first_keccak_and_its_seed(row: dict[str, Any]) -> None:
    variant = named(row["variant"])
    header = as_words(bytes.fromhex(row["header_hash"]))
    nonce = as_words(int(row["nonce"], 16).to_bytes(8, "little"))
    padding = np.array(variant.initial_padding, np.uint32)
    digest = absorb(header, nonce, padding).astype("<u4").tobytes()
    assert digest.hex() == row["keccak_init"]
    order = "big" if variant.absorbs == "header" else "little"
    assert int.from_bytes(digest[:8], order) == int(row["mix_seed"], 16)


@pytest.mark.parametrize(
    "row", [r for r in VECTORS["real_blocks"] if "header_bytes_for_header_hash" in r]
)
def test_a_real_header_hash_is_a_reversed_double_sha256(row: dict[str, Any]) -> None:
    header = bytes.fromhex(row["header_bytes_for_header_hash"])
    twice = hashlib.sha256(hashlib.sha256(header).digest()).digest()
    assert twice[::-1].hex() == row["header_hash"]


@pytest.mark.parametrize("row", PRIMITIVES["fill_mix"], ids=lambda r: f"{r['seed']}-{r['lane']}")
@pytest.mark.parametrize("registers", [16, 32])
def test_fill_mix(row: dict[str, Any], registers: int) -> None:
    seed = int(row["seed"], 16)
    mix = np.empty((LANES, registers), np.int64)
    fill_mix(seed & 0xFFFFFFFF, seed >> 32, mix)
    assert mix[row["lane"]].tolist() == row["mix"][:registers]


@pytest.mark.parametrize("row", PRIMITIVES["merge"], ids=str)
def test_merge(row: dict[str, int]) -> None:
    kind, rotation = merge_of(row["r"])
    got = merge(row["a"], row["b"], kind, rotation)
    assert int(got) == row["out"]


@pytest.mark.parametrize(
    ("name", "column"), [("kawpow", "out_standard"), ("progpowz", "out_progpowz")]
)
@pytest.mark.parametrize("row", PRIMITIVES["math"], ids=str)
def test_math(row: dict[str, int], name: str, column: str) -> None:
    table = variants()[name].math_table
    operation = OPERATIONS.index(table[row["r"] % len(table)])
    assert int(math(operation, row["a"], row["b"])) == row[column]


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_header_that_is_not_32_bytes_is_an_error(length: int) -> None:
    hasher = Hasher(variants()["kawpow"], 0, toy_light(512, TOY))
    with pytest.raises(BadValue, match=rf"^header_hash: needs 32 bytes, has {length}$") as error:
        hasher.hash(bytes(length), 0)
    assert error.value.field == "header_hash"


@pytest.mark.parametrize("nonce", [-1, 2**64, 2**80])
def test_a_nonce_beyond_64_bits_is_an_error(nonce: int) -> None:
    hasher = Hasher(variants()["kawpow"], 0, toy_light(512, TOY))
    with pytest.raises(BadValue, match=rf"^nonce: {nonce} is outside 0 to 2\*\*64 - 1$") as error:
        hasher.hash(bytes(32), nonce)
    assert error.value.field == "nonce"


def test_all_64_bits_of_the_nonce_count() -> None:
    hasher = Hasher(variants()["kawpow"], 0, toy_light(512, TOY))
    digests = {hasher.hash(bytes(32), nonce).final_hash for nonce in (0, 1, 2**32, 2**64 - 1)}
    assert len(digests) == 4

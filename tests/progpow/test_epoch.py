from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import variants
from miner.errors import BadValue
from miner.progpow.epoch import largest_prime_upto
from miner.progpow.keccak import seed_hash
from tests.progpow.published import VECTORS

HEIGHTS = VECTORS["height_to_epoch_and_progseed"]
NAMES = sorted(HEIGHTS["rows"])


def is_prime(n: int) -> bool:
    return all(n % divisor for divisor in range(2, math.isqrt(n) + 1))


def test_the_vectors_are_of_shipped_variants() -> None:
    assert set(NAMES) <= set(variants())
    assert sorted(VECTORS["sizes"]) == NAMES
    assert HEIGHTS["columns"] == ["height", "epoch", "prog_seed"]


@pytest.mark.parametrize("name", NAMES)
def test_heights_to_epochs_and_periods(name: str) -> None:
    variant = variants()[name]
    for height, epoch, period in HEIGHTS["rows"][name]:
        assert variant.epoch_at(height).number == epoch
        assert variant.period_at(height) == period


@pytest.mark.parametrize("name", NAMES)
def test_sizes_and_seeds(name: str) -> None:
    for row in VECTORS["sizes"][name]:
        epoch = variants()[name].epoch(row["epoch"])
        assert epoch.light_items == row["light_items"]
        assert epoch.light_bytes == row["light_bytes"]
        assert epoch.dataset_items == row["dataset_items_128B"]
        assert epoch.dataset_bytes == row["dataset_bytes"]
        assert seed_hash(epoch.seed_epoch).hex() == row["seed"]


@pytest.mark.parametrize("row", VECTORS["epochs"], ids=lambda r: f"{r['group']}-{r['epoch']}")
def test_entries_and_nodes(row: dict[str, Any]) -> None:
    for group in row["variants"]:
        epoch = variants()[group.split("(")[0]].epoch(row["epoch"])
        assert epoch.entries == row["dataset_items_256B"]
        assert epoch.entries - 1 == row["dataset_256B_last_index"]
        # Two nodes per item; those of an odd last item belong to no entry.
        assert epoch.dataset_items * 2 - 1 == row["dataset_64B_last_index"]
        assert epoch.nodes == epoch.entries * 4


@given(st.integers(2, 300_000))
def test_largest_prime_upto(n: int) -> None:
    found = largest_prime_upto(n)
    assert is_prime(found)
    assert not any(is_prime(m) for m in range(found + 1, n + 1))


@given(st.sampled_from(NAMES), st.integers(0, 4_000_000), st.integers(0, 4_000_000))
def test_a_later_height_never_has_an_earlier_epoch(name: str, a: int, b: int) -> None:
    variant = variants()[name]
    low, high = sorted((a, b))
    if variant.clamp or len(variant.spans) > 1:
        # A clamp or a restart goes back to a lower epoch once.
        assert variant.period_at(low) <= variant.period_at(high)
        return
    first, second = variant.epoch_at(low), variant.epoch_at(high)
    assert first.number <= second.number
    assert first.light_items <= second.light_items
    assert first.dataset_items <= second.dataset_items


@given(st.sampled_from(NAMES), st.integers(0, 900))
def test_sizes_grow_with_the_epoch_and_are_prime(name: str, number: int) -> None:
    this, following = variants()[name].epoch(number), variants()[name].epoch(number + 1)
    assert this.light_items < following.light_items
    assert this.dataset_items < following.dataset_items
    for n in (this.light_items, this.dataset_items):
        assert largest_prime_upto(n) == n


@pytest.mark.parametrize("height", [-1, -(2**70), 2**63, 2**64])
def test_an_impossible_height_is_an_error(height: int) -> None:
    kawpow = variants()["kawpow"]
    for ask in (kawpow.period_at, kawpow.epoch_at):
        with pytest.raises(BadValue, match=rf"^height: {height} is outside 0 to {2**63 - 1}$") as e:
            ask(height)
        assert e.value.field == "height"


def test_an_epoch_below_0_or_beyond_32_bits_is_an_error() -> None:
    kawpow = variants()["kawpow"]
    with pytest.raises(BadValue, match=r"^epoch: -1 is below 0$"):
        kawpow.epoch(-1)
    with pytest.raises(BadValue, match=r"^epoch: \d+ of kawpow has more dataset items than"):
        kawpow.epoch_at(2**63 - 1)

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.progpow.epoch import Epoch
from miner.progpow.light import build_light_cache, dataset_entry, dataset_nodes, light_cache
from miner.progpow.variant import L1_WORDS, FixedSizes
from tests.progpow.published import VECTORS, LightCaches, named, toy_light, words

TOY = FixedSizes(509, 8191, 0)


@pytest.mark.parametrize("row", VECTORS["epochs"], ids=lambda r: f"{r['group']}-{r['epoch']}")
def test_real_epochs(row: dict[str, Any], caches: LightCaches) -> None:
    epoch = named(row["variants"][0]).epoch(row["epoch"])
    for other in row["variants"][1:]:
        assert named(other).epoch(row["epoch"]) == epoch, "one dataset for the whole group"
    light = caches.light(epoch)
    assert light.cache.shape == (row["light_items"], 16)
    for index, key in ((0, "0"), (1, "1"), (-1, "last")):
        assert light.cache[index].tolist() == words(row[f"light_cache_item_{key}"]).tolist()

    assert light.l1.shape == (L1_WORDS,)
    assert light.l1[:20].tolist() == row["l1_first20_u32"]
    assert light.l1[-4:].tolist() == row["l1_last4_u32"]

    entry = np.empty((4, 16), np.uint32)
    last = row["dataset_256B_last_index"]
    for index, key in ((0, "0"), (1, "1"), (last, "last")):
        wanted = words(row[f"dataset_256B_item_{key}"])
        dataset_entry(light.cache, epoch.parents, index, entry)
        assert entry.reshape(-1).tolist() == wanted.tolist()
    node = dataset_nodes(epoch, light.cache, row["dataset_64B_last_index"], 1)
    assert node.reshape(-1).tolist() == words(row["dataset_64B_item_last"]).tolist()


@pytest.mark.parametrize("row", VECTORS["toy"], ids=lambda r: r["variant"])
def test_toy_caches(row: dict[str, Any]) -> None:
    sizes = FixedSizes(row["light_items"], row["dataset_items_128B"], row["seed_epoch"])
    light = toy_light(named(row["variant"]).parents, sizes)
    assert light.cache[0].tolist() == words(row["light_cache_0"]).tolist()
    assert light.cache[-1].tolist() == words(row["light_cache_last"]).tolist()
    assert light.l1[:8].tolist() == row["l1_first8_u32"]


def test_the_progress_grows_to_1() -> None:
    epoch = Epoch(0, 0, 200_003, 8191, 256)
    out = np.empty((epoch.light_items, 16), np.uint32)
    shares = list(build_light_cache(epoch, out))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) >= 4
    assert all(0 < share <= 1 for share in shares)
    np.testing.assert_array_equal(out, light_cache(epoch))


@given(st.integers(0, 400), st.integers(0, 40))
def test_nodes_do_not_depend_on_the_range(first: int, count: int) -> None:
    light = toy_light(256, TOY)
    nodes = dataset_nodes(light.epoch, light.cache, first, count)
    assert nodes.shape == (count, 16)
    whole = dataset_nodes(light.epoch, light.cache, 0, 440)
    np.testing.assert_array_equal(nodes, whole[first : first + count])


def test_l1_is_the_beginning_of_the_dataset() -> None:
    light = toy_light(512, TOY)
    nodes = dataset_nodes(light.epoch, light.cache, 0, L1_WORDS // 16)
    np.testing.assert_array_equal(light.l1, nodes.reshape(-1))

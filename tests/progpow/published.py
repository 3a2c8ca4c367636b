"""The published vectors and their light caches."""

from __future__ import annotations

import json
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.catalog import variants
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import light_cache
from miner.progpow.variant import FixedSizes, Variant

FOLDER = Path(__file__).parents[1] / "vectors"


def _read(name: str) -> dict[str, Any]:
    tables: dict[str, Any] = json.loads((FOLDER / name).read_text())
    return tables


def _with_tables_of(vectors: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Add the rows of `other`, whose epochs are in `vectors` already."""
    for table in ("toy", "vectors"):
        vectors[table] += other[table]
    for row in other["epochs"]:
        place = row["group"], row["epoch"]
        (same,) = (r for r in vectors["epochs"] if (r["group"], r["epoch"]) == place)
        for key in row.keys() - {"variants", "source"}:
            assert row[key] == same[key]
        same["variants"] += row["variants"]
    return vectors


IN_PLACE: dict[str, Any] = _read("oggpow-vectors.json")
VECTORS: dict[str, Any] = _with_tables_of(_read("progpow-vectors.json"), IN_PLACE)

PRIMITIVES: dict[str, Any] = VECTORS["primitives"]

CacheKey = tuple[int, int]
"""Seed epoch and number of items, which determine a light cache."""


def key_of(epoch: Epoch) -> CacheKey:
    return epoch.seed_epoch, epoch.light_items


def words(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(bytes.fromhex(text), "<u4").astype(np.uint32)


def named(group: str) -> Variant:
    """The variant of a row such as "kawpow" or "meowpow(<110)"."""
    return variants()[group.split("(")[0]]


@lru_cache(maxsize=8)
def toy_light(parents: int, sizes: FixedSizes) -> Light:
    epoch = Epoch(0, sizes.seed_epoch, sizes.light_items, sizes.dataset_items, parents)
    return Light.of(epoch, light_cache(epoch))


class LightCaches:
    """Light caches shared by all tests: those in `keep` stay in memory, of others the last."""

    def __init__(self, keep: frozenset[CacheKey]) -> None:
        self._keep = keep
        self._built: OrderedDict[CacheKey, NDArray[np.uint32]] = OrderedDict()

    def light(self, epoch: Epoch) -> Light:
        key = key_of(epoch)
        if key not in self._built:
            for other in [k for k in self._built if k not in self._keep]:
                del self._built[other]
            self._built[key] = light_cache(epoch)
        return Light.of(epoch, self._built[key])


def assert_published(light: Light, row: dict[str, Any]) -> None:
    """The reference's hash is the published one."""
    variant = named(row["variant"])
    hasher = Hasher(variant, variant.period_at(row["height"]), light)
    digest, indices = hasher.trace(bytes.fromhex(row["header_hash"]), int(row["nonce"], 16))
    assert digest.mix_hash.hex() == row["mix_hash"], row
    assert digest.final_hash.hex() == row["final_hash"], row
    assert digest.value == int(row["final_hash"], 16), row
    if row.get("boundary"):
        assert digest.value <= int(row["boundary"], 16), row
    if "dag_item_indices" in row:
        assert indices.tolist() == row["dag_item_indices"], row

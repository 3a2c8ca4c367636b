"""Variants with the sizes of their known answers, a dataset of 1 MiB."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from miner.catalog import variants
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import KnownAnswer, Variant

NAMES = sorted(variants())


@dataclass(frozen=True)
class Toy:
    epoch: Epoch

    @cached_property
    def light(self) -> Light:
        return Light.of(self.epoch, light_cache(self.epoch))

    @cached_property
    def nodes(self) -> NDArray[np.uint32]:
        return dataset_nodes(self.epoch, self.light.cache, 0, self.epoch.nodes)


@lru_cache(maxsize=8)
def toy_at(epoch: Epoch) -> Toy:
    return Toy(epoch)


def toy_of(variant: Variant, answer: KnownAnswer) -> Toy:
    return toy_at(variant.with_sizes(answer.sizes).epoch_at(answer.height))


def hasher_of(variant: Variant, answer: KnownAnswer) -> Hasher:
    return Hasher(variant, variant.period_at(answer.height), toy_of(variant, answer).light)

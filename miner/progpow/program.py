"""The random program of a period, in the way that the variant chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from miner.progpow.in_place import in_place_steps
from miner.progpow.instructions import Instruction, Program
from miner.progpow.kiss99 import period_words
from miner.progpow.shuffled import shuffled_steps
from miner.progpow.variant import LANES, Variant

Scheme = Callable[[Variant, Iterator[int]], Iterator[Instruction]]
"""Yields a program's instructions, drawn from the words of the period's generator."""

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {"shuffled": shuffled_steps, "in-place": in_place_steps}
)
"""By name, as in `Choices.scheme`."""


@lru_cache(maxsize=64)
def program(variant: Variant, period: int) -> Program:
    """Return the program of `period`."""
    choices, words = variant.choices, period_words(period)
    steps = tuple(SCHEMES[choices.scheme](variant, words))
    entry_lane = next(words) % LANES if choices.entry_lane == "drawn" else None
    return Program(steps, entry_lane, choices)

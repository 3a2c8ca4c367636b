"""The random program of a period, in the way that the variant chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import cycle
from types import MappingProxyType

from miner.progpow.instructions import (
    CACHE_READ,
    DAG_WORD,
    Instruction,
    Program,
    drawn_merge,
    entry_merge,
)
from miner.progpow.kiss99 import period_words
from miner.progpow.variant import DAG_LOADS, LANES, Variant


def shuffled_steps(variant: Variant, words: Iterator[int]) -> Iterator[Instruction]:
    """Yield the instructions in the order in which they run, each drawn as a whole; their registers
    come from two shuffled sequences.

    Source: progPowInit and progPowLoop of the specification.
    """
    choices = variant.choices
    # Two Fisher-Yates shuffles, drawn in turn: every register is written, and read from the L1
    # cache, once before any is twice.
    registers = variant.registers
    order_written, order_read = list(range(registers)), list(range(registers))
    for i in range(registers - 1, 0, -1):
        for order in (order_written, order_read):
            j = next(words) % (i + 1)
            order[i], order[j] = order[j], order[i]
    destinations, sources = cycle(order_written), cycle(order_read)

    for i in range(max(variant.cache_reads, variant.math_operations)):
        if i < variant.cache_reads:
            source, destination = next(sources), next(destinations)
            yield Instruction(CACHE_READ, source, 0, destination, *drawn_merge(words, choices))
        if i < variant.math_operations:
            pair = next(words) % (registers * (registers - 1))
            first, second = pair % registers, pair // registers
            if second >= first:  # never the same register twice
                second += 1
            operation = variant.operation_of(next(words))
            destination = next(destinations)
            merge = drawn_merge(words, choices)
            yield Instruction(operation, first, second, destination, *merge)
    for word in range(DAG_LOADS):
        # The first word goes to register 0, which selects the next loop's entry.
        destination = next(destinations) if word else 0
        yield Instruction(DAG_WORD, word, 0, destination, *entry_merge(words, choices))


def in_place_steps(variant: Variant, words: Iterator[int]) -> Iterator[Instruction]:
    """Yield the instructions in the order in which they run: cache reads and math operations in
    turn, then the entry's words. They are drawn by kind, the math operations first. Each writes the
    register that it reads first.

    Source: the `sources` of the variants with this scheme.
    """
    choices = variant.choices
    registers = _unused_registers(variant.registers, words)
    maths, reads = [], []
    for _ in range(variant.math_operations):
        first, second = next(registers), next(registers)
        operation = variant.operation_of(next(words))
        merge = drawn_merge(words, choices)
        maths.append(Instruction(operation, first, second, first, *merge))
    for _ in range(variant.cache_reads):
        register = next(words) % variant.registers
        merge = drawn_merge(words, choices)
        reads.append(Instruction(CACHE_READ, register, 0, register, *merge))

    for i in range(max(len(reads), len(maths))):
        yield from reads[i : i + 1]
        yield from maths[i : i + 1]
    for word in range(DAG_LOADS):
        # Register 0, which selects the next loop's entry, is one of these.
        yield Instruction(DAG_WORD, word, 0, word, *entry_merge(words, choices))


def _unused_registers(registers: int, words: Iterator[int]) -> Iterator[int]:
    """Yield registers, each once before any is twice: the first unused one from a random one on."""
    used: set[int] = set()
    while True:
        register = next(words) % registers
        if len(used) == registers:
            used.clear()
            register = next(words) % registers  # the word drawn before is dropped
        while register in used:
            register = (register + 1) % registers
        used.add(register)
        yield register


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

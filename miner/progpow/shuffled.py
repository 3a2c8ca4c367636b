"""Programs whose registers come from two shuffled sequences, as ProgPoW draws them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

from miner.progpow.instructions import CACHE_READ, DAG_WORD, Instruction, drawn_merge, entry_merge
from miner.progpow.variant import DAG_LOADS, Variant


def shuffled_steps(variant: Variant, words: Iterator[int]) -> Iterator[Instruction]:
    """Yield the instructions in the order in which they run, each drawn as a whole.

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

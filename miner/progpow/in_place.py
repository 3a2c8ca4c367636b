"""Programs whose instructions write the register that they read first."""

from __future__ import annotations

from collections.abc import Iterator

from miner.progpow.instructions import CACHE_READ, DAG_WORD, Instruction, drawn_merge, entry_merge
from miner.progpow.variant import DAG_LOADS, Variant


def in_place_steps(variant: Variant, words: Iterator[int]) -> Iterator[Instruction]:
    """Yield the instructions in the order in which they run: cache reads and math operations in
    turn, then the entry's words. They are drawn by kind, the math operations first.

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

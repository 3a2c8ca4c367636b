"""The random program of a period, and the generators that draw it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import cycle

from miner.progpow.variant import DAG_LOADS, MATH_OPERATIONS, Variant

FNV_PRIME = 0x01000193
FNV_BASIS = 0x811C9DC5


def fnv1a(h: int, d: int) -> int:
    """Return one FNV-1a step. Departs from the standard: it takes a word at a time, not a byte."""
    return ((h ^ d) * FNV_PRIME) & 0xFFFFFFFF


def kiss99(z: int, w: int, jsr: int, jcong: int) -> tuple[int, int, int, int, int]:
    """Return the next state (z, w, jsr, jcong) and the next word of KISS99.

    Source: George Marsaglia, "Random Numbers for C", sci.math, 20 January 1999. A later KISS of
    his differs, hence the 99; his `unsigned long` is 32 bits here.
    """
    z = 36969 * (z & 0xFFFF) + (z >> 16) & 0xFFFFFFFF
    w = 18000 * (w & 0xFFFF) + (w >> 16) & 0xFFFFFFFF
    jsr ^= jsr << 17 & 0xFFFFFFFF
    jsr ^= jsr >> 13
    jsr ^= jsr << 5 & 0xFFFFFFFF
    jcong = 69069 * jcong + 1234567 & 0xFFFFFFFF
    word = ((((z << 16) + w) ^ jcong) + jsr) & 0xFFFFFFFF
    return z, w, jsr, jcong, word


def kiss99_words(z: int, w: int, jsr: int, jcong: int) -> Iterator[int]:
    """Yield the words of KISS99 without end."""
    while True:
        z, w, jsr, jcong, word = kiss99(z, w, jsr, jcong)
        yield word


MERGES = ("mad33", "xor_mul33", "rotl_xor", "rotr_xor")
"""Ways to merge b into register a: a*33+b, (a^b)*33, rotl(a,n)^b, rotr(a,n)^b."""


CACHE_READ = "cache_read"
DAG_WORD = "dag_word"
OPERATIONS = (*MATH_OPERATIONS, CACHE_READ, DAG_WORD)


@dataclass(frozen=True, slots=True)
class Instruction:
    """mix[destination] = merge(mix[destination], operand), in every lane."""

    operation: str
    """The operand: l1[mix[first]] of a cache read, word `first` of the lane's four words of the
    dataset entry, else operation(mix[first], mix[second])."""
    first: int
    second: int
    destination: int
    merge: str
    rotation: int


Program = tuple[Instruction, ...]


def merge_of(selector: int) -> tuple[str, int]:
    """Return the kind and the rotation (1 to 31) encoded in a 32-bit selector."""
    return MERGES[selector % 4], (selector >> 16) % 31 + 1


@lru_cache(maxsize=64)
def program(variant: Variant, period: int) -> Program:
    """Return the instructions of `period`, the same for every lane.

    Source: progPowInit and progPowLoop of the specification.
    """
    low, high = period & 0xFFFFFFFF, period >> 32
    z = fnv1a(FNV_BASIS, low)
    w = fnv1a(z, high)
    jsr = fnv1a(w, low)
    rng = kiss99_words(z, w, jsr, fnv1a(jsr, high))

    def instruction(operation: str, first: int, second: int, destination: int) -> Instruction:
        return Instruction(operation, first, second, destination, *merge_of(next(rng)))

    # Two Fisher-Yates shuffles, drawn in turn: every register is written, and read from the L1
    # cache, once before any is twice.
    registers = variant.registers
    order_written, order_read = list(range(registers)), list(range(registers))
    for i in range(registers - 1, 0, -1):
        for order in (order_written, order_read):
            j = next(rng) % (i + 1)
            order[i], order[j] = order[j], order[i]
    destinations, sources = cycle(order_written), cycle(order_read)

    steps: list[Instruction] = []
    for i in range(max(variant.cache_reads, variant.math_operations)):
        if i < variant.cache_reads:
            steps.append(instruction(CACHE_READ, next(sources), 0, next(destinations)))
        if i < variant.math_operations:
            pair = next(rng) % (registers * (registers - 1))
            first, second = pair % registers, pair // registers
            if second >= first:  # never the same register twice
                second += 1
            operation = variant.math_table[next(rng) % len(variant.math_table)]
            steps.append(instruction(operation, first, second, next(destinations)))
    for word in range(DAG_LOADS):
        # The first word goes to register 0, which selects the next loop's entry.
        steps.append(instruction(DAG_WORD, word, 0, next(destinations) if word else 0))
    return tuple(steps)

"""The random program of a period, drawn by KISS99."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from miner.progpow.variant import DAG_LOADS, Variant

FNV_PRIME = 0x01000193
FNV_BASIS = 0x811C9DC5


def fnv1a(h: int, d: int) -> int:
    """Return one FNV-1a step over whole words; departs from the standard, which takes bytes."""
    return ((h ^ d) * FNV_PRIME) & 0xFFFFFFFF


class Kiss99:
    """Marsaglia's KISS generator of 1999 (sci.math, 20 January 1999), on 32-bit words."""

    def __init__(self, z: int, w: int, jsr: int, jcong: int) -> None:
        self.z, self.w, self.jsr, self.jcong = z, w, jsr, jcong

    def next(self) -> int:
        """Return the next word."""
        self.z = 36969 * (self.z & 0xFFFF) + (self.z >> 16) & 0xFFFFFFFF
        self.w = 18000 * (self.w & 0xFFFF) + (self.w >> 16) & 0xFFFFFFFF
        jsr = self.jsr
        jsr ^= jsr << 17 & 0xFFFFFFFF
        jsr ^= jsr >> 13
        jsr ^= jsr << 5 & 0xFFFFFFFF
        self.jsr = jsr
        self.jcong = 69069 * self.jcong + 1234567 & 0xFFFFFFFF
        mwc = (self.z << 16) + self.w & 0xFFFFFFFF
        return (mwc ^ self.jcong) + jsr & 0xFFFFFFFF


Merge = Literal["mad33", "xor_mul33", "rotl_xor", "rotr_xor"]

MERGES: tuple[Merge, ...] = ("mad33", "xor_mul33", "rotl_xor", "rotr_xor")
"""A selector mod 4 is an index into it: a*33+b, (a^b)*33, rotl(a,n)^b, rotr(a,n)^b."""


@dataclass(frozen=True, slots=True)
class CacheRead:
    """mix[destination] = merge(mix[destination], l1[mix[source] mod L1 words])."""

    source: int
    destination: int
    merge: Merge
    rotation: int


@dataclass(frozen=True, slots=True)
class Math:
    """mix[destination] = merge(mix[destination], operation(mix[first], mix[second]))."""

    operation: str
    first: int
    second: int
    destination: int
    merge: Merge
    rotation: int


@dataclass(frozen=True, slots=True)
class DagMerge:
    """mix[destination] = merge(mix[destination], word `word` of the lane's dataset words)."""

    word: int
    destination: int
    merge: Merge
    rotation: int


Instruction = CacheRead | Math | DagMerge
Program = tuple[Instruction, ...]


def merge_of(selector: int) -> tuple[Merge, int]:
    """Return kind and rotation (1 to 31) that a 32-bit selector stands for."""
    return MERGES[selector % 4], (selector >> 16) % 31 + 1


@lru_cache(maxsize=64)
def program(variant: Variant, period: int) -> Program:
    """Return the instructions of `period`, in the order of execution, the same for every lane.

    Source: ProgPoW's specification, random math; destinations and sources are Fisher-Yates
    sequences drawn interleaved from one KISS99 generator that `period` (64 bits) seeds.
    """
    low, high = period & 0xFFFFFFFF, period >> 32
    z = fnv1a(FNV_BASIS, low)
    w = fnv1a(z, high)
    jsr = fnv1a(w, low)
    rng = Kiss99(z, w, jsr, fnv1a(jsr, high))
    registers = variant.registers
    destinations, sources = list(range(registers)), list(range(registers))
    for i in range(registers - 1, 0, -1):
        j = rng.next() % (i + 1)
        destinations[i], destinations[j] = destinations[j], destinations[i]
        j = rng.next() % (i + 1)
        sources[i], sources[j] = sources[j], sources[i]

    written = read = 0
    instructions: list[Instruction] = []
    for i in range(max(variant.cache_reads, variant.math_operations)):
        if i < variant.cache_reads:
            source = sources[read % registers]
            read += 1
            destination = destinations[written % registers]
            written += 1
            instructions.append(CacheRead(source, destination, *merge_of(rng.next())))
        if i < variant.math_operations:
            drawn = rng.next() % (registers * (registers - 1))
            first, second = drawn % registers, drawn // registers
            if second >= first:
                second += 1
            operation = variant.math_table[rng.next() % len(variant.math_table)]
            destination = destinations[written % registers]
            written += 1
            instructions.append(Math(operation, first, second, destination, *merge_of(rng.next())))
    for word in range(DAG_LOADS):
        destination = 0
        if word:
            destination = destinations[written % registers]
            written += 1
        instructions.append(DagMerge(word, destination, *merge_of(rng.next())))
    return tuple(instructions)

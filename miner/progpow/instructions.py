"""The instructions of a random program, whichever way it is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from miner.progpow.variant import MATH_OPERATIONS, Choices

MERGES = ("mad33", "xor_mul33", "rotl_xor", "rotr_xor")
"""Ways to merge b into register a: a*33+b, (a^b)*33, rotl(a,n)^b, rotr(a,n)^b."""

SEED_MERGE = "seed"
"""The merge that a word of the nonce's seed digest selects: it is known at run time only."""

FROM_OPERAND = 0
"""Stands for the rotation that bits 16 to 20 of the merged operand b, plus 1, give: 1 to 32."""

FROM_SEED = -1
"""Stands for the rotation that the digest's word of a `SEED_MERGE` encodes, as in `merge_of`."""

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
    """One of `MERGES`; or `SEED_MERGE`, of word `first` of the digest with word `first` of the
    entry."""
    rotation: int
    """1 to 31, `FROM_OPERAND` or `FROM_SEED`."""


@dataclass(frozen=True, slots=True)
class Program:
    """The program of a period, the same for every lane."""

    steps: tuple[Instruction, ...]
    entry_lane: int | None
    """The lane whose register 0 selects each loop's entry; None: lane `loop` mod `LANES`."""
    choices: Choices

    @property
    def reads_position_or_seed(self) -> bool:
        """Whether an instruction depends on lane and loop or on the nonce's seed digest, other
        than by the registers."""
        return self.choices.cache_index == "mixed" or self.choices.entry_selectors == "seed"


def merge_of(selector: int) -> tuple[int, int]:
    """Return the index of MERGES and the rotation (1 to 31) encoded in a 32-bit selector."""
    return selector % 4, (selector >> 16) % 31 + 1


def drawn_merge(words: Iterator[int], choices: Choices) -> tuple[str, int]:
    """Return the merge and the rotation of an instruction, its selector drawn from `words`."""
    kind, rotation = merge_of(next(words))
    return MERGES[kind], rotation if choices.rotation == "selector" else FROM_OPERAND


def entry_merge(words: Iterator[int], choices: Choices) -> tuple[str, int]:
    """Return the merge and the rotation of an instruction that reads the dataset entry."""
    if choices.entry_selectors == "drawn":
        return drawn_merge(words, choices)
    return SEED_MERGE, FROM_SEED if choices.rotation == "selector" else FROM_OPERAND

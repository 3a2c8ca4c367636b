"""The numbers in which the forks of ProgPoW differ, and the epochs that follow from a height."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from miner.errors import BadValue
from miner.progpow.epoch import DATASET_ITEM_BYTES, LIGHT_ITEM_BYTES, Epoch, largest_prime_upto

LANES = 16
"""Lanes of one hash (PROGPOW_LANES), in every variant."""

DAG_LOADS = 4
"""Words of a dataset entry for each lane and loop (PROGPOW_DAG_LOADS), in every variant."""

L1_BYTES = 16384
"""The start of the dataset, read at random by the program (PROGPOW_CACHE_BYTES)."""

L1_WORDS = L1_BYTES // 4

MAX_HEIGHT = 2**63 - 1
"""Largest height that fits the protocols' fields."""

MATH_OPERATIONS = (
    "add", "mul", "mul_hi", "min", "rotl", "rotr", "and", "or", "xor", "clz", "popcount",
)  # fmt: skip
"""The specification's table: a selector mod 11 is an index into it."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `from_height` on: epoch = first_epoch + (height - from_height) // length."""

    from_height: int
    length: int
    first_epoch: int = 0


@dataclass(frozen=True, slots=True)
class Clamp:
    """Every epoch above `above` is `to` instead."""

    above: int
    to: int


@dataclass(frozen=True, slots=True)
class Scale:
    """From `from_epoch` on, sizes (not seeds) are those of `factor` times the epoch."""

    from_epoch: int
    factor: int


@dataclass(frozen=True, slots=True)
class Growth:
    """Bytes, initial + growth * epoch, before the number of items is rounded down to a prime."""

    initial: int
    growth: int


@dataclass(frozen=True, slots=True)
class FixedSizes:
    """Sizes of every epoch, small enough for tests and known answers."""

    light_items: int
    dataset_items: int
    seed_epoch: int = 0


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """The hash of one nonce on small fixed sizes."""

    sizes: FixedSizes
    height: int
    header_hash: bytes
    nonce: int
    mix_hash: bytes
    final_hash: bytes


Absorbed = Literal["digest", "header", "nonce"]
ByteOrder = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class Choices:
    """The ways of drawing and running a program, apart from its numbers. The defaults are
    ProgPoW's."""

    scheme: Literal["shuffled", "in-place"] = "shuffled"
    """Where an instruction's registers come from: "shuffled" takes them from two shuffled
    sequences; "in-place" draws unused ones, and the first one is the destination too."""
    rotation: Literal["selector", "operand"] = "selector"
    """The amount that a merge rotates by: a number in the merge's selector, or bits of the
    operand."""
    cache_index: Literal["plain", "mixed"] = "plain"
    """The index of an L1 cache read: a register; "mixed": that xor LANES * loop + lane."""
    entry_index: Literal["plain", "mixed"] = "plain"
    """The index of a loop's dataset entry: register 0 of a lane; "mixed": that xor loop."""
    entry_lane: Literal["loop", "drawn"] = "loop"
    """The lane of `entry_index`: loop mod LANES, or one drawn for the program."""
    entry_selectors: Literal["drawn", "seed"] = "drawn"
    """Selectors of the merges of the entry's words: drawn for the program, or words 0 to 3 of the
    seed digest, which differ from nonce to nonce."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One fork of ProgPoW."""

    name: str
    period: int
    """Blocks with the same program (PROGPOW_PERIOD)."""
    registers: int
    """Registers of each lane (PROGPOW_REGS)."""
    cache_reads: int
    """Random L1 cache reads in a program (PROGPOW_CNT_CACHE)."""
    math_operations: int
    """Random math operations in a program (PROGPOW_CNT_MATH)."""
    dag_loops: int
    """Dataset entries read by a hash (PROGPOW_CNT_DAG)."""
    math_table: tuple[str, ...]
    """MATH_OPERATIONS in this variant's order."""
    absorbs: Absorbed
    """What the last keccak absorbs before the mix hash: the first one's digest; the header and the
    mix's seed; or the header and the nonce. The seed is the digest's first two words, the low one
    first; with "header", they are those of the first 8 bytes read as a big-endian number."""
    initial_padding: tuple[int, ...]
    """Words 10 to 24 of the first keccak's input."""
    final_padding: tuple[int, ...]
    """Words after the mix hash in the last keccak's input, from `final_padding_at` to 24."""
    spans: tuple[Span, ...]
    light: Growth
    dataset: Growth
    parents: int
    """Light cache items that each 64-byte dataset node is mixed from (DATASET_PARENTS)."""
    choices: Choices = Choices()
    byte_order: ByteOrder = "little"
    """Order of the bytes in each word of the final hash. All its bytes are then read as one
    big-endian number."""
    clamp: Clamp | None = None
    scale: Scale | None = None
    fixed: FixedSizes | None = None
    aliases: tuple[str, ...] = ()
    algorithm: str = ""
    """The name that other miners and farm panels use; empty: `name`."""
    title: str = ""
    sources: tuple[str, ...] = ()
    known_answers: tuple[KnownAnswer, ...] = ()

    @property
    def final_padding_at(self) -> int:
        """The word of the last keccak's input at which its padding starts."""
        return 16 if self.absorbs == "digest" else 18

    def operation_of(self, selector: int) -> str:
        """Return the math operation that a 32-bit selector selects."""
        return self.math_table[selector % len(self.math_table)]

    def period_at(self, height: int) -> int:
        """Return the period of `height`, whose number seeds its program."""
        return check_height(height) // self.period

    def epoch_at(self, height: int) -> Epoch:
        """Return the epoch of `height`."""
        check_height(height)
        span = next(s for s in reversed(self.spans) if s.from_height <= height)
        number = span.first_epoch + (height - span.from_height) // span.length
        if self.clamp and number > self.clamp.above:
            number = self.clamp.to
        return self.epoch(number)

    def epoch(self, number: int) -> Epoch:
        """Return epoch `number`. Raises `BadValue` where 32-bit words cannot index its items."""
        if number < 0:
            raise BadValue("epoch", f"{number} is below 0")
        if (fixed := self.fixed) is not None:
            items = fixed.light_items, fixed.dataset_items
            return Epoch(number, fixed.seed_epoch, *items, self.parents)
        sized = number
        if self.scale and number >= self.scale.from_epoch:
            sized = number * self.scale.factor
        light_items = (self.light.initial + self.light.growth * sized) // LIGHT_ITEM_BYTES
        dataset_items = (self.dataset.initial + self.dataset.growth * sized) // DATASET_ITEM_BYTES
        if dataset_items >= 2**31 or light_items >= 2**31:
            raise BadValue(
                "epoch", f"{number} of {self.name} has more dataset items than 32-bit indices"
            )
        items = largest_prime_upto(light_items), largest_prime_upto(dataset_items)
        return Epoch(number, number, *items, self.parents)

    def with_sizes(self, sizes: FixedSizes) -> Variant:
        """Return this variant with fixed sizes and without its known answers."""
        return replace(self, fixed=sizes, known_answers=())


def check_height(height: int) -> int:
    """Return `height`; raises `BadValue` if no block can have it."""
    if not 0 <= height <= MAX_HEIGHT:
        raise BadValue("height", f"{height} is outside 0 to {MAX_HEIGHT}")
    return height

"""One fork of ProgPoW as a value: every number in which the forks differ."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miner.errors import BadValue, BadVariant
from miner.progpow.epoch import (
    DATASET_ITEM_BYTES,
    LIGHT_ITEM_BYTES,
    Clamp,
    Epoch,
    FixedSizes,
    Growth,
    Scale,
    Span,
    largest_prime_upto,
)

LANES = 16
"""Lanes of one hash, in every variant."""

DAG_LOADS = 4
"""Words of a dataset entry that each lane merges per loop, in every variant."""

L1_BYTES = 16384
"""The first bytes of the dataset, read at random by the program, in every variant."""

L1_WORDS = L1_BYTES // 4

MAX_HEIGHT = 2**63 - 1
"""Heights beyond this do not fit the fields that carry them."""

MATH_OPERATIONS = (
    "add",
    "mul",
    "mul_hi",
    "min",
    "rotl",
    "rotr",
    "and",
    "or",
    "xor",
    "clz",
    "popcount",
)
"""The standard table: a selector mod 11 is an index into it."""


@dataclass(frozen=True, slots=True)
class KnownAnswer:
    """One hash on sizes written down outright, small enough to be run at every load."""

    sizes: FixedSizes
    height: int
    header_hash: bytes
    nonce: int
    mix_hash: bytes
    final_hash: bytes


@dataclass(frozen=True, slots=True)
class Variant:
    """The numbers of one fork. Words are unsigned 32-bit, sizes are bytes, heights are blocks."""

    name: str
    period: int
    """Blocks for which one program holds."""
    registers: int
    cache_reads: int
    """Random L1 reads in a program (CNT_CACHE)."""
    math_operations: int
    """Random operations in a program (CNT_MATH)."""
    dag_loops: int
    """Dataset entries read by a hash (CNT_DAG)."""
    math_table: tuple[str, ...]
    absorbs_digest: bool
    """The last keccak absorbs the whole first digest (else the header and the 64-bit seed),
    and the seed's halves are the digest's first words as they are (else byte-swapped)."""
    initial_padding: tuple[int, ...]
    """Words 10 to 24 of the first keccak state."""
    final_padding: tuple[int, ...]
    """Words of the last keccak state after the mix hash: 16 to 24, or 18 to 24 where the
    header and the seed are absorbed."""
    spans: tuple[Span, ...]
    light: Growth
    dataset: Growth
    parents: int
    """Light cache items that one 64-byte dataset node is mixed from."""
    clamp: Clamp | None = None
    scale: Scale | None = None
    fixed: FixedSizes | None = None
    aliases: tuple[str, ...] = ()
    title: str = ""
    sources: tuple[str, ...] = ()
    known_answers: tuple[KnownAnswer, ...] = ()

    def __post_init__(self) -> None:
        _check(self)

    def period_at(self, height: int) -> int:
        """Return the number of the program in force at `height` (the seed of its generator)."""
        return check_height(height) // self.period

    def epoch_at(self, height: int) -> Epoch:
        """Return the epoch of `height` by this variant's own rule."""
        check_height(height)
        span = next(s for s in reversed(self.spans) if s.from_height <= height)
        number = span.first_epoch + (height - span.from_height) // span.length
        if self.clamp and number > self.clamp.above:
            number = self.clamp.to
        return self.epoch(number)

    def epoch(self, number: int) -> Epoch:
        """Return epoch `number` with its sizes.

        Raises `BadValue` where the light cache would no longer be addressable by 32-bit words.
        """
        if number < 0:
            raise BadValue("epoch", f"{number} is below 0")
        if self.fixed:
            fixed = self.fixed
            return Epoch(
                number, fixed.seed_epoch, fixed.light_items, fixed.dataset_items, self.parents
            )
        sized = number
        if self.scale and number >= self.scale.from_epoch:
            sized = number * self.scale.factor
        light_items = (self.light.initial + self.light.growth * sized) // LIGHT_ITEM_BYTES
        dataset_items = (self.dataset.initial + self.dataset.growth * sized) // DATASET_ITEM_BYTES
        if dataset_items >= 2**31 or light_items >= 2**31:
            raise BadValue(
                "epoch", f"{number} of {self.name} has more dataset items than 32-bit indices"
            )
        return Epoch(
            number,
            number,
            largest_prime_upto(light_items),
            largest_prime_upto(dataset_items),
            self.parents,
        )

    def with_sizes(self, sizes: FixedSizes) -> Variant:
        """Return this variant on sizes written down outright, without its known answers."""
        return replace(self, fixed=sizes, known_answers=())


def check_height(height: int) -> int:
    """Return `height`, or raise `BadValue` if no block can have it."""
    if not 0 <= height <= MAX_HEIGHT:
        raise BadValue("height", f"{height} is outside 0 to {MAX_HEIGHT}")
    return height


def _check(v: Variant) -> None:
    def need(holds: bool, field: str, problem: str) -> None:
        if not holds:
            raise BadVariant(f"variant {v.name!r}: {field}: {problem}")

    need(1 <= v.period <= 1_000_000, "program.period", f"{v.period} is outside 1 to 1000000")
    need(2 <= v.registers <= 64, "program.registers", f"{v.registers} is outside 2 to 64")
    for name, value in (
        ("cache_reads", v.cache_reads),
        ("math_operations", v.math_operations),
    ):
        need(0 <= value <= 64, f"program.{name}", f"{value} is outside 0 to 64")
    need(1 <= v.dag_loops <= 1024, "program.dag_loops", f"{v.dag_loops} is outside 1 to 1024")
    need(
        sorted(v.math_table) == sorted(MATH_OPERATIONS),
        "program.math_table",
        f"must name each of {', '.join(MATH_OPERATIONS)} once",
    )
    need(
        len(v.initial_padding) == 15,
        "keccak.initial",
        f"needs 15 words (10 to 24 of the state), has {len(v.initial_padding)}",
    )
    wanted = 9 if v.absorbs_digest else 7
    need(
        len(v.final_padding) == wanted,
        "keccak.final",
        f"needs {wanted} words when absorbs is "
        f"{'digest' if v.absorbs_digest else 'header'!r}, has {len(v.final_padding)}",
    )
    for field, words in (
        ("keccak.initial", v.initial_padding),
        ("keccak.final", v.final_padding),
    ):
        need(all(0 <= w < 2**32 for w in words), field, "every word must fit 32 bits")
    need(
        v.parents % 16 == 0 and 16 <= v.parents <= 4096,
        "dataset.parents",
        f"{v.parents} is not a multiple of 16 from 16 to 4096",
    )
    for field, growth, least in (
        ("light", v.light, 1024),
        ("dataset", v.dataset, L1_BYTES * 2),
    ):
        need(
            least <= growth.initial <= 2**40 and 0 <= growth.growth <= 2**36,
            field,
            f"initial must be {least} to 2**40 bytes and growth 0 to 2**36",
        )
    need(
        bool(v.spans) and v.spans[0].from_height == 0,
        "epoch.spans",
        "the first span must start at height 0",
    )
    need(
        all(a.from_height < b.from_height for a, b in zip(v.spans, v.spans[1:], strict=False)),
        "epoch.spans",
        "from_height must grow from span to span",
    )
    need(all(s.length >= 1 for s in v.spans), "epoch.spans", "length must be at least 1")
    need(all(s.first_epoch >= 0 for s in v.spans), "epoch.spans", "first_epoch is below 0")
    if v.clamp:
        need(
            0 <= v.clamp.to <= v.clamp.above,
            "epoch.clamp",
            f"to ({v.clamp.to}) must lie in 0 to above ({v.clamp.above})",
        )
    if v.scale:
        need(v.scale.from_epoch >= 0, "epoch.scale", "from_epoch is below 0")
        need(1 <= v.scale.factor <= 64, "epoch.scale", "factor is outside 1 to 64")
    if v.fixed:
        need(17 <= v.fixed.light_items < 2**31, "sizes.light_items", "is outside 17 to 2**31")
        need(
            L1_BYTES // DATASET_ITEM_BYTES <= v.fixed.dataset_items < 2**31,
            "sizes.dataset_items",
            f"is outside {L1_BYTES // DATASET_ITEM_BYTES} to 2**31",
        )
        need(0 <= v.fixed.seed_epoch <= 100_000, "sizes.seed_epoch", "is outside 0 to 100000")

"""Variants of no coin, whose files choose among the ways of drawing and running a program.

Any two values of two choices occur together in one of them.
"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import light_cache
from miner.progpow.variant import (
    Absorbed,
    ByteOrder,
    Choices,
    FixedSizes,
    KnownAnswer,
    Variant,
)
from miner.variant_file import load_variant

SIZES = FixedSizes(509, 8191, 0)

TEXT = """\
name = "mix-{number}"

[program]
period = 7
registers = {registers}
cache_reads = 9
math_operations = 13
dag_loops = 20
{program}

[keccak]
initial = "nocoinnocoinnoc"
{keccak}

[epoch]
length = 100

[light]
initial = 32768
growth = 128

[dataset]
initial = 1048576
growth = 8192
parents = 16

[[known_answers]]
light_items = 509
dataset_items = 8191
height = 12345
header_hash = "{header}"
nonce = "fedcba9800000000"
mix_hash = "{header}"
final_hash = "{header}"
"""

PROGRAM_CHOICES: dict[str, tuple[str, ...]] = {
    field.name: get_args(get_type_hints(Choices)[field.name]) for field in fields(Choices)
}
ORDERS = get_args(ByteOrder)
COUNT = 8
"""Rows of an orthogonal array of seven columns with two values each."""


def column(number: int, row: int) -> int:
    """Return 0 or 1: the parity of the bits that `row` and `number` + 1 have in common."""
    return ((number + 1) & row).bit_count() % 2


def combination(row: int, folder: Path) -> Variant:
    """Return the variant of the file that is written for `row`; the reference's hash is its known
    answer."""
    program = {
        key: values[column(number, row)]
        for number, (key, values) in enumerate(PROGRAM_CHOICES.items())
    }
    absorbs = get_args(Absorbed)[row % 3]
    keccak: dict[str, Any] = {
        "absorbs": absorbs,
        "final": "nocoinnoc" if absorbs == "digest" else "nocoinn",
        "byte_order": ORDERS[column(len(PROGRAM_CHOICES), row)],
    }
    path = folder / f"mix-{row}.toml"
    path.write_text(
        TEXT.format(
            number=row,
            registers=(32, 23)[row % 2],
            program="\n".join(f'{key} = "{value}"' for key, value in program.items()),
            keccak="\n".join(f'{key} = "{value}"' for key, value in keccak.items()),
            header="c0" * 32,
        )
    )
    variant = load_variant(path)
    return replace(variant, known_answers=(computed(variant),))


def computed(variant: Variant) -> KnownAnswer:
    """Return the first known answer of `variant` with the hashes of the reference."""
    (asked,) = variant.known_answers
    epoch = variant.with_sizes(asked.sizes).epoch_at(asked.height)
    light = Light.of(epoch, light_cache(epoch))
    hasher = Hasher(variant, variant.period_at(asked.height), light)
    digest = hasher.hash(asked.header_hash, asked.nonce)
    return replace(asked, mix_hash=digest.mix_hash, final_hash=digest.final_hash)

"""Variants that mix the choices of others: the kernels' text agrees with the reference."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.codegen.language import period_text
from miner.codegen.launch_shape import SHAPES, shape_named
from miner.progpow.hashing import Hasher
from miner.progpow.instructions import CACHE_READ, DAG_WORD
from miner.progpow.program import SCHEMES, program
from miner.progpow.variant import DAG_LOADS, LANES, MATH_OPERATIONS, Choices, Variant
from miner.variant_file import check_variant
from tests.codegen.combinations import (
    COUNT,
    ORDERS,
    PROGRAM_CHOICES,
    SIZES,
    column,
    combination,
)
from tests.codegen.test_cuda_on_cpu import check_group
from tests.fakes.variants import KAWPOW
from tests.harness.build import compiler
from tests.progpow.published import toy_light

SMALL = replace(
    KAWPOW.with_sizes(SIZES), registers=9, cache_reads=5, math_operations=7, dag_loops=6,
    absorbs="nonce", final_padding=(1,) * 7,
)  # fmt: skip
CHOICES = st.builds(
    Choices, **{key: st.sampled_from(values) for key, values in PROGRAM_CHOICES.items()}
)
VARIANTS = st.builds(
    lambda choices, absorbs, order: replace(
        SMALL, choices=choices, absorbs=absorbs, byte_order=order,
        final_padding=(1,) * (9 if absorbs == "digest" else 7),
    ),
    CHOICES,
    st.sampled_from(["digest", "header", "nonce"]),
    st.sampled_from(ORDERS),
)  # fmt: skip


def digest_of(variant: Variant) -> Any:
    return Hasher(variant, 5, toy_light(variant.parents, SIZES)).hash(bytes(range(32)), 2**63 + 7)


def test_any_two_values_of_two_choices_occur_together() -> None:
    for a, b in combinations(range(len(PROGRAM_CHOICES) + 1), 2):
        pairs = {(column(a, row), column(b, row)) for row in range(COUNT)}
        assert pairs == set(product((0, 1), repeat=2))


def test_every_scheme_is_a_choice() -> None:
    assert tuple(SCHEMES) == PROGRAM_CHOICES["scheme"]
    for values in PROGRAM_CHOICES.values():
        assert len(values) == 2


@given(VARIANTS, st.data())
def test_each_choice_matters_in_every_combination(variant: Variant, data: st.DataObject) -> None:
    key = data.draw(st.sampled_from([*PROGRAM_CHOICES, "byte_order"]))
    if key == "byte_order":
        other = replace(variant, byte_order=next(o for o in ORDERS if o != variant.byte_order))
        first, second = digest_of(variant), digest_of(other)
        assert first.mix_hash == second.mix_hash
        words = [first.final_hash[i : i + 4][::-1] for i in range(0, 32, 4)]
        assert second.final_hash == b"".join(words)
        return
    now = getattr(variant.choices, key)
    changed = next(value for value in PROGRAM_CHOICES[key] if value != now)
    other = replace(variant, choices=replace(variant.choices, **{key: changed}))
    assert digest_of(other).mix_hash != digest_of(variant).mix_hash


@given(
    CHOICES,
    st.integers(DAG_LOADS, 64),
    st.integers(0, 64),
    st.integers(0, 64),
    st.integers(0, 2**63 - 1),
    st.sampled_from(list(SHAPES.values())),
)
def test_any_numbers_give_a_program(choices, registers, reads, maths, period, shape) -> None:
    variant = replace(
        KAWPOW, choices=choices, registers=registers, cache_reads=reads, math_operations=maths
    )
    check_variant(variant)
    drawn = program(variant, period)
    counts = dict.fromkeys(("reads", "maths", "words"), 0)
    for step in drawn.steps:
        assert {step.destination, step.first, step.second} <= set(range(registers))
        kind = {CACHE_READ: "reads", DAG_WORD: "words"}.get(step.operation, "maths")
        counts[kind] += 1
        if choices.scheme == "in-place":
            assert step.destination == step.first
    assert counts == {"reads": reads, "maths": maths, "words": DAG_LOADS}
    assert (drawn.entry_lane is None) == (choices.entry_lane == "loop")
    assert drawn.entry_lane is None or drawn.entry_lane in range(LANES)
    text = period_text(drawn, shape)
    assert text.count(" = ") >= len(drawn.steps)


@given(st.integers(4, 64), st.integers(0, 2**63 - 1))
def test_in_place_every_register_is_drawn_once_before_any_is_twice(
    registers: int, period: int
) -> None:
    variant = replace(KAWPOW, registers=registers, choices=Choices(scheme="in-place"))
    maths = [s for s in program(variant, period).steps if s.operation in MATH_OPERATIONS]
    drawn = [register for step in maths for register in (step.first, step.second)]
    for start in range(0, len(drawn), registers):
        turn = drawn[start : start + registers]
        assert len(set(turn)) == len(turn)


@pytest.mark.skipif(
    compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
)
@pytest.mark.parametrize("row", range(COUNT))
def test_cuda_text_agrees_with_the_reference(row: int, tmp_path: Path) -> None:
    variant = combination(row, tmp_path)
    shape = ("gpu", "gpu-128", "gpu/2", "gpu-128/4")[row % 4]
    check_group(variant, variant.known_answers[0], shape_named(shape))

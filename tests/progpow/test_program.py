from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import variants
from miner.progpow.hashing import encode
from miner.progpow.instructions import (
    CACHE_READ,
    DAG_WORD,
    FROM_OPERAND,
    MERGES,
    OPERATIONS,
    SEED_MERGE,
    Instruction,
    merge_of,
)
from miner.progpow.kiss99 import kiss99_words
from miner.progpow.program import program
from miner.progpow.variant import DAG_LOADS, MATH_OPERATIONS
from tests.progpow.published import IN_PLACE, PRIMITIVES

MERGE = {"mad33": "mad33", "xmul33": "xor_mul33", "rotl_xor": "rotl_xor", "rotr_xor": "rotr_xor"}
MATH = {"clz_add": "clz", "popcount_add": "popcount", "mulhi": "mul_hi"}


def as_row(step: Instruction) -> dict[str, Any]:
    """Return an instruction in the form of the vectors, with a rotation only if it is used."""
    row: dict[str, Any] = {"dst": step.destination, "merge": step.merge}
    if step.merge in ("rotl_xor", "rotr_xor"):
        row["rot"] = step.rotation
    if step.operation == CACHE_READ:
        return row | {"op": "cache", "src": step.first}
    if step.operation == DAG_WORD:
        return row | {"op": "dag", "word": step.first}
    return row | {"op": "math", "src1": step.first, "src2": step.second, "math": step.operation}


def wanted(row: dict[str, Any]) -> dict[str, Any]:
    out = {k: v for k, v in row.items() if not k.startswith("sel_")}
    out["merge"] = MERGE[row["merge"]]
    if "math" in row:
        out["math"] = MATH.get(row["math"], row["math"])
    return out


def cases() -> list[Any]:
    return [
        pytest.param(row, name, id=f"{name}-{row['prog_seed']}")
        for row in PRIMITIVES["programs"]
        for name in row["variants"]
    ]


@pytest.mark.parametrize(("row", "name"), cases())
def test_published_programs(row: dict[str, Any], name: str) -> None:
    steps = program(variants()[name], row["prog_seed"]).steps
    assert [as_row(step) for step in steps] == [wanted(op) for op in row["ops"]]


@pytest.mark.parametrize(("row", "name"), cases())
def test_destinations_and_sources_follow_the_published_sequences(
    row: dict[str, Any], name: str
) -> None:
    steps = program(variants()[name], row["prog_seed"]).steps
    written = [s.destination for s in steps if (s.operation, s.first) != (DAG_WORD, 0)]
    read = [s.first for s in steps if s.operation == CACHE_READ]
    turns = len(row["dst_seq"])
    assert written == [row["dst_seq"][i % turns] for i in range(len(written))]
    assert read == [row["src_seq"][i % turns] for i in range(len(read))]


@pytest.mark.parametrize(("row", "name"), cases())
def test_selectors_follow_the_state_after_the_shuffles(row: dict[str, Any], name: str) -> None:
    """Draw the selectors from the published state, independently of `program`."""
    rng = kiss99_words(*row["kiss_state_after_init"])
    variant = variants()[name]
    for op in row["ops"]:
        if op["op"] == "math":
            next(rng)
            selector = next(rng)
            assert selector == op["sel_math"]
            drawn = variant.math_table[selector % len(variant.math_table)]
            assert drawn == MATH.get(op["math"], op["math"])
        selector = next(rng)
        assert selector == op["sel_merge"]
        kind, rotation = merge_of(selector)
        assert MERGES[kind] == MERGE[op["merge"]]
        assert rotation == op.get("rot", rotation)


@pytest.mark.parametrize("row", IN_PLACE["programs"], ids=lambda row: str(row["period"]))
def test_published_programs_in_place(row: dict[str, Any]) -> None:
    """The published rows have selectors; each instruction's first register is its destination."""
    drawn = program(variants()["oggpow"], row["period"])
    maths, reads = [], []
    for register, other, selector, of_merge in row["math"]:
        operation = MATH_OPERATIONS[selector % 11]
        merge = MERGES[of_merge % 4]
        maths.append(Instruction(operation, register, other, register, merge, FROM_OPERAND))
    for register, of_merge in row["cache"]:
        merge = MERGES[of_merge % 4]
        reads.append(Instruction(CACHE_READ, register, 0, register, merge, FROM_OPERAND))
    assert [s for s in drawn.steps if s.operation in MATH_OPERATIONS] == maths
    assert [s for s in drawn.steps if s.operation == CACHE_READ] == reads
    alternating = [s.operation == CACHE_READ for s in drawn.steps[: len(maths) + len(reads)]]
    assert alternating == [True, False] * len(reads) + [False] * (len(maths) - len(reads))
    assert drawn.steps[-DAG_LOADS:] == tuple(
        Instruction(DAG_WORD, word, 0, word, SEED_MERGE, FROM_OPERAND) for word in range(DAG_LOADS)
    )
    assert drawn.entry_lane == row["row_lane"]


def test_published_programs_are_of_shipped_variants() -> None:
    assert {name for row in PRIMITIVES["programs"] for name in row["variants"]} <= set(variants())


@given(st.sampled_from(sorted(variants())), st.integers(0, 2**63 - 1))
def test_registers_words_and_rotations_are_in_range(name: str, period: int) -> None:
    variant = variants()[name]
    registers = range(variant.registers)
    steps = program(variant, period).steps
    assert sum(s.operation == CACHE_READ for s in steps) == variant.cache_reads
    assert sum(s.operation in MATH_OPERATIONS for s in steps) == variant.math_operations
    assert [s.first for s in steps if s.operation == DAG_WORD] == list(range(DAG_LOADS))
    for step in steps:
        assert step.destination in registers
        of_seed = step.operation == DAG_WORD and variant.choices.entry_selectors == "seed"
        assert step.merge in ([SEED_MERGE] if of_seed else MERGES)
        if variant.choices.rotation == "selector":
            assert 1 <= step.rotation <= 31
        else:
            assert step.rotation == FROM_OPERAND
        if step.operation == CACHE_READ:
            assert step.first in registers
        elif step.operation in MATH_OPERATIONS:
            assert step.first in registers
            assert step.second in registers
            assert step.first != step.second


@given(st.integers(0, 2**63 - 1))
def test_the_encoding_keeps_every_step(period: int) -> None:
    steps = program(variants()["kawpow"], period).steps
    decoded = [
        Instruction(OPERATIONS[operation], first, second, destination, MERGES[kind], rotation)
        for operation, first, second, destination, kind, rotation in encode(steps).tolist()
    ]
    assert tuple(decoded) == steps


def test_the_high_word_of_a_period_counts() -> None:
    kawpow = variants()["kawpow"]
    assert program(kawpow, 1) != program(kawpow, 2**32 + 1)

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import variants
from miner.codegen.language import SELECTOR_BITS, period_text
from miner.codegen.launch_shape import SHAPES, LaunchShape
from miner.progpow.instructions import CACHE_READ, DAG_WORD, FROM_OPERAND, SEED_MERGE
from miner.progpow.program import program
from miner.progpow.variant import MATH_OPERATIONS
from tests.codegen.toys import NAMES

KAWPOW = variants()["kawpow"]
LANES = SHAPES["gpu"]
VECTORS = [SHAPES["cpu-1"], SHAPES["cpu"]]


def statements(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.startswith("    ")]


@pytest.mark.parametrize("name", NAMES)
def test_a_lane_has_one_statement_for_each_instruction(name: str) -> None:
    drawn = program(variants()[name], 7)
    lines = statements(period_text(drawn, LANES))
    mixed = " ^ position" if drawn.choices.cache_index == "mixed" else ""
    for step, line in zip(drawn.steps, lines, strict=True):
        assert line.startswith(f"mix[0][{step.destination}] = ")
        assert line.endswith(";")
        if step.operation == CACHE_READ:
            assert f"READ_L1(l1, mix[0][{step.first}]{mixed})" in line
        elif step.operation in MATH_OPERATIONS:
            assert f"mix[0][{step.first}]" in line
            assert f"mix[0][{step.second}]" in line
        else:
            assert f"ROW_WORD_{step.first}(row[0])" in line
        if step.merge == SEED_MERGE:
            assert f"seed_merge_by_operand(mix[0][{step.destination}], " in line
            assert f", selectors >> {SELECTOR_BITS * step.first}u)" in line
        elif step.rotation == FROM_OPERAND and step.merge in ("rotl_xor", "rotr_xor"):
            assert f"= {step.merge}_by_operand(mix[0][{step.destination}], " in line
        elif step.merge in ("rotl_xor", "rotr_xor"):
            kind = step.merge.removesuffix("_xor")
            assert f"{kind}32(mix[0][{step.destination}], {step.rotation}u) ^ " in line
        elif step.merge == "mad33":
            assert f"= mad33(mix[0][{step.destination}], " in line
        else:
            assert line.endswith(") * 33u;")


def test_lanes_of_a_thread_are_interleaved() -> None:
    drawn = program(variants()["oggpow"], 7)
    one = statements(period_text(drawn, LANES))
    four = statements(period_text(drawn, replace(LANES, lanes=4)))
    assert four[::4] == one
    for own in range(1, 4):
        for line, first in zip(four[own::4], one, strict=True):
            shifted = first.replace("mix[0]", f"mix[{own}]").replace("row[0]", f"row[{own}]")
            assert line == shifted.replace("^ position", f"^ (position + {4 * own}u)")


def test_an_ordered_lane_uses_its_row_behind_a_fence() -> None:
    drawn = program(KAWPOW, 7)
    plain = statements(period_text(drawn, LANES))
    ordered = statements(period_text(drawn, replace(LANES, ordered=True)))
    fence = ordered.index("ROW_USED();")
    assert [line for line in ordered if line != "ROW_USED();"] == plain
    assert not [line for line in ordered[:fence] if "ROW_WORD" in line]
    assert "ROW_WORD" in ordered[fence + 1]


@pytest.mark.parametrize("shape", VECTORS, ids=lambda shape: shape.name)
def test_a_vector_interleaves_its_hashes_and_loads_rows_late(shape: LaunchShape) -> None:
    hashes = shape.hashes_per_thread
    drawn = program(KAWPOW, 7)
    steps, lines = drawn.steps, statements(period_text(drawn, shape))
    loads = [i for i, line in enumerate(lines) if line.startswith("LOAD_ROW(")]
    before = sum(step.operation != DAG_WORD for step in steps) * hashes
    assert loads == list(range(before, before + hashes))
    rest = [line for line in lines if not line.startswith("LOAD_ROW(")]
    assert len(rest) == len(steps) * hashes
    for i, line in enumerate(rest):
        assert line.startswith(f"mix{i % hashes}[{steps[i // hashes].destination}] = ")


@given(st.integers(0, 2**63 - 1))
def test_the_same_program_gives_the_same_text(period: int) -> None:
    first = period_text(program(KAWPOW, period), LANES)
    program.cache_clear()
    assert period_text(program(KAWPOW, period), LANES) == first


@given(st.sampled_from(NAMES), st.integers(0, 2**63 - 1), st.sampled_from([LANES, *VECTORS]))
def test_only_the_vocabulary_occurs(name: str, period: int, shape: LaunchShape) -> None:
    text = period_text(program(variants()[name], period), shape)
    called = set(re.findall(r"\b([A-Za-z_]\w*)\(", text))
    assert called <= {
        "run_period", "READ_L1", "LOAD_ROW", "mul_hi32", "min32", "rotl32", "rotr32", "clz32",
        "popcount32", "rotl_xor_by_operand", "rotr_xor_by_operand", "seed_merge_by_operand",
        "mad33", *(f"ROW_WORD_{w}" for w in range(4)),
    }  # fmt: skip


def test_every_operation_is_rendered() -> None:
    seen = {
        step.operation
        for period in range(20)
        for step in program(KAWPOW, period).steps
        if step.operation in MATH_OPERATIONS
    }
    assert seen == set(MATH_OPERATIONS)

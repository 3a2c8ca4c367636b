"""benchmarks/static.py: its reader of machine code, its model, and the figures it keeps."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from miner.catalog import find_variant
from miner.codegen.kernel_source import dataset_source
from miner.codegen.launch_shape import shape_named
from miner.devices.cuda.cuda_compilers import Nvrtc, nvrtc
from miner.errors import BackendUnavailable

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import machine_code as mc
import multiprocessor as mp
import static

H200 = next(card for card in mp.CARDS if card.name == "H200")
KEPT = json.loads(static.KEPT.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def compiler() -> Nvrtc:
    try:
        found = nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    if found.name != KEPT["compiler"]:
        pytest.skip(f"the figures are of {KEPT['compiler']}, this is {found.name}")
    return found


MEASURED = [card for card in mp.CARDS if card.architecture not in ("sm_80", "sm_89")]
"""The code for sm_80 and sm_89 is that for sm_86 but for the order of some instructions."""


@pytest.mark.parametrize("card", MEASURED, ids=[card.architecture for card in MEASURED])
def test_no_figure_of_the_kernels_is_worse_than_the_kept_one(
    compiler: Nvrtc, card: mp.Card
) -> None:
    variant = find_variant(KEPT["variant"])
    rows = [static.measure(compiler, variant, height, card) for height in static.HEIGHTS]
    assert list(static.losses(rows, KEPT["rows"])) == []


def test_the_kept_figures_have_every_card_at_every_height() -> None:
    kept = {(row["card"], row["height"]) for row in KEPT["rows"]}
    assert kept == {(card.name, height) for card in mp.CARDS for height in static.HEIGHTS}


@pytest.mark.parametrize(
    ("figure", "value", "told"),
    [
        ("instructions", 125, "125 instructions, 124 before"),
        ("spilled", 8, "8 spilled, 0 before"),
        ("warps", 24, "24 warps, 32 before"),
        ("MH/s", 100.0, "100.0 MH/s predicted"),
    ],
)
def test_a_worse_figure_is_reported_with_its_card_and_height(
    figure: str, value: float, told: str
) -> None:
    kept = next(r for r in KEPT["rows"] if (r["card"], r["height"]) == ("H200", 1234567))
    (loss,) = static.losses([kept | {figure: value}], KEPT["rows"])
    assert loss.startswith("H200 (sm_90), height 1234567: ")
    assert told in loss


def test_better_figures_and_noise_are_not_a_loss() -> None:
    better = [
        row | {"instructions": 100, "warps": 40, "MH/s": row["MH/s"] * 0.99} for row in KEPT["rows"]
    ]
    assert list(static.losses(better, KEPT["rows"])) == []


# As nvdisasm shows them: address, target, stall, both words of a backward branch.
BRANCHES = {
    75: (0x4460, 0x3E10, 5, 0xFFFFF9A000000947, 0x000FEA000383FFFF),
    86: (0x3CA0, 0x0CC0, 5, 0xFFFFD01000007947, 0x000FEA000383FFFF),
    90: (0x3C30, 0x0D20, 5, 0xFFFFFFD000388947, 0x000FEA000383FFFF),
    120: (0x4440, 0x3DE0, 6, 0xFFFFFFF908647547, 0x000FEC000B83FFFF),
}
NOP = struct.pack("<QQ", 0x0000000000007918, 0x000FC00000000000)


@pytest.mark.parametrize("architecture", BRANCHES)
def test_branches_jump_where_the_disassembler_says(architecture: int) -> None:
    address, target, stall, low, high = BRANCHES[architecture]
    code = NOP * (address // 16) + struct.pack("<QQ", low, high)
    *_, branch = mc.instructions(code, architecture)
    assert branch.jumps_to is not None
    assert branch.jumps_to * 16 == target
    assert branch.stall == stall


def test_loads_of_rows_are_distinguished_from_shorter_ones() -> None:
    row = struct.pack("<QQ", 0x0000000610107981, 0x000EA2000C1E9D00)  # LDG.E.128.CONSTANT
    word = struct.pack("<QQ", 0x0000000604042981, 0x000EA2000C1E9900)  # LDG.E.CONSTANT
    first, second = mc.instructions(row + word, 90)
    assert (first.kind, first.sets, first.frees, first.waits) == (mc.ROW, 2, 7, 0)
    assert second.kind == mc.OTHER


def test_a_kernel_without_a_loop_over_rows_is_refused(compiler: Nvrtc) -> None:
    epoch = find_variant("kawpow").epoch_at(0)
    cubin = compiler.compile(dataset_source(epoch, "cuda", shape_named("gpu")), "sm_86")
    with pytest.raises(ValueError, match="no loop over dataset rows"):
        mc.search_loop(cubin.code, "dataset")
    with pytest.raises(ValueError, match=r"no section \.text\.search"):
        mc.search_loop(cubin.code)
    with pytest.raises(ValueError, match="not a cubin"):
        mc.search_loop(b"text")


def loop_of(*kinds: str, wait_for_row: bool = False) -> mc.SearchLoop:
    """Return a loop of instructions that wait for none, but the last one for the row."""
    body = [mc.Instruction(kind, 1, 0 if kind == mc.ROW else 7, 7, 0) for kind in kinds]
    if wait_for_row:
        body.append(mc.Instruction(mc.ALU, 1, 7, 7, 1))
    return mc.SearchLoop(tuple(body), 0, len(body))


def rows_per_cycle(prediction: mp.Prediction, card: mp.Card) -> float:
    """Return the loops of a multiprocessor's warps."""
    per_unit = prediction.mhs / (card.units * card.ghz * 1e3)
    return per_unit * mp.ROWS_PER_HASH / mp.HASHES_PER_WARP


def test_a_loop_of_arithmetic_is_bound_by_its_unit_or_by_issue() -> None:
    assert mp.predict(loop_of(*[mc.ALU] * 100), H200, 32).issue == pytest.approx(0.5, abs=0.01)
    mixed = mp.predict(loop_of(*[mc.ALU, mc.FMA] * 50), H200, 32)
    assert 0.9 < mixed.issue <= 1
    assert mp.predict(loop_of(*[mc.XU] * 100), H200, 32).issue == pytest.approx(1 / 8, abs=0.01)


def test_a_loop_of_cache_reads_is_bound_by_bank_conflicts() -> None:
    conflicts = mp.bank_conflicts(np.random.default_rng(1))
    assert conflicts.mean() == pytest.approx(3.51, abs=0.05)
    loop = loop_of(*[mc.CACHE] * 11)
    rate = rows_per_cycle(mp.predict(loop, H200, 32), H200)
    assert rate == pytest.approx(1 / (11 * 3.51), rel=0.02)


def test_many_warps_are_bound_by_bandwidth_and_one_by_latency() -> None:
    slow = mp.Card("slow", "sm_86", 46, 1.7, 200, 330, 48, 100, 16)
    loop = loop_of(mc.ROW, wait_for_row=True)
    assert mp.predict(loop, slow, 32).memory == pytest.approx(1, abs=0.02)
    assert mp.predict(loop, slow, 32).mhs == pytest.approx(200 / 16.384, rel=0.02)
    alone = rows_per_cycle(mp.predict(loop, H200, 1), H200)
    assert 0.7 < alone * H200.memory_ns * H200.ghz < 1


def test_registers_and_shared_memory_limit_the_groups_of_a_multiprocessor() -> None:
    assert [H200.resident(registers, 256) for registers in (32, 64, 65, 80, 128)] == [8, 4, 3, 3, 2]
    turing = next(card for card in mp.CARDS if card.architecture == "sm_75")
    assert turing.resident(32, 256) == 4


def test_an_unknown_variant_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    assert static.main(["-a", "unknown"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1

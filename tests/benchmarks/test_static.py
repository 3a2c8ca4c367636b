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
HBM_SHAPES = ("gpu-hbm", "gpu-hbm-wide", "gpu-hbm-small")
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
    rows = [static.measure(compiler, variant, height, card, "gpu") for height in static.HEIGHTS]
    assert list(static.losses(rows, KEPT["rows"])) == []


@pytest.mark.parametrize("shape", HBM_SHAPES)
def test_no_figure_of_a_shape_for_hbm_is_worse_than_the_kept_one(
    compiler: Nvrtc, shape: str
) -> None:
    variant = find_variant(KEPT["variant"])
    row = static.measure(compiler, variant, static.HEIGHTS[1], H200, shape)
    assert list(static.losses([row], KEPT["rows"])) == []


@pytest.mark.parametrize(("name", "height"), [("kawpow", 1234567), ("firopow", 1000000)])
def test_the_rtx_50_takes_no_instruction_more_than_older_cards(
    compiler: Nvrtc, name: str, height: int
) -> None:
    """NVRTC 12.9 computes 64-bit addresses on sm_120 where the text has pointers."""
    found = {}
    for architecture in ("sm_86", "sm_120"):
        card = next(card for card in mp.CARDS if card.architecture == architecture)
        found[architecture] = static.measure(compiler, find_variant(name), height, card, "gpu")
    assert found["sm_120"]["instructions"] <= found["sm_86"]["instructions"]
    assert found["sm_120"]["spilled"] == 0
    assert found["sm_120"]["warps"] == 32


def test_the_kept_figures_have_every_card_shape_and_height_that_fits() -> None:
    kept = {(row["card"], row["shape"], row["height"]) for row in KEPT["rows"]}
    assert kept == {
        (card.name, shape, height)
        for card in mp.CARDS
        for shape in static.SHAPES_TRIED
        if card.fits(shape_named(shape))
        for height in static.HEIGHTS
    }
    assert {shape for card, shape, _ in kept if card == "H200"} == set(static.SHAPES_TRIED)


def test_the_shapes_for_hbm_are_predicted_to_be_faster_there() -> None:
    mean: dict[tuple[str, str], list[float]] = {}
    for row in KEPT["rows"]:
        mean.setdefault((row["card"], row["shape"]), []).append(row["MH/s"])
    for (card, shape), rates in mean.items():
        if shape != "gpu":
            assert sum(rates) > sum(mean[card, "gpu"]), (card, shape)


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
    wanted = ("H200", "gpu", 1234567)
    kept = next(r for r in KEPT["rows"] if (r["card"], r["shape"], r["height"]) == wanted)
    (loss,) = static.losses([kept | {figure: value}], KEPT["rows"])
    assert loss.startswith("H200 (sm_90), gpu, height 1234567: ")
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
    for copies, cycles in ((2, 3.44), (4, 3.29), (8, 2.95)):
        fewer = mp.bank_conflicts(np.random.default_rng(1), copies)
        assert fewer.mean() == pytest.approx(cycles, abs=0.05)
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
    gpu = shape_named("gpu")
    assert [H200.resident(registers, gpu) for registers in (32, 64, 65, 80, 128)] == [8, 4, 3, 3, 2]
    turing = next(card for card in mp.CARDS if card.architecture == "sm_75")
    assert turing.resident(32, gpu) == 4
    assert [H200.resident(64, shape_named(name)) for name in HBM_SHAPES] == [1, 1, 1]
    a100 = next(card for card in mp.CARDS if card.architecture == "sm_80")
    assert [a100.fits(shape_named(name)) for name in HBM_SHAPES] == [False, False, True]
    assert not turing.fits(shape_named("gpu-hbm-small"))


def test_lanes_of_a_thread_multiply_the_hashes_of_a_warp() -> None:
    loop = loop_of(*[mc.ALU] * 100)
    one, two = mp.predict(loop, H200, 32), mp.predict(loop, H200, 32, lanes=2)
    assert two.mhs == pytest.approx(2 * one.mhs)


def test_an_unknown_variant_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        nvrtc()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    assert static.main(["-a", "unknown"]) == 3
    assert len(capsys.readouterr().err.splitlines()) == 1

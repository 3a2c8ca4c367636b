"""Both kernels compiled for AMD's GPUs, as ROCm's OpenCL compiles them: a sample of variants,
targets and shapes; all of them with `--every-compile`, which takes two minutes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import dataset_source
from miner.codegen.language import OPENCL_C
from miner.codegen.launch_shape import SHAPES, shape_named
from tests.codegen.amd_figures import CLANG, TARGETS, Case, cases, shape_of, source_of, stored
from tests.codegen.toys import NAMES
from tests.harness.amd_compiler import compiled, missing, version

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

GCN, RDNA = "gfx906", "gfx1100"
LOCAL_BYTES = 64 << 10
"""Most local memory of a group, on every target."""

OTHER_SHAPES = [
    name
    for name, shape in SHAPES.items()
    if shape.family == "lanes"
    and shape.shared_bytes <= LOCAL_BYTES
    and not OPENCL_C.exchange_of(shape).subgroups
]
"""Shapes that fit, with an exchange that AMD's compiler has, or local memory in its place."""

SAMPLE = {
    *((target, shape_of(target), name) for target in (GCN, RDNA) for name in NAMES),
    *((target, shape_of(target), "kawpow") for target in TARGETS),
    *((target, "gpu", "kawpow") for target in (GCN, RDNA)),
}
MOST_BEFORE_ROW = 30


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    every = metafunc.config.getoption("--every-compile")
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [c for c in cases() if every or c in SAMPLE], ids="-".join)
    if "other_case" in metafunc.fixturenames:
        stored_ones = set(cases())
        targets, names = (TARGETS, NAMES) if every else ((RDNA,), ["meowpow"])
        others = [c for c in product(targets, OTHER_SHAPES, names) if c not in stored_ones]
        metafunc.parametrize("other_case", others, ids="-".join)


def test_a_search_takes_no_more_than_the_stored_figures(case: Case) -> None:
    target, shape, name = case
    found = compiled(source_of(shape, name), target)
    figures, known = found.figures, stored()[case]
    assert figures.row <= MOST_BEFORE_ROW
    assert figures.scratch == 0
    if version() != CLANG:
        pytest.skip(f"the figures are those of clang {CLANG}, this is {version()}")
    assert figures.registers <= known.registers
    assert figures.local <= known.local
    assert figures.waves >= known.waves
    assert figures.loop <= known.loop


def test_the_stored_figures_are_of_the_compiled_cases() -> None:
    assert set(stored()) == set(cases())
    assert set(cases()) >= SAMPLE


def test_no_variant_takes_scratch_memory() -> None:
    assert not [case for case, figures in stored().items() if figures.scratch]


def test_the_shape_of_a_target_runs_as_many_waves_as_any() -> None:
    """Of every variant; RDNA's compiler takes a few more registers for some than it must."""
    table = stored()
    for target in TARGETS:
        for name in NAMES:
            waves = {
                shape: f.waves for (t, shape, n), f in table.items() if (t, n) == (target, name)
            }
            assert waves[shape_of(target)] >= waves["gpu"] - 2, (target, name, waves)
    kawpow = {target: table[target, shape_of(target), "kawpow"].waves for target in TARGETS}
    assert {kawpow[target] for target in TARGETS if target.startswith("gfx1")} == {16}
    assert {kawpow[target] for target in TARGETS if not target.startswith("gfx1")} == {4}


@pytest.mark.parametrize("target", TARGETS)
def test_a_dataset_kernel_takes_no_scratch_memory(target: str) -> None:
    source = dataset_source(variants()["kawpow"].epoch(0), "opencl", shape_named(shape_of(target)))
    assert compiled(source, target).figure("ScratchSize") == 0


@pytest.mark.parametrize("buffers", [2, 16])
@pytest.mark.parametrize("target", [GCN, RDNA])
def test_a_split_dataset_takes_no_scratch_memory(target: str, buffers: int) -> None:
    source = source_of(f"{shape_of(target)}/{buffers}", "kawpow")
    assert compiled(source, target).figure("ScratchSize") == 0


@pytest.mark.parametrize(
    ("shape", "target", "instruction"),
    [
        ("gpu", RDNA, "s_barrier"),
        ("gpu-amd", RDNA, "ds_bpermute_b32"),
        ("gpu-gcn", GCN, "ds_bpermute_b32"),
        ("gpu-rdna", RDNA, "v_permlane16_b32"),
        ("gpu-rdna", GCN, "ds_bpermute_b32"),
    ],
)
def test_lanes_exchange_words_as_their_shape_names_it(
    shape: str, target: str, instruction: str
) -> None:
    loop = "\n".join(compiled(source_of(shape, "kawpow"), target).loop)
    exchanges = {"s_barrier", "ds_bpermute_b32", "v_permlane16_b32"}
    assert {name for name in exchanges if name in loop} == {instruction}


def test_a_spilled_register_is_detected() -> None:
    source = source_of("gpu", "kawpow")
    few = "#define SUBGROUP __attribute__((amdgpu_num_vgpr(32)))\n"
    tight = compiled(replace(source, text=source.text.replace("#define SUBGROUP\n", few)), GCN)
    assert tight.figure("ScratchSize") > 0
    assert [line for line in tight.loop if "buffer_load" in line]


def test_another_shape_takes_no_scratch_memory(other_case: Case) -> None:
    target, shape, name = other_case
    assert compiled(source_of(shape, name), target).figure("ScratchSize") == 0

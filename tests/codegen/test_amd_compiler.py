"""Both kernels compiled for AMD's GPUs, as ROCm's OpenCL compiles them: a sample of variants,
targets and shapes; all of them with `--every-compile`, which takes two minutes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import dataset_source
from miner.codegen.launch_shape import SHAPES, shape_named
from tests.codegen.amd_figures import CLANG, TARGETS, Case, cases, shape_of, source_of, stored
from tests.codegen.toys import NAMES
from tests.harness.amd_compiler import compiled, missing, version

pytestmark = pytest.mark.skipif(missing() is not None, reason=str(missing()))

GCN, RDNA = "gfx906", "gfx1100"
SAMPLE = {
    *((target, shape_of(target), name) for target in (GCN, RDNA) for name in NAMES),
    *((target, shape_of(target), "kawpow") for target in TARGETS),
    *((target, "gpu", "kawpow") for target in (GCN, RDNA)),
}
MOST_BEFORE_ROW = 30


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-compile")
        metafunc.parametrize("case", [c for c in cases() if every or c in SAMPLE], ids="-".join)


def test_a_search_takes_no_more_than_the_stored_figures(case: Case) -> None:
    target, shape, name = case
    found = compiled(source_of(shape, name), target)
    figures, known = found.figures, stored()[case]
    assert figures.row <= MOST_BEFORE_ROW
    reloads = [line for line in found.loop if "scratch_" in line or "buffer_load" in line]
    assert not reloads
    if version() != CLANG:
        pytest.skip(f"the figures are those of clang {CLANG}, this is {version()}")
    assert figures.registers <= known.registers
    assert figures.local <= known.local
    assert figures.waves >= known.waves
    assert figures.scratch <= known.scratch
    assert figures.loop <= known.loop


def test_the_stored_figures_are_of_the_compiled_cases() -> None:
    assert set(stored()) == set(cases())
    assert set(cases()) >= SAMPLE


def test_only_two_variants_take_scratch_memory_and_only_on_gcn() -> None:
    for (_, shape, name), figures in stored().items():
        assert not figures.scratch or (shape == "gpu-gcn" and name in ("oggpow", "telestai"))


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


def test_every_shape_of_gpus_compiles() -> None:
    others = {"gpu-subgroups", "gpu-intel"}  # AMD's compiler has no such shuffles
    for name, shape in SHAPES.items():
        if shape.family == "lanes" and name not in others:
            assert compiled(source_of(name, "meowpow"), RDNA).figure("ScratchSize") == 0

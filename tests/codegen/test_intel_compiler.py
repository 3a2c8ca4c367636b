"""Both kernels compiled for Intel's GPUs by the compiler of Intel's own driver: a sample of
variants, shapes and targets; all of them with `--every-compile`. Nothing is run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import dataset_source
from miner.codegen.launch_shape import SHAPES as ALL_SHAPES
from tests.codegen.amd_figures import Case, source_of
from tests.codegen.intel_figures import (
    MISSING,
    SHAPES,
    TARGETS,
    IntelFigures,
    compiled,
    key,
    knows,
    stored,
    version,
)
from tests.codegen.toys import NAMES

pytestmark = pytest.mark.skipif(MISSING is not None, reason=str(MISSING))

SAMPLE = {
    *(("dg2", "gpu-intel", name) for name in NAMES),
    *((target, shape, "kawpow") for target in TARGETS for shape in ("gpu", "gpu-intel")),
    *(("dg2", shape, "kawpow") for shape in SHAPES),
    *(("tgllp", "gpu-intel", name) for name in ("oggpow", "telestai")),
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        every = metafunc.config.getoption("--every-compile")
        everything = ((t, s, n) for t in TARGETS for s in SHAPES for n in NAMES)
        metafunc.parametrize("case", [c for c in everything if every or c in SAMPLE], ids="-".join)


def needs(target: str) -> None:
    if not knows(target):
        pytest.skip(f"ocloc {version()} does not know {target}")


def test_a_search_takes_no_more_than_the_stored_figures(case: Case) -> None:
    target, shape, name = case
    needs(target)
    found = compiled(source_of(shape, name), target)
    assert isinstance(found, IntelFigures), found
    assert found.scratch == 0
    if shape == "gpu-intel":
        assert found.width == 16
    known = stored().get(key(case))
    if known is None:
        pytest.skip(f"there are no figures of ocloc {version()} for {target}")
    assert found.width >= known.width
    assert found.registers <= known.registers
    assert found.local <= known.local


def test_no_variant_takes_scratch_memory() -> None:
    table = stored()
    assert {name for _, _, name in table} == set(NAMES)
    assert {shape for _, shape, _ in table} == set(SHAPES)
    assert {target.split()[0] for target, _, _ in table} == set(TARGETS)
    assert not [case for case, figures in table.items() if figures.scratch]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", ["gpu", "gpu-intel"])
def test_a_dataset_kernel_compiles(shape: str, target: str) -> None:
    needs(target)
    source = dataset_source(variants()["kawpow"].epoch(0), "opencl", ALL_SHAPES[shape])
    found = compiled(source, target)
    assert isinstance(found, IntelFigures), found
    assert found.scratch == 0


def test_a_spilled_register_is_detected() -> None:
    source = source_of("gpu-intel", "telestai")
    wide = replace(source, text=source.text.replace("group_size(16)", "group_size(32)"))
    found = compiled(wide, "dg2")
    assert isinstance(found, IntelFigures)
    assert (found.width, found.scratch > 0) == (32, True)


def test_a_function_that_the_compiler_does_not_have_is_detected() -> None:
    source = source_of("gpu-intel", "kawpow")
    unknown = source.text.replace("intel_sub_group_shuffle(", "amd_sub_group_shuffle(")
    assert "amd_sub_group_shuffle" in str(compiled(replace(source, text=unknown), "tgllp"))

"""Known answers by PoCL and by Mesa's rusticl, and data races found by Oclgrind.

KawPow and OggPow are computed in every shape, the other variants in one; every variant in every
shape with `--every-compile`. The dataset kernel of the shapes of vectors, which takes llvmpipe most
of a minute, is run there with `--every-compile` only.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from miner.codegen.launch_shape import SHAPES
from tests.codegen.toys import NAMES
from tests.harness.opencl_child import RIGHT, Runtime

POCL = Runtime("libpocl.so.2", "pocl-opencl-icd")
RUSTICL = Runtime("libRusticlOpenCL.so.1", "mesa-opencl-icd", (("RUSTICL_ENABLE", "llvmpipe"),))
OCLGRIND = Runtime("/usr/lib/oclgrind/liboclgrind-rt-icd.so", "oclgrind")
BOTH = pytest.mark.parametrize("runtime", [POCL, RUSTICL], ids=["pocl", "rusticl"])

WITHOUT = ("gpu-intel", "gpu-subgroups")
"""Shapes that need extensions which Debian's PoCL and Mesa do not have."""
LARGE = tuple(name for name, shape in SHAPES.items() if shape.shared_bytes > 48 << 10)
"""Shapes whose groups take more local memory than GPUs have in OpenCL."""
LIKE_GPU = ("gpu-amd", "gpu-gcn")
"""Shapes that equal `gpu` for other compilers than AMD's; `gpu-rdna` stands for them."""
VECTORS = tuple(name for name, shape in SHAPES.items() if shape.family == "vector")
"""Shapes whose dataset kernel llvmpipe compiles for most of a minute."""
IN_EVERY_SHAPE = ("kawpow", "oggpow")


def cases(runtime: Runtime, every: bool) -> list[str]:
    """Return pairs SHAPE:VARIANT."""
    left_out = WITHOUT + LARGE + (VECTORS if runtime is RUSTICL else ())
    if not every:
        left_out += LIKE_GPU
    return [
        f"{shape}:{name}"
        for shape in SHAPES
        for name in NAMES
        if shape not in left_out and (every or shape == "gpu" or name in IN_EVERY_SHAPE)
    ]


def needs(runtime: Runtime) -> None:
    if missing := runtime.missing:
        pytest.skip(missing)


@BOTH
def test_known_answers(runtime: Runtime, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    needs(runtime)
    names = cases(runtime, pytestconfig.getoption("--every-compile"))
    assert runtime.run(tmp_path, "answers", *names) == dict.fromkeys(names, RIGHT)


def test_llvmpipe_computes_known_answers_in_vectors(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    needs(RUSTICL)
    if pytestconfig.getoption("--every-compile"):
        task, names = "answers", [f"{shape}:{name}" for shape in VECTORS for name in NAMES]
    else:  # the shape `gpu` fills the dataset
        task, names = "searches", ["gpu:oggpow", "cpu:oggpow"]
    assert RUSTICL.run(tmp_path, task, *names) == dict.fromkeys(names, RIGHT)


@BOTH
def test_a_shape_without_its_extension_fails_in_one_sentence(
    runtime: Runtime, tmp_path: Path
) -> None:
    needs(runtime)
    found = runtime.run(tmp_path, "answers", *(f"{shape}:kawpow" for shape in WITHOUT))
    for name, problem in found.items():
        assert "does not compile" in problem or "sub-groups have" in problem, (name, problem)
        assert "\n" not in problem, name


def races(name: str, folder: Path) -> tuple[dict[str, str], str]:
    """Run `launches` on Oclgrind; return what it found and Oclgrind's report."""
    needs(OCLGRIND)
    log = folder / "log"
    options = {"OCLGRIND_DATA_RACES": "1", "OCLGRIND_MAX_ERRORS": "9", "OCLGRIND_LOG": str(log)}
    found = OCLGRIND.run(folder, "launches", name, **options)
    return found, log.read_text()


def test_neither_kernel_has_a_data_race(tmp_path: Path) -> None:
    assert races("gpu", tmp_path) == ({"gpu": RIGHT}, "")


def test_an_exchange_without_barriers_is_a_data_race(tmp_path: Path) -> None:
    _, report = races("gpu:broken", tmp_path)
    assert "data race at local memory" in report

"""Both kernels compiled for Intel's GPUs by the compiler of Intel's own driver: KawPow and OggPow;
every variant with `--every-compile`. No figures are read, and nothing is run."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source
from miner.codegen.launch_shape import SHAPES
from tests.codegen.amd_figures import source_of
from tests.codegen.toys import NAMES

OCLOC = shutil.which("ocloc")
pytestmark = pytest.mark.skipif(OCLOC is None, reason="needs ocloc (Debian: intel-opencl-icd)")

TARGETS = ("skl", "tgllp", "dg2")
"""Skylake, Tiger Lake, Arc."""
DEVICE_CODE = b"Intel(R) OpenCL Device Binary"
"""The section that holds it, beside SPIR-V."""
GPU_SHAPES = ("gpu", "gpu-128", "gpu-subgroups", "gpu-intel")


def problem(source: KernelSource, target: str, folder: Path) -> str | None:
    """Compile `source`; return what the compiler prints when it makes no binary."""
    (folder / "kernel.cl").write_text(source.text)
    done = subprocess.run(
        [
            str(OCLOC), "compile", "-file", "kernel.cl", "-device", target, "-output", "kernel",
            "-output_no_suffix", "-options", " ".join(source.options),
        ],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    made = folder / "kernel"
    right = not done.returncode and made.exists() and DEVICE_CODE in made.read_bytes()
    return None if right else done.stdout + done.stderr


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", GPU_SHAPES)
def test_a_search_compiles(
    shape: str, target: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    every = pytestconfig.getoption("--every-compile")
    for name in NAMES if every else ("kawpow", "oggpow"):
        (folder := tmp_path / name).mkdir()
        assert problem(source_of(shape, name), target, folder) is None, name


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("shape", GPU_SHAPES)
def test_a_dataset_kernel_compiles(shape: str, target: str, tmp_path: Path) -> None:
    source = dataset_source(variants()["kawpow"].epoch(0), "opencl", SHAPES[shape])
    assert problem(source, target, tmp_path) is None


def test_a_function_that_the_compiler_does_not_have_is_detected(tmp_path: Path) -> None:
    source = source_of("gpu-intel", "kawpow")
    unknown = source.text.replace("intel_sub_group_shuffle(", "amd_sub_group_shuffle(")
    assert "amd_sub_group_shuffle" in str(problem(replace(source, text=unknown), "tgllp", tmp_path))

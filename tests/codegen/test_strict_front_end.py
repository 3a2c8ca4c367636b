"""The OpenCL C text of every shape, parsed with all extensions off and all warnings on."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace

import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source
from miner.codegen.language import OPENCL_C
from miner.codegen.launch_shape import SHAPES
from tests.codegen.amd_figures import source_of
from tests.codegen.toys import NAMES
from tests.harness.amd_compiler import clang, missing
from tests.harness.child import captured

pytestmark = pytest.mark.skipif(clang() is None, reason=str(missing()))

WITHOUT_EXTENSIONS = [name for name in SHAPES if not OPENCL_C.exchange_of(SHAPES[name]).subgroups]
WITH_EXTENSIONS = {
    "gpu-subgroups": "uint __attribute__((overloadable)) sub_group_shuffle(uint, uint);",
    "gpu-intel": "uint __attribute__((overloadable)) intel_sub_group_shuffle(uint, uint);",
}
"""The function that each of the other shapes needs of its extension."""
POSITION = "uint __attribute__((overloadable)) get_sub_group_local_id(void);"


def front_end(source: KernelSource, *options: str) -> subprocess.CompletedProcess[str]:
    """Run clang on `source` for SPIR-V, as rusticl, Clover and Intel's compiler do."""
    return captured(
        [
            str(clang()), "-x", "cl", *source.options, "--target=spir64", "-Xclang",
            "-cl-ext=-all", "-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wno-unused",
            "-Wno-unused-parameter", "-Wno-ignored-pragmas", *options, "-",
        ],
        input=source.text,
    )  # fmt: skip


def problem(source: KernelSource) -> str:
    return front_end(source, "-fsyntax-only").stderr


@pytest.mark.parametrize(
    ("shape", "name"),
    [
        *((shape, "kawpow") for shape in WITHOUT_EXTENSIONS),
        *((shape, name) for shape in ("gpu", "cpu") for name in NAMES if name != "kawpow"),
    ],
)
def test_a_search_is_opencl_c_1_2_without_extensions(shape: str, name: str) -> None:
    source = source_of(shape, name)
    assert "-cl-std=CL1.2" in source.options
    assert problem(source) == ""


@pytest.mark.parametrize("shape", WITHOUT_EXTENSIONS)
def test_a_dataset_kernel_is_opencl_c_1_2_without_extensions(shape: str) -> None:
    source = dataset_source(variants()["kawpow"].epoch(0), "opencl", SHAPES[shape])
    assert "-cl-std=CL1.2" in source.options
    assert problem(source) == ""


@pytest.mark.parametrize("shape", WITH_EXTENSIONS)
def test_other_shapes_need_their_shuffle_and_nothing_else(shape: str) -> None:
    source = source_of(shape, "kawpow")
    assert "use of undeclared identifier" in problem(source)
    declared = f"{POSITION}\n{WITH_EXTENSIONS[shape]}\n{source.text}"
    assert problem(replace(source, text=declared)) == ""


@pytest.mark.parametrize("shape", SHAPES)
def test_no_builtin_of_a_single_compiler_is_left(shape: str) -> None:
    done = front_end(source_of(shape, "kawpow"), "-E")
    assert done.returncode == 0
    assert "KERNEL" not in done.stdout
    assert re.findall(r"__builtin\w*|__asm__|\basm\b", done.stdout) == []


@pytest.mark.parametrize("word", ["double x = 1.0;", "half x;", "int x[0];"])
def test_an_extension_is_detected(word: str) -> None:
    source = source_of("gpu", "kawpow")
    text = source.text.replace("u32 state[25];", f"u32 state[25]; {word}", 1)
    assert text != source.text
    assert problem(replace(source, text=text))

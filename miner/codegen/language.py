"""The languages of kernels, as data: OpenCL C and CUDA C++."""

from __future__ import annotations

from dataclasses import dataclass

from miner.codegen.launch_shape import LaunchShape
from miner.errors import BadValue


@dataclass(frozen=True, slots=True)
class Language:
    """A language that kernels are compiled from.

    The kernels use one vocabulary (`u32`, `GLOBAL`, `rotl32` …); `prelude`, a file under
    kernels/, defines it in this language.
    """

    name: str
    """The dialect, as in `kernel --dialect`."""
    prelude: str
    options: tuple[str, ...]
    """Compiler options."""
    subgroup_options: tuple[str, ...]
    """Compiler options for shapes with sub-group shuffles."""
    vectors: bool
    """Whether it has vectors of 16 words, which the kernels for CPU devices use."""

    def options_for(self, shape: LaunchShape) -> tuple[str, ...]:
        """Return the compiler options for `shape`; raises `BadValue` if it needs vectors that
        this language does not have."""
        if shape.family == "vector" and not self.vectors:
            raise BadValue("shape", f"{shape.name!r} needs 16-word vectors, {self.name} has none")
        return self.subgroup_options if shape.subgroups else self.options


OPENCL_C = Language(
    name="opencl",
    prelude="preludes/opencl.h",
    options=("-cl-std=CL1.2",),
    subgroup_options=("-cl-std=CL3.0",),
    vectors=True,
)

CUDA_CPP = Language(
    name="cuda",
    prelude="preludes/cuda.h",
    options=("--std=c++17",),
    subgroup_options=("--std=c++17",),
    vectors=False,
)

LANGUAGES = {language.name: language for language in (OPENCL_C, CUDA_CPP)}


def language_named(name: str) -> Language:
    """Return the language of dialect `name`; raises `BadValue` for an unknown one."""
    if name not in LANGUAGES:
        raise BadValue("dialect", f"{name!r} is none of {', '.join(LANGUAGES)}")
    return LANGUAGES[name]

"""Dialects of C: a prelude with a compiler's options each."""

from __future__ import annotations

from dataclasses import dataclass

from miner.codegen.shape import LaunchShape
from miner.errors import BadValue


@dataclass(frozen=True, slots=True)
class Dialect:
    """A row: `prelude` is a file under kernels/ that says the vocabulary in this dialect."""

    name: str
    prelude: str
    suffix: str
    options: tuple[str, ...]
    subgroup_options: tuple[str, ...]
    """Instead of `options`, where a shape exchanges words by sub-group shuffles."""
    vectors: bool
    """Whether it has the 16-word vectors of the kernels for CPU devices."""

    def options_for(self, shape: LaunchShape) -> tuple[str, ...]:
        """Return the compiler's options for `shape`; raises `BadValue` where this dialect
        cannot say it."""
        if shape.family == "vector" and not self.vectors:
            raise BadValue("shape", f"{shape.name!r} needs 16-word vectors, {self.name} has none")
        return self.subgroup_options if shape.subgroups else self.options


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            "opencl",
            "preludes/opencl.h",
            ".cl",
            ("-cl-std=CL1.2",),
            ("-cl-std=CL3.0",),
            vectors=True,
        ),
        Dialect(
            "cuda", "preludes/cuda.h", ".cu", ("--std=c++17",), ("--std=c++17",), vectors=False
        ),
    )
}


def dialect_named(name: str) -> Dialect:
    """Return the dialect `name`; raises `BadValue` for an unknown one."""
    if name not in DIALECTS:
        raise BadValue("dialect", f"{name!r} is none of {', '.join(DIALECTS)}")
    return DIALECTS[name]

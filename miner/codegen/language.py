"""The instructions of a program in OpenCL C and CUDA C++."""

from __future__ import annotations

from dataclasses import dataclass

from miner.codegen.launch_shape import LaunchShape
from miner.errors import BadValue
from miner.progpow.program import CacheRead, DagMerge, Instruction, Math, Program


@dataclass(frozen=True, slots=True)
class Language:
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
        Language(
            "opencl",
            "preludes/opencl.h",
            ".cl",
            ("-cl-std=CL1.2",),
            ("-cl-std=CL3.0",),
            vectors=True,
        ),
        Language(
            "cuda", "preludes/cuda.h", ".cu", ("--std=c++17",), ("--std=c++17",), vectors=False
        ),
    )
}


def dialect_named(name: str) -> Language:
    """Return the dialect `name`; raises `BadValue` for an unknown one."""
    if name not in DIALECTS:
        raise BadValue("dialect", f"{name!r} is none of {', '.join(DIALECTS)}")
    return DIALECTS[name]


_MATH = {
    "add": "{a} + {b}",
    "mul": "{a} * {b}",
    "mul_hi": "mul_hi32({a}, {b})",
    "min": "min32({a}, {b})",
    "rotl": "rotl32({a}, {b})",
    "rotr": "rotr32({a}, {b})",
    "and": "{a} & {b}",
    "or": "{a} | {b}",
    "xor": "{a} ^ {b}",
    "clz": "clz32({a}) + clz32({b})",
    "popcount": "popcount32({a}) + popcount32({b})",
}
_MERGE = {
    "mad33": "{a} * 33u + ({b})",
    "xor_mul33": "({a} ^ ({b})) * 33u",
    "rotl_xor": "rotl32({a}, {n}u) ^ ({b})",
    "rotr_xor": "rotr32({a}, {n}u) ^ ({b})",
}


def run_period(program: Program, family: str, hashes: int) -> str:
    """Return the function's text. "lanes" works on one lane of one hash and is given its row;
    "vector" works on all lanes of `hashes` hashes, interleaved, and loads their rows itself,
    late, where they are first merged."""
    if family == "lanes":
        head = "INLINE void run_period(u32 *mix, L1 l1, const u32x4 row)"
        names = [("mix", "row")]
    else:
        numbers = range(hashes)
        head = (
            "INLINE void run_period("
            + "".join(f"WORD *mix{n}, " for n in numbers)
            + "L1 l1, "
            + "".join(f"GLOBAL const u32x4 *entry{n}, " for n in numbers)
            + "u32 loop)"
        )
        names = [(f"mix{n}", f"row{n}") for n in numbers]
    lines = []
    loaded = False
    for step in program:
        if isinstance(step, DagMerge) and family == "vector" and not loaded:
            lines += [f"LOAD_ROW(row{n}, entry{n}, loop);" for n in range(hashes)]
            loaded = True
        lines += [_statement(step, mix, row) for mix, row in names]
    return f"{head}\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


def _statement(step: Instruction, mix: str, row: str) -> str:
    if isinstance(step, CacheRead):
        operand = f"READ_L1(l1, {mix}[{step.source}])"
    elif isinstance(step, Math):
        a, b = f"{mix}[{step.first}]", f"{mix}[{step.second}]"
        operand = _MATH[step.operation].format(a=a, b=b)
    else:
        operand = f"ROW_WORD_{step.word}({row})"
    target = f"{mix}[{step.destination}]"
    merged = _MERGE[step.merge].format(a=target, b=operand, n=step.rotation)
    return f"{target} = {merged};"

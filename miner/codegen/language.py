"""OpenCL C and CUDA C++: keywords, and the program of a period as statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from miner.codegen.launch_shape import LaunchShape
from miner.errors import BadValue, not_one_of
from miner.progpow.instructions import (
    CACHE_READ,
    DAG_WORD,
    FROM_OPERAND,
    FROM_SEED,
    SEED_MERGE,
    Instruction,
    Program,
)
from miner.progpow.program import program
from miner.progpow.variant import DAG_LOADS, LANES, MATH_OPERATIONS, Variant


@dataclass(frozen=True, slots=True)
class Exchange:
    """One way in which neighbouring threads exchange words."""

    options: tuple[str, ...]
    """Compiler options."""
    names: tuple[str, ...] = ()
    """Parts of its files' names. The first one that the compiler supports defines `SHARE`, the
    others are without effect."""
    subgroups: bool = False
    """Whether the size of a sub-group must be a multiple of the number of these threads."""

    @property
    def files(self) -> tuple[str, ...]:
        """Its files under kernels/."""
        return tuple(f"preludes/exchange_{name}.h" for name in self.names)


@dataclass(frozen=True, slots=True)
class Language:
    """A language that kernels are compiled from.

    The kernels use one vocabulary (`u32`, `GLOBAL`, `rotl32` …); `prelude`, a file under
    kernels/, defines it in this language.
    """

    name: str
    """The dialect, as in `kernel --dialect`."""
    prelude: str
    exchanges: Mapping[str, Exchange]
    """Ways to exchange words, by name."""
    vectors: bool
    """Whether it has vectors of 16 words, which the kernels for CPUs use."""

    def exchange_of(self, shape: LaunchShape) -> Exchange:
        """Return how the lanes of `shape` exchange words; raises `BadValue` if it needs vectors
        that this language does not have."""
        if shape.family == "vector" and not self.vectors:
            raise BadValue("shape", f"{shape.name!r} needs 16-word vectors, {self.name} has none")
        return self.exchanges[shape.exchange]


_CL12 = ("-cl-std=CL1.2",)

EXCHANGES = {
    "local": Exchange(_CL12, ("local",)),
    "khr-shuffle": Exchange(("-cl-std=CL3.0",), ("khr_shuffle",), subgroups=True),
    "intel-shuffle": Exchange(_CL12, ("intel_shuffle",), subgroups=True),
    "amd-bpermute": Exchange(_CL12, ("amd_bpermute", "local")),
    "amd-permlane16": Exchange(_CL12, ("amd_permlane16", "amd_bpermute", "local")),
}
"""Ways of OpenCL C by name."""

OPENCL_C = Language("opencl", "preludes/opencl.h", EXCHANGES, vectors=True)

_CUDA_SHUFFLE = Exchange(("--std=c++17",))
CUDA_CPP = Language(
    "cuda", "preludes/cuda.h", dict.fromkeys(EXCHANGES, _CUDA_SHUFFLE), vectors=False
)

LANGUAGES = {language.name: language for language in (OPENCL_C, CUDA_CPP)}


def language_named(name: str) -> Language:
    """Return the language of dialect `name`; raises `BadValue` for an unknown one."""
    if name not in LANGUAGES:
        raise BadValue("dialect", not_one_of(name, LANGUAGES))
    return LANGUAGES[name]


_OPERAND = {
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
    CACHE_READ: "READ_L1(l1, {a}{mixed})",
    DAG_WORD: "ROW_WORD_{first}({row})",
}
_MERGE = {
    "mad33": "mad33({a}, {b})",
    "xor_mul33": "({a} ^ ({b})) * 33u",
    "rotl_xor": "rotl32({a}, {n}u) ^ ({b})",
    "rotr_xor": "rotr32({a}, {n}u) ^ ({b})",
}
_LATE_MERGE = {
    ("rotl_xor", FROM_OPERAND): "rotl_xor_by_operand({a}, {b})",
    ("rotr_xor", FROM_OPERAND): "rotr_xor_by_operand({a}, {b})",
    (SEED_MERGE, FROM_OPERAND): "seed_merge_by_operand({a}, {b}, {selectors} >> {shift}u)",
    (SEED_MERGE, FROM_SEED): "seed_merge({a}, {b}, {selectors} >> {shift}u)",
}
"""Merges that kernels/late_merge.h defines."""

SELECTOR_BITS = 7
"""Bits of each of the four selectors that kernels/late_merge.h packs into a word."""


def needs_late_merge(drawn: Program) -> bool:
    """Return whether the search for `drawn` uses kernels/late_merge.h."""
    late = any((step.merge, step.rotation) in _LATE_MERGE for step in drawn.steps)
    return late or drawn.reads_position_or_seed


def period_text(drawn: Program, shape: LaunchShape) -> str:
    """Return the text of `run_period` for the kernels of `shape.family`.

    "lanes": it runs one lane of one hash and takes the lane's row of the dataset entry.
    "vector": it runs all lanes of each of the thread's hashes, interleaved.
    A program that depends on lane and loop or on the seed digest takes these too.
    """
    return _lanes(drawn, shape) if shape.family == "lanes" else _vector(drawn, shape)


def _lanes(drawn: Program, shape: LaunchShape) -> str:
    parameters = "u32 (*mix)[REGISTERS], L1 l1, const u32x4 *row"
    if drawn.reads_position_or_seed:
        parameters += ", u32 position, u32 selectors"
    statements = []
    used = not shape.ordered
    for step in drawn.steps:
        if step.operation == DAG_WORD and not used:
            statements.append("ROW_USED();")
            used = True
        for own in range(shape.lanes):
            position = f"(position + {own * shape.peers}u)" if own else "position"
            names = _Names(f"mix[{own}]", f"row[{own}]", position, "selectors")
            statements.append(_statement(step, drawn, names))
    return _function(parameters, statements)


def _vector(drawn: Program, shape: LaunchShape) -> str:
    numbers = range(shape.hashes_per_thread)
    mixes = "".join(f"WORD *mix{n}, " for n in numbers)
    entries = "".join(f"GLOBAL const u32x4 *entry{n}, " for n in numbers)
    parameters = f"{mixes}L1 l1, {entries}u32 loop"
    statements = []
    if drawn.reads_position_or_seed:
        parameters += "".join(f", u32 selectors{n}" for n in numbers)
        lanes = ", ".join(map(str, range(LANES)))
        statements.append(f"const WORD position = (WORD)({lanes}) + loop * {LANES}u;")
    # Rows are loaded just before their first use, so that they do not occupy registers earlier.
    loads = [f"LOAD_ROW(row{n}, entry{n}, loop);" for n in numbers]
    for step in drawn.steps:
        if (step.operation, step.first) == (DAG_WORD, 0):
            statements += loads
        statements += [
            _statement(step, drawn, _Names(f"mix{n}", f"row{n}", "position", f"selectors{n}"))
            for n in numbers
        ]
    return _function(parameters, statements)


def _function(parameters: str, statements: list[str]) -> str:
    body = "".join(f"    {statement}\n" for statement in statements)
    return f"INLINE void run_period({parameters})\n{{\n{body}}}\n"


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of the variables of one hash, or of one lane of it, in a statement."""

    mix: str
    row: str
    position: str
    selectors: str


def _statement(step: Instruction, drawn: Program, names: _Names) -> str:
    """Return `step` as a statement."""
    operand = _OPERAND[step.operation].format(
        a=f"{names.mix}[{step.first}]",
        b=f"{names.mix}[{step.second}]",
        first=step.first,
        row=names.row,
        mixed=f" ^ {names.position}" if drawn.choices.cache_index == "mixed" else "",
    )
    target = f"{names.mix}[{step.destination}]"
    form = _LATE_MERGE.get((step.merge, step.rotation)) or _MERGE[step.merge]
    merged = form.format(
        a=target,
        b=operand,
        n=step.rotation,
        selectors=names.selectors,
        shift=SELECTOR_BITS * step.first,
    )
    return f"{target} = {merged};"


def operation_counts(variant: Variant, period: int) -> dict[str, object]:
    """Return how often one lane runs each operation per loop, and the memory that a hash reads."""
    steps = program(variant, period).steps
    operations = Counter(step.operation for step in steps)
    math = {name: operations[name] for name in sorted(MATH_OPERATIONS) if operations[name]}
    merges = Counter(step.merge for step in steps)
    return {
        "math": math,
        "merges": dict(sorted(merges.items())),
        "cache_reads": operations[CACHE_READ],
        "dataset_bytes_per_hash": variant.dag_loops * LANES * DAG_LOADS * 4,
        "cache_reads_per_hash": variant.dag_loops * LANES * operations[CACHE_READ],
    }

"""The source text of the search kernel and the dataset kernel, to be compiled by a driver."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from miner.codegen.language import language_named, needs_late_merge, period_text
from miner.codegen.launch_shape import LaunchShape
from miner.progpow.epoch import Epoch
from miner.progpow.instructions import Program
from miner.progpow.program import program
from miner.progpow.variant import L1_WORDS, Variant
from miner.resources import data_directory

RESULT_SLOTS = 1024
"""Nonces that one launch can report. The largest group has as many: a kernel is proved with a
launch of one group, which reports every nonce."""

STATIC_SHARED_BYTES = 48 << 10
"""Most shared memory that a CUDA kernel can declare; for more, the host sets the size at launch."""

DATASET_THREADS = 64
"""Threads of a group of the dataset kernel for GPUs: one wave of an AMD card, where barriers then
cost nothing."""

DATASET_LANES = 4
"""Threads of the dataset kernel for GPUs that compute one node together."""

VECTOR_NODES = 32
"""Nodes that a thread of the dataset kernel for CPUs computes side by side, so that many of their
parents are on the way from memory at once."""

_L1_ENTRY_BITS = 6
"""log2 of the number of entries that the L1 cache is copied from."""


@dataclass(frozen=True, slots=True)
class KernelSource:
    """The source text of one kernel."""

    title: str
    """For messages, e.g. "kawpow search period 333 epoch 0"."""
    text: str
    entry: str
    """Name of the kernel: "search" or "dataset"."""
    dialect: str | None
    """None: for a device that interprets programs; `text` is the title then."""
    options: tuple[str, ...]
    """Compiler options."""
    subgroup_multiple: int = 1
    """The size of its sub-groups must be a multiple of this."""
    dynamic_bytes: int = 0
    """Bytes of shared memory that the host sets for each group at launch; CUDA only."""

    @property
    def shape(self) -> str:
        """Name of the launch shape, with which the title ends; empty for a dataset program."""
        return self.title.partition(" shape ")[2]

    @property
    def sha256(self) -> str:
        """Hex digest of all that can change the compiled code."""
        digest = hashlib.sha256()
        for part in (self.dialect or "", self.entry, *self.options, self.text):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()


def search_source(
    variant: Variant, period: int, epoch: Epoch, dialect: str | None, shape: LaunchShape
) -> KernelSource:
    """Return the kernel `search`, which tries a range of nonces.

    Variant, period, epoch and shape are constants in it.
    """
    title = f"{variant.name} search period {period} epoch {epoch.number} shape {shape.name}"
    if dialect is None:
        return KernelSource(title, title, "search", dialect, ())
    language = language_named(dialect)
    exchange = language.exchange_of(shape)
    drawn = program(variant, period)
    shared = shape.shared_words * 4
    dynamic = shared if dialect == "cuda" and shared > STATIC_SHARED_BYTES else 0
    conditions = {
        **_conditions_of_variant(drawn, variant),
        **_conditions_of_shape(shape),
        "DYNAMIC_SHARED": dynamic > 0,
    }
    lane, mixed = drawn.entry_lane, variant.choices.entry_index == "mixed"
    defines: dict[str, object] = {
        "GROUP_SIZE": shape.threads,
        "HASHES": shape.hashes_per_thread,
        "BUFFERS": shape.buffers,
        "DATASET": ", ".join(f"DATASET_BUFFER({n})" for n in range(shape.buffers)),
        "L1_WORDS": L1_WORDS,
        "RESULT_SLOTS": RESULT_SLOTS,
        "REGISTERS": variant.registers,
        "DAG_LOOPS": variant.dag_loops,
        "ENTRIES": epoch.entries,
        "ABSORBS_DIGEST": int(variant.absorbs == "digest"),
        "INITIAL_PADDING(s)": _stores(10, variant.initial_padding),
        "FINAL_PADDING(s)": _stores(variant.final_padding_at, variant.final_padding),
        "ENTRY_LANE(loop)": "((loop) & 15u)" if lane is None else f"{lane}u",
        "ENTRY_INDEX(word, loop)": "((word) ^ (loop))" if mixed else "(word)",
        "EACH_REGISTER(DO)": " ".join(f"DO({r})" for r in range(variant.registers)),
    }
    if shape.buffers > 1:
        shift = buffer_shift(epoch.entries, shape.buffers)
        defines |= {"BUFFER_SHIFT": shift, "BUFFER_MASK": (1 << shift) - 1}
        defines["BUFFER(number)"] = _selected(0, shape.buffers)
    if shape.waves:
        defines["AMD_WAVES"] = shape.waves
    if shape.family == "lanes":
        defines |= {"OWN_LANES": shape.lanes, "COPIES": shape.copies}
        defines["SHARED_WORDS"] = shape.shared_words
    if shape.groups:
        defines["GROUPS_AT_ONCE"] = shape.groups
    late = ("late_merge.h",) if needs_late_merge(drawn) else ()
    before = (*exchange.files, f"{shape.family}.h", "keccak.h", "mix.h", *late)
    text = (
        _constants(defines)
        + _files(language.prelude, *before, conditions=conditions)
        + _section("generated/period.h", period_text(drawn, shape))
        + _files(f"search_{shape.family}.h", conditions=conditions)
    )
    multiple = shape.peers if exchange.subgroups else 1
    return KernelSource(title, text, "search", dialect, exchange.options, multiple, dynamic)


def _conditions_of_variant(drawn: Program, variant: Variant) -> dict[str, bool]:
    """Return the values of the names in `#if NAME` of kernel files that depend on the variant."""
    return {
        "ABSORBS_NONCE": variant.absorbs == "nonce",
        "BIG_ENDIAN_HASH": variant.byte_order == "big",
        "READS_POSITION_OR_SEED": drawn.reads_position_or_seed,
    }


def _conditions_of_shape(shape: LaunchShape) -> dict[str, bool]:
    """Return the values of the names in `#if NAME` of kernel files that depend on the shape."""
    return {
        "SEVERAL_LANES": shape.lanes > 1,
        "PARKED": shape.parked,
        "ORDERED": shape.ordered,
        "MULTIPLIED": shape.multiplied,
    }


def buffer_shift(entries: int, buffers: int) -> int:
    """Return log2 of the number of entries in each buffer but the last: the smallest power of
    two with which `buffers` buffers hold all `entries`, and the first one the whole L1 cache."""
    return max((-(-entries // buffers) - 1).bit_length(), _L1_ENTRY_BITS)


def _selected(first: int, end: int) -> str:
    """Return an expression for the buffer `number`, which is in `range(first, end)`."""
    if end - first == 1:
        return f"dataset{first}"
    middle = (first + end) // 2
    return f"((number) > {middle - 1}u ? {_selected(middle, end)} : {_selected(first, middle)})"


def dataset_source(epoch: Epoch, dialect: str | None, shape: LaunchShape) -> KernelSource:
    """Return the kernel `dataset`, which computes a range of nodes from the light cache.

    The epoch's light cache size and parents are constants in it; periods do not matter.
    """
    title = f"dataset epoch {epoch.number} light items {epoch.light_items}"
    if dialect is None:
        return KernelSource(title, title, "dataset", dialect, ())
    language = language_named(dialect)
    exchange = language.exchange_of(shape)
    defines = {
        "GROUP_SIZE": group_size(shape),
        "LIGHT_ITEMS": epoch.light_items,
        "PARENTS": epoch.parents,
        "NODES": VECTOR_NODES,
    }
    text = _constants(defines) + _files(
        language.prelude, *exchange.files, "keccak.h", f"dataset_{shape.family}.h"
    )
    multiple = DATASET_LANES if exchange.subgroups else 1
    return KernelSource(title, text, "dataset", dialect, exchange.options, multiple)


def group_size(shape: LaunchShape) -> int:
    """Return the threads in a group of the dataset kernel."""
    return DATASET_THREADS if shape.family == "lanes" else 1


def nodes_per_group(shape: LaunchShape) -> int:
    """Return the 64-byte nodes that a group of the dataset kernel computes."""
    return DATASET_THREADS // DATASET_LANES if shape.family == "lanes" else VECTOR_NODES


def _constants(values: Mapping[str, object]) -> str:
    """Return one `#define` per line; integers above 1 become unsigned literals."""
    lines = []
    for name, value in values.items():
        text = f"{value}u" if type(value) is int and value > 1 else str(value)
        lines.append(f"#define {name} {text}\n")
    return _section("generated/constants.h", "".join(lines))


def _stores(first: int, words: tuple[int, ...]) -> str:
    return " ".join(f"s[{first + i}] = {word}u;" for i, word in enumerate(words))


def _files(*names: str, conditions: Mapping[str, bool] = MappingProxyType({})) -> str:
    return "".join(
        _section(f"kernels/{name}", decide_conditions(kernel_text(name), conditions))
        for name in names
    )


def _section(name: str, text: str) -> str:
    # The compiler names this file and its lines in its log.
    return f'#line 1 "{name}"\n{text}'


def decide_conditions(text: str, conditions: Mapping[str, bool]) -> str:
    """Return `text` with each `#if NAME` of a name in `conditions` decided, as by unifdef(1).

    So a kernel has only the lines that its variant and shape need. Images are cached by their
    text, and a new choice of one variant leaves the text of all others as it was.
    """
    lines: list[str] = []
    kept: list[bool | None] = []
    """For each open `#if`: whether its lines are kept; None: the compiler decides."""
    for line in text.splitlines(keepends=True):
        directive, *names = line.split()[:2] or [""]
        if directive.startswith("#if"):
            kept.append(conditions.get(names[0]) if directive == "#if" else None)
            ours = kept[-1] is not None
        elif directive == "#else" and kept[-1] is not None:
            kept[-1], ours = not kept[-1], True
        elif directive == "#endif":
            ours = kept.pop() is not None
        else:
            ours = False
        if not ours and False not in kept:
            lines.append(line)
    return "".join(lines)


@lru_cache(maxsize=32)
def kernel_text(name: str) -> str:
    """Return the file `name` under kernels/."""
    return (data_directory("kernels") / name).read_text(encoding="ascii")

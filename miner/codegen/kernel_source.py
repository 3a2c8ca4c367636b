"""Source text of the search kernel and of the dataset kernel."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from miner.codegen.language import dialect_named, run_period
from miner.codegen.launch_shape import LaunchShape
from miner.progpow.epoch import Epoch
from miner.progpow.program import CacheRead, Math, program
from miner.progpow.variant import DAG_LOADS, L1_WORDS, LANES, Variant
from miner.resources import data_directory


@dataclass(frozen=True, slots=True)
class KernelSource:
    """One program to compile: `entry` is its only kernel."""

    title: str
    """What a person calls it, e.g. "kawpow search period 333 epoch 0"."""
    text: str
    entry: str
    dialect: str | None
    """None: for a device that interprets programs; `text` is the title then."""
    options: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hex digest of everything here that can change the compiled bytes."""
        digest = hashlib.sha256()
        for part in (self.dialect or "", self.entry, *self.options, self.text):
            digest.update(part.encode() + b"\0")
        return digest.hexdigest()


def operation_counts(variant: Variant, period: int) -> dict[str, object]:
    """Return counts of one lane's pass through the program, and the memory that a hash reads."""
    steps = program(variant, period)
    math = Counter(step.operation for step in steps if isinstance(step, Math))
    merges = Counter(step.merge for step in steps)
    reads = sum(isinstance(step, CacheRead) for step in steps)
    return {
        "math": dict(sorted(math.items())),
        "merges": dict(sorted(merges.items())),
        "cache_reads": reads,
        "dataset_bytes_per_hash": variant.dag_loops * LANES * DAG_LOADS * 4,
        "cache_reads_per_hash": variant.dag_loops * LANES * reads,
    }


@lru_cache(maxsize=32)
def kernel_text(name: str) -> str:
    """Return the file `name` under kernels/."""
    return (data_directory("kernels") / name).read_text(encoding="ascii")


def constants(values: Mapping[str, object]) -> str:
    """Return one `#define` a line; integers become unsigned literals."""
    lines = []
    for name, value in values.items():
        text = f"{value}u" if type(value) is int and value > 1 else str(value)
        lines.append(f"#define {name} {text}\n")
    return "".join(lines)


def assemble(parts: Iterable[tuple[str, str]]) -> str:
    """Return (file name, text) pairs as one text whose compiler log names the files."""
    return "".join(f'#line 1 "{name}"\n{text}' for name, text in parts)


def with_files(*names: str) -> list[tuple[str, str]]:
    """Return the files under kernels/ as pairs for `assemble`."""
    return [(f"kernels/{name}", kernel_text(name)) for name in names]


RESULT_SLOTS = 256
"""Nonces that one launch can hand back: a whole group, so that a test can see every one."""


def buffer_shift(entries: int, buffers: int) -> int:
    """Return log2 of the entries in each buffer but the last: the smallest power of two of
    which `buffers` hold all `entries`."""
    return max((-(-entries // buffers) - 1).bit_length(), 0)


def search_source(
    variant: Variant, period: int, epoch: Epoch, dialect: str | None, shape: LaunchShape
) -> KernelSource:
    """Return the program whose kernel `search` tries a range of nonces.

    All that the variant, the period, the epoch and the shape decide is a constant in it.
    """
    title = f"{variant.name} search period {period} epoch {epoch.number} shape {shape.name}"
    if dialect is None:
        return KernelSource(title, title, "search", dialect, ())
    row = dialect_named(dialect)
    options = row.options_for(shape)
    after_mix = 16 if variant.absorbs_digest else 18
    defines: dict[str, object] = {
        "GROUP_SIZE": shape.threads,
        "SUBGROUPS": int(shape.subgroups),
        "HASHES": shape.hashes_per_thread,
        "BUFFERS": shape.buffers,
        "L1_WORDS": L1_WORDS,
        "RESULT_SLOTS": RESULT_SLOTS,
        "REGISTERS": variant.registers,
        "DAG_LOOPS": variant.dag_loops,
        "ENTRIES": epoch.entries,
        "ABSORBS_DIGEST": int(variant.absorbs_digest),
        "INITIAL_PADDING(s)": _stores(10, variant.initial_padding),
        "FINAL_PADDING(s)": _stores(after_mix, variant.final_padding),
        "EACH_REGISTER(DO)": " ".join(f"DO({r})" for r in range(variant.registers)),
    }
    if shape.buffers > 1:
        shift = buffer_shift(epoch.entries, shape.buffers)
        defines |= {"BUFFER_SHIFT": shift, "BUFFER_MASK": (1 << shift) - 1}
    body = run_period(program(variant, period), shape.family, shape.hashes_per_thread)
    text = assemble(
        [
            ("generated/constants.h", constants(defines)),
            *with_files(row.prelude, f"{shape.family}.h", "keccak.h", "mix.h"),
            ("generated/period.h", body),
            *with_files(f"search_{shape.family}.h"),
        ]
    )
    return KernelSource(title, text, "search", dialect, options)


def _stores(first: int, words: tuple[int, ...]) -> str:
    return " ".join(f"s[{first + i}] = {word}u;" for i, word in enumerate(words))


LANES_GROUP = 64
"""Threads of a group where four make a node: one wave of an AMD card, so that the barriers
between its threads cost nothing there."""

VECTOR_NODES = 8
"""Nodes that a thread of a CPU device makes side by side; 16 compile 30 times longer."""


def nodes_per_group(shape: LaunchShape) -> int:
    """Return how many 64-byte nodes one group of the dataset kernel makes."""
    return LANES_GROUP // 4 if shape.family == "lanes" else VECTOR_NODES


def group_size(shape: LaunchShape) -> int:
    """Return the threads of one group of the dataset kernel."""
    return LANES_GROUP if shape.family == "lanes" else 1


def dataset_source(epoch: Epoch, dialect: str | None, shape: LaunchShape) -> KernelSource:
    """Return the program whose kernel `dataset` fills a range of nodes from the light cache.

    It depends on the epoch's light cache and parents, never on a period.
    """
    title = f"dataset epoch {epoch.number} light items {epoch.light_items}"
    if dialect is None:
        return KernelSource(title, title, "dataset", dialect, ())
    row = dialect_named(dialect)
    options = row.options_for(shape)
    defines = {
        "GROUP_SIZE": group_size(shape),
        "SUBGROUPS": int(shape.subgroups),
        "LIGHT_ITEMS": epoch.light_items,
        "PARENTS": epoch.parents,
        "NODES": VECTOR_NODES,
    }
    text = assemble(
        [
            ("generated/constants.h", constants(defines)),
            *with_files(row.prelude, "keccak.h", f"dataset_{shape.family}.h"),
        ]
    )
    return KernelSource(title, text, "dataset", dialect, options)

"""The search program of one period on one epoch."""

from __future__ import annotations

from miner.codegen.assembly import assemble, constants, with_files
from miner.codegen.dialect import dialect_named
from miner.codegen.period import run_period
from miner.codegen.shape import LaunchShape
from miner.codegen.source import Source
from miner.progpow.epoch import Epoch
from miner.progpow.program import program
from miner.progpow.variant import L1_WORDS, Variant

RESULT_SLOTS = 256
"""Nonces that one launch can hand back: a whole group, so that a test can see every one."""


def buffer_shift(entries: int, buffers: int) -> int:
    """Return log2 of the entries in each buffer but the last: the smallest power of two of
    which `buffers` hold all `entries`."""
    return max((-(-entries // buffers) - 1).bit_length(), 0)


def search_source(
    variant: Variant, period: int, epoch: Epoch, dialect: str, shape: LaunchShape
) -> Source:
    """Return the program whose kernel `search` tries a range of nonces.

    All that the variant, the period, the epoch and the shape decide is a constant in it.
    """
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
    title = f"{variant.name} search period {period} epoch {epoch.number} shape {shape.name}"
    return Source(title, text, "search", dialect, options)


def _stores(first: int, words: tuple[int, ...]) -> str:
    return " ".join(f"s[{first + i}] = {word}u;" for i, word in enumerate(words))

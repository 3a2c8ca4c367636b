"""The dataset program of one epoch."""

from __future__ import annotations

from miner.codegen.assembly import assemble, constants, with_files
from miner.codegen.dialect import dialect_named
from miner.codegen.shape import LaunchShape
from miner.codegen.source import Source
from miner.progpow.epoch import Epoch

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


def dataset_source(epoch: Epoch, dialect: str, shape: LaunchShape) -> Source:
    """Return the program whose kernel `dataset` fills a range of nodes from the light cache.

    It depends on the epoch's light cache and parents, never on a period.
    """
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
    title = f"dataset epoch {epoch.number} light items {epoch.light_items}"
    return Source(title, text, "dataset", dialect, options)

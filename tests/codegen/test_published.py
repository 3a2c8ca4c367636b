"""Every published hash, computed by the reference and by both kernels' CUDA text.

They use the real light cache of each epoch, which takes up to seconds, so it is computed once for
both. A hash reads 64 entries of a dataset of up to 8.7 GiB: those are made by the text of the
dataset kernel, each at its place in memory that is reserved and, except for them, never touched.
"""

from __future__ import annotations

import mmap
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from miner.catalog import variants
from miner.codegen.kernel_source import (
    RESULT_SLOTS,
    KernelSource,
    dataset_source,
    nodes_per_group,
    search_source,
)
from miner.codegen.launch_shape import shape_named
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.keccak import as_words
from miner.progpow.variant import L1_WORDS
from tests.harness.build import Kernel, build, compiler
from tests.progpow.published import (
    VECTORS,
    CacheKey,
    LightCaches,
    assert_published,
    key_of,
    named,
)

SHAPE = shape_named("gpu")
L1_NODES = L1_WORDS // 16
TABLES = ("vectors", "published_vectors", "real_blocks", "traces")
ROWS = [(table, row) for table in TABLES for row in VECTORS[table] if not row.get("light_only")]
NO_RESERVE = 0x4000
"""Linux's MAP_NORESERVE; Python has it since 3.12."""
ENTRY_BYTES = 256
LARGE = 6 << 30
"""Size of a dataset some of whose 64 entries are certainly beyond 32-bit addresses."""
Row = dict[str, Any]


def rows_by_epoch() -> list[tuple[Epoch, list[Row]]]:
    """Group the rows by light cache, so that each is built once."""
    groups: dict[CacheKey, dict[Epoch, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for _, row in ROWS:
        epoch = named(row["variant"]).epoch(row["epoch"])
        groups[key_of(epoch)][epoch].append(row)
    return [pair for group in groups.values() for pair in group.items()]


EPOCHS = rows_by_epoch()


def search_of(row: Row) -> KernelSource:
    variant = named(row["variant"])
    epoch = variant.epoch(row["epoch"])
    return search_source(variant, variant.period_at(row["height"]), epoch, "cuda", SHAPE)


@pytest.fixture(scope="module")
def caches() -> LightCaches:
    return LightCaches(frozenset())


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(pair, id=f"{pair[1][0]['variant']}-epoch-{pair[0].number}") for pair in EPOCHS
    ],
)
def published(request: pytest.FixtureRequest, caches: LightCaches) -> tuple[Light, list[Row]]:
    """The light cache of an epoch and the rows of it."""
    epoch, rows = request.param
    return caches.light(epoch), rows


class Sparse:
    """A dataset of the epoch's real size; entries not computed are zero and use no memory."""

    def __init__(self, light: Light, kernel: Kernel) -> None:
        self._light, self._kernel = light, kernel
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE
        memory = mmap.mmap(-1, light.epoch.nodes * 64, flags=flags)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        self.nodes: NDArray[np.uint32] = np.frombuffer(memory, np.uint32).reshape(-1, 16)
        self._made: set[int] = set()
        self._make(0, L1_NODES)

    def make(self, entries: NDArray[np.uint32]) -> None:
        """Compute these 256-byte entries."""
        for entry in sorted(set(entries.tolist()) - self._made):
            self._make(4 * entry, 4)
            self._made.add(entry)

    def _make(self, first: int, count: int) -> None:
        groups = -(-count // nodes_per_group(SHAPE))
        self._kernel.dataset(self._light.cache, self.nodes, first, count, 0, groups)


def test_every_table_has_rows_of_shipped_variants() -> None:
    assert {table for table, _ in ROWS} == set(TABLES)
    assert {row["variant"] for _, row in ROWS} <= set(variants())


def test_some_datasets_exceed_32_bit_addresses() -> None:
    assert any(epoch.entries * ENTRY_BYTES >= LARGE for epoch, _ in EPOCHS)


def test_by_the_reference(published: tuple[Light, list[Row]]) -> None:
    light, rows = published
    for row in rows:
        epoch = named(row["variant"]).epoch_at(row["height"])
        assert epoch == light.epoch, "the variant's own rule gives the published epoch"
        assert_published(light, row)


@pytest.mark.skipif(
    compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
)
def test_by_the_text_in_cuda(published: tuple[Light, list[Row]]) -> None:
    light, rows = published
    epoch = light.epoch
    dataset = Sparse(light, build(dataset_source(epoch, "cuda", SHAPE)))
    for row in rows:
        variant, nonce = named(row["variant"]), int(row["nonce"], 16)
        header = bytes.fromhex(row["header_hash"])
        final, mix = bytes.fromhex(row["final_hash"]), bytes.fromhex(row["mix_hash"])
        hasher = Hasher(variant, variant.period_at(row["height"]), light)
        _, entries = hasher.trace(header, nonce)
        assert epoch.entries * ENTRY_BYTES < LARGE or int(entries.max()) * ENTRY_BYTES >= 1 << 32
        dataset.make(entries)
        # Not in the first or last lane, unless the nonce is too small.
        first = max(nonce - 75, 0)
        results = np.zeros(4 + 4 * RESULT_SLOTS, np.uint32)
        # Each program runs once: its compilation takes longest.
        build(search_of(row), more=("-O0",)).search(
            [dataset.nodes], as_words(header), first, int.from_bytes(final[:8], "big"), results, 1
        )
        slots = results[4 : 4 + 4 * int(results[0])].reshape(-1, 4).tolist()
        found = {offset: tuple(words) for offset, *words in slots}
        wanted = (*as_words(final)[:2].tolist(), int(as_words(mix)[0]))
        assert found.get(nonce - first) == wanted, row

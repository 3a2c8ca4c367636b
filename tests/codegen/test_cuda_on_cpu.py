"""Both kernels' CUDA text, unchanged, compiled for the CPU and run.

The harness provides CUDA's built-ins: thread indices, barriers, shuffles, funnel shifts and so on.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from miner.catalog import variants
from miner.codegen.kernel_source import (
    RESULT_SLOTS,
    KernelSource,
    buffer_shift,
    dataset_source,
    nodes_per_group,
    search_source,
)
from miner.codegen.launch_shape import BUFFER_COUNTS, SHAPES, LaunchShape, shape_named
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher
from miner.progpow.keccak import as_words
from miner.progpow.light import dataset_nodes
from miner.progpow.variant import FixedSizes, KnownAnswer, Variant
from tests.codegen.toys import NAMES, Toy, hasher_of, toy_of
from tests.harness.build import Kernel, build, compiler

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
)

GPU = shape_named("gpu")
OTHER_SHAPES = ("gpu-128", "gpu/2", "gpu/4", "gpu-128/2", "gpu/8", "gpu/16")
EVERYTHING = 2**64 - 1


def search_of(variant: Variant, answer: KnownAnswer, shape: LaunchShape) -> KernelSource:
    epoch = toy_of(variant, answer).epoch
    return search_source(variant, variant.period_at(answer.height), epoch, "cuda", shape)


def split(nodes: NDArray[np.uint32], epoch: Epoch, buffers: int) -> list[NDArray[np.uint32]]:
    """Return copies of the dataset's parts, each with a power of two of entries."""
    if buffers == 1:
        return [nodes]
    size = 4 << buffer_shift(epoch.entries, buffers)
    parts = [nodes[i * size : (i + 1) * size].copy() for i in range(buffers)]
    assert sum(map(len, parts)) == len(nodes)
    return [part if len(part) else np.zeros((4, 16), np.uint32) for part in parts]


def search(
    kernel: Kernel,
    toy: Toy,
    shape: LaunchShape,
    header: bytes,
    first: int,
    target: int,
    groups: int,
    stop_at: int | None = None,
) -> tuple[int, dict[int, tuple[int, int, int]]]:
    """Return the count and, by offset, words 0 and 1 of the final hash and word 0 of the mix
    hash. The launch is stopped before group `stop_at`, if that is given."""
    results = np.zeros(4 + 4 * RESULT_SLOTS + 64, np.uint32)
    datasets = split(toy.nodes, toy.epoch, shape.buffers)
    kernel.search(datasets, as_words(header), first, target, results, groups, stop_at)
    count = int(results[0])
    assert results[1:4].tolist() == [groups if stop_at is None else stop_at, 0, 0]
    filled = min(count, RESULT_SLOTS)
    assert not results[4 + 4 * filled :].any(), "nothing is written past the last slot"
    slots = results[4 : 4 + 4 * filled].reshape(-1, 4).tolist()
    found = {offset: (low, high, mix) for offset, low, high, mix in slots}
    assert len(found) == filled, "no nonce is reported twice"
    return count, found


def reference(hasher: Hasher, header: bytes, nonce: int) -> tuple[int, int, int]:
    digest = hasher.hash(header, nonce)
    final, mix = as_words(digest.final_hash), as_words(digest.mix_hash)
    return int(final[0]), int(final[1]), int(mix[0])


def top(words: tuple[int, int, int]) -> int:
    """Return the 64 bits of a final hash that are compared with a target."""
    return int.from_bytes(np.array(words[:2], "<u4").tobytes(), "big")


def check_group(variant: Variant, answer: KnownAnswer, shape: LaunchShape) -> None:
    toy, hasher = toy_of(variant, answer), hasher_of(variant, answer)
    kernel = build(search_of(variant, answer, shape))
    header, nonce = answer.header_hash, answer.nonce
    group = shape.threads

    count, found = search(kernel, toy, shape, header, nonce, EVERYTHING, 1)
    assert count == group
    wanted = {i: reference(hasher, header, nonce + i) for i in range(group)}
    assert found == {i: wanted[i] for i in found}
    assert len(found) == min(group, RESULT_SLOTS)
    assert 0 in found, "the known answer itself"
    assert found[0][:2] == tuple(as_words(answer.final_hash)[:2].tolist())
    assert found[0][2] == as_words(answer.mix_hash)[0]

    values = sorted(top(words) for words in wanted.values())
    few = {i: words for i, words in wanted.items() if top(words) <= values[4]}
    assert search(kernel, toy, shape, header, nonce, values[4], 1) == (len(few), few)
    assert search(kernel, toy, shape, header, nonce, values[0] - 1, 1) == (0, {})

    # The same nonce, in the second group of a launch that starts a group earlier.
    count, found = search(kernel, toy, shape, header, nonce - group, values[4], 2)
    assert {i - group: words for i, words in found.items() if i >= group} == few
    for offset in sorted(set(found) & set(range(group))):
        assert found[offset] == reference(hasher, header, nonce - group + offset)


@pytest.mark.parametrize("name", NAMES)
def test_search(name: str) -> None:
    variant = variants()[name]
    check_group(variant, variant.known_answers[0], GPU)


@pytest.mark.parametrize("name", NAMES)
def test_every_known_answer(name: str) -> None:
    variant = variants()[name]
    for answer in variant.known_answers:
        kernel = build(search_of(variant, answer, GPU))
        target = int.from_bytes(answer.final_hash[:8], "big")
        toy = toy_of(variant, answer)
        # Not in the first or last lane of its group.
        first = (answer.nonce - 75) % 2**64
        assert first < answer.nonce
        count, found = search(kernel, toy, GPU, answer.header_hash, first, target, 1)
        assert 1 <= count <= GPU.threads
        final, mix = as_words(answer.final_hash), as_words(answer.mix_hash)
        assert found[75] == (final[0], final[1], mix[0])


@pytest.mark.parametrize("shape", OTHER_SHAPES)
def test_other_shapes(shape: str) -> None:
    variant = variants()["kawpow"]
    check_group(variant, variant.known_answers[0], shape_named(shape))


def test_every_shape_and_number_of_buffers_is_run() -> None:
    """The ways of OpenCL to exchange words make no difference in CUDA; `test_structures` runs the
    shapes with several copies of the cache."""
    run = {"gpu", *OTHER_SHAPES}
    assert {f"gpu/{n}" for n in BUFFER_COUNTS if n > 1} <= run
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    texts = {search_of(variant, answer, shape_named(name)).text for name in run}
    for base, shape in SHAPES.items():
        if shape.family == "lanes" and not shape.waves and shape.copies == 1:
            assert search_of(variant, answer, shape_named(base)).text in texts


def test_a_nonce_that_passes_2_to_the_32() -> None:
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    toy, hasher = toy_of(variant, answer), hasher_of(variant, answer)
    kernel = build(search_of(variant, answer, GPU))
    first = 0x1_FFFF_FFF0
    count, found = search(kernel, toy, GPU, answer.header_hash, first, EVERYTHING, 1)
    assert count == GPU.threads
    for offset in (0, 15, 16, 17, 255):
        assert found[offset] == reference(hasher, answer.header_hash, first + offset)


def test_a_full_result_buffer_counts_further_hits_without_writing() -> None:
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    toy = toy_of(variant, answer)
    kernel = build(search_of(variant, answer, GPU))
    groups = RESULT_SLOTS // GPU.threads + 1
    count, found = search(kernel, toy, GPU, answer.header_hash, 0, EVERYTHING, groups)
    assert count == groups * GPU.threads
    assert len(found) == RESULT_SLOTS


@pytest.mark.parametrize("stop_at", [0, 1, 2])
def test_groups_that_begin_after_a_stop_search_nothing(stop_at: int) -> None:
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    toy = toy_of(variant, answer)
    kernel = build(search_of(variant, answer, GPU))
    count, found = search(kernel, toy, GPU, answer.header_hash, 0, EVERYTHING, 3, stop_at)
    assert count == stop_at * GPU.threads
    assert set(found) == set(range(min(count, RESULT_SLOTS))) or stop_at == 2
    assert all(offset < count for offset in found)


def dataset_texts() -> list[tuple[str, Toy]]:
    """Each distinct program once; programs depend on sizes and parents only."""
    found: dict[str, tuple[str, Toy]] = {}
    for name in NAMES:
        toy = toy_of(variants()[name], variants()[name].known_answers[0])
        source = dataset_source(toy.epoch, "cuda", GPU)
        found.setdefault(source.sha256, (name, toy))
    return list(found.values())


@pytest.mark.parametrize(("name", "toy"), dataset_texts())
def test_the_whole_dataset(name: str, toy: Toy) -> None:
    epoch = toy.epoch
    kernel = build(dataset_source(epoch, "cuda", GPU))
    out = np.zeros((epoch.nodes + 64, 16), np.uint32)
    kernel.dataset(toy.light.cache, out, 0, epoch.nodes, 0, -(-epoch.nodes // nodes_per_group(GPU)))
    np.testing.assert_array_equal(out[: epoch.nodes], toy.nodes)
    assert not out[epoch.nodes :].any(), "nothing is written past the last node"


def test_every_variant_is_one_of_the_dataset_programs() -> None:
    texts = {dataset_source(toy.epoch, "cuda", GPU).text for _, toy in dataset_texts()}
    for name in NAMES:
        for answer in variants()[name].known_answers:
            assert dataset_source(toy_of(variants()[name], answer).epoch, "cuda", GPU).text in texts


@pytest.mark.parametrize(
    ("first", "count", "out_first"),
    [(0, 1, 0), (5, 3, 0), (16, 16, 16), (100, 33, 90), (8192, 70, 8192), (16379, 1, 16379)],
)
def test_slices_of_a_dataset(first: int, count: int, out_first: int) -> None:
    """A slice starts anywhere, ends inside a group and is written to its own buffer."""
    toy = toy_of(variants()["kawpow"], variants()["kawpow"].known_answers[0])
    kernel = build(dataset_source(toy.epoch, "cuda", GPU))
    begin = first - out_first
    out = np.zeros((begin + count + 20, 16), np.uint32)
    groups = -(-count // nodes_per_group(GPU)) + 1
    kernel.dataset(toy.light.cache, out, first, count, out_first, groups)
    np.testing.assert_array_equal(out[begin : begin + count], toy.nodes[first : first + count])
    assert not out[:begin].any()
    assert not out[begin + count :].any()


def test_nodes_near_the_end_of_a_large_dataset() -> None:
    """Node numbers above 2**31 are unsigned."""
    small = toy_of(variants()["kawpow"], variants()["kawpow"].known_answers[0])
    epoch = replace(small.epoch, dataset_items=2**31 - 1)
    first = epoch.nodes - 8
    assert first > 2**31
    out = np.zeros((8, 16), np.uint32)
    kernel = build(dataset_source(epoch, "cuda", GPU))
    kernel.dataset(small.light.cache, out, first, 8, first, 1)
    wanted = dataset_nodes(epoch, small.light.cache, first, 8)
    np.testing.assert_array_equal(out, wanted)


def test_the_compiled_text_is_what_the_generator_printed() -> None:
    variant = variants()["kawpow"]
    source = search_of(variant, variant.known_answers[0], GPU)
    assert build(source).text.read_bytes() == source.text.encode()
    runner = (Path(__file__).parents[1] / "harness" / "runner.cpp").read_text()
    assert "#include TEXT\n" in runner


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    BARRIER();\n", "    if (THREAD != 7u) BARRIER();\n", "does not wait for the same"),
        ("if (!begun)", "if (!begun || THREAD == 5u)", "for the same"),
        ("const u32 lane =", "if (THREAD == 3u) return; const u32 lane =", "for the same"),
        ("u32 turn_of = 0;", "u32 turn_of = THREAD / 255u;", "another one waits"),
        ("ENTRY_LANE(loop), PEERS)", "ENTRY_LANE(loop), 12)", "no card takes"),
    ],
)
def test_the_harness_detects_divergent_threads(old: str, new: str, complaint: str) -> None:
    """The harness reports barriers and shuffles that not every thread reaches."""
    variant = variants()["meowpow"]
    answer = variant.known_answers[0]
    source = search_of(variant, answer, GPU)
    mark = '#line 1 "kernels/search_lanes.h"\n'
    head, tail = source.text.split(mark)
    assert old in tail
    broken = replace(source, text=head + mark + tail.replace(old, new, 1))
    kernel = build(broken)
    toy = toy_of(variant, answer)
    with pytest.raises(RuntimeError, match=complaint):
        search(kernel, toy, GPU, answer.header_hash, 0, EVERYTHING, 1)


def test_a_dataset_of_other_sizes_gives_other_constants() -> None:
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    other = replace(answer, sizes=FixedSizes(1021, 16381, 0))
    assert search_of(variant, answer, GPU).sha256 != search_of(variant, other, GPU).sha256

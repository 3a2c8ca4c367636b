"""What clang makes of both kernels for AMD's GPUs, run on the CPU wave by wave."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from itertools import islice

import numpy as np
import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import (
    KernelSource,
    dataset_source,
    nodes_per_group,
    search_source,
)
from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import Variant
from tests.codegen.test_cuda_on_cpu import EVERYTHING, reference, search
from tests.codegen.toys import NAMES, hasher_of, toy_of
from tests.harness.amd import in_cpp
from tests.harness.amd_compiler import compiled, missing
from tests.harness.build import Kernel, build, compiler

pytestmark = [
    pytest.mark.skipif(missing() is not None, reason=str(missing())),
    pytest.mark.skipif(
        compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
    ),
]

EXCHANGES = (("gfx1100", "gpu"), ("gfx906", "gpu-gcn"), ("gfx1030", "gpu-rdna"))
"""Local memory, ds_bpermute in waves of 64, v_permlane16 in waves of 32."""
OTHERS = (
    ("gfx803", "gpu-gcn"), ("gfx900", "gpu-gcn"), ("gfx906", "gpu"), ("gfx906", "gpu-amd"),
    ("gfx1010", "gpu-rdna"),
    ("gfx1100", "gpu-amd"), ("gfx1100", "gpu-rdna"), ("gfx1201", "gpu-amd"), ("gfx1100", "gpu-128"),
    ("gfx90a", "gpu-amd"), ("gfx906", "gpu-amd/2"), ("gfx1100", "gpu-amd/16"),
)  # fmt: skip


def source_of(variant: Variant, shape: LaunchShape) -> KernelSource:
    answer = variant.known_answers[0]
    epoch = toy_of(variant, answer).epoch
    return search_source(variant, variant.period_at(answer.height), epoch, "opencl", shape)


def on_cpu(source: KernelSource, assembly: str) -> Kernel:
    return build(in_cpp(source, assembly), runner="amd_on_cpu.cpp", more=("-O0",))


def wrong(variant: Variant, shape: LaunchShape, kernel: Kernel) -> dict[int, str]:
    """Return found and wanted words of the nonces of a group whose hashes are not those of the
    reference."""
    answer = variant.known_answers[0]
    header, first = answer.header_hash, answer.nonce
    count, found = search(kernel, toy_of(variant, answer), shape, header, first, EVERYTHING, 1)
    assert count == len(found) == shape.threads
    hasher = hasher_of(variant, answer)
    wanted = {i: reference(hasher, header, first + i) for i in range(count)}
    return {i: f"{found[i]}, not {wanted[i]}" for i in range(count) if found[i] != wanted[i]}


def diagnosis(variant: Variant, shape: LaunchShape, kernel: Kernel) -> str:
    """Return what is wrong, and what tells a wrong kernel from wrong memory; "": nothing is."""
    first = wrong(variant, shape, kernel)
    if not first:
        return ""
    toy = toy_of(variant, variant.known_answers[0])
    nodes = dataset_nodes(toy.epoch, toy.light.cache, 0, toy.epoch.nodes)
    files = [
        (path.name, sha256(path.read_bytes()).hexdigest()) for path in (kernel.text, kernel.library)
    ]
    return (
        f"{len(first)} nonces: {dict(islice(first.items(), 4))}; again the same: "
        f"{wrong(variant, shape, kernel) == first}; dataset right: "
        f"{np.array_equal(nodes, toy.nodes)}; light cache right: "
        f"{np.array_equal(light_cache(toy.epoch), toy.light.cache)}; {files}"
    )


@pytest.mark.parametrize(
    ("name", "target", "shape"),
    [
        *((name, target, shape) for name in NAMES for target, shape in EXCHANGES),
        *(("kawpow", target, shape) for target, shape in OTHERS),
        ("oggpow", "gfx90a", "gpu-amd"),
    ],
)
def test_search(name: str, target: str, shape: str) -> None:
    variant, of = variants()[name], shape_named(shape)
    source = source_of(variant, of)
    kernel = on_cpu(source, compiled(source, target).text)
    assert not diagnosis(variant, of, kernel)
    toy, header = toy_of(variant, variant.known_answers[0]), bytes(32)
    assert search(kernel, toy, of, header, 0, EVERYTHING, 2, stop_at=0) == (0, {})
    if name == "kawpow":
        count, found = search(kernel, toy, of, header, 0, EVERYTHING, 2, stop_at=1)
        assert count == len(found) == of.threads


@pytest.mark.parametrize(("target", "shape"), [*EXCHANGES, ("gfx1100", "gpu-rdna")])
def test_slices_of_a_dataset(target: str, shape: str) -> None:
    """The whole of it would take five seconds."""
    variant = variants()["kawpow"]
    toy, of = toy_of(variant, variant.known_answers[0]), shape_named(shape)
    source = dataset_source(toy.epoch, "opencl", of)
    kernel = on_cpu(source, compiled(source, target).text)
    for first, count, out_first in ((0, 256, 0), (8190, 403, 8100), (toy.epoch.nodes - 1, 1, 9)):
        begin = first - out_first
        out = np.zeros((begin + count + 20, 16), np.uint32)
        groups = -(-count // nodes_per_group(of)) + 1
        kernel.dataset(toy.light.cache, out, first, count, out_first, groups)
        np.testing.assert_array_equal(out[begin : begin + count], toy.nodes[first : first + count])
        assert not out[:begin].any()
        assert not out[begin + count :].any(), "nothing is written past the last node"


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("kawpow", "v_alignbit_b32", "v_add3_u32"),
        ("kawpow", "v_min_u32_e32", "v_max_u32_e32"),
        ("oggpow", "v_mul_lo_u16", "v_sub_nc_u16"),
    ],
)
def test_a_changed_instruction_is_detected(name: str, old: str, new: str) -> None:
    variant, of = variants()[name], shape_named("gpu-amd")
    source = source_of(variant, of)
    text = compiled(source, "gfx1100").text
    assert old in text
    assert wrong(variant, of, on_cpu(source, text.replace(old, new, 1)))


def test_an_exchange_while_only_some_lanes_are_active_is_detected() -> None:
    """Clang 19 moves a v_permlane16 that nothing keeps in place into the branch of one lane."""
    variant, of = variants()["kawpow"], shape_named("gpu-rdna")
    source = source_of(variant, of)
    loose = source.text.replace('__asm__ volatile("" : "+v"(out));', "").replace(
        "true, f", "false, f"
    )
    moved = replace(source, text=loose)
    assert wrong(variant, of, on_cpu(moved, compiled(moved, "gfx1100").text))

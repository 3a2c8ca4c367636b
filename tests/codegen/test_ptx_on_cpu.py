"""NVIDIA's compiler output (PTX) of both kernels, run on the CPU.

In `test_cuda_on_cpu` the harness provides CUDA's built-ins; here the compiler has translated them.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source, nodes_per_group
from miner.codegen.launch_shape import shape_named
from miner.devices.cuda.cuda_compilers import Nvrtc
from miner.devices.cuda.cuda_device import DATASET_ARGUMENTS, search_arguments
from tests.codegen.combinations import combination
from tests.codegen.test_cuda_on_cpu import EVERYTHING, GPU, reference, search, search_of
from tests.codegen.toys import NAMES, hasher_of, toy_of
from tests.harness.build import Kernel, build, compiler
from tests.harness.ptx import in_cpp, parameters_of

pytestmark = pytest.mark.skipif(
    compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
)

BYTES = {"u64": 8, "u32": 4}


def compiled(nvidia: Nvrtc, source: KernelSource) -> Kernel:
    ptx = nvidia.ptx(source, "sm_86").decode()
    return build(in_cpp(source, ptx))


@pytest.mark.parametrize(
    ("name", "shape"),
    [*((name, "gpu") for name in NAMES), *(("kawpow", s) for s in ("gpu/2", "gpu/4", "gpu-128"))],
)
def test_search(nvidia: Nvrtc, name: str, shape: str) -> None:
    variant = variants()[name]
    answer, of = variant.known_answers[0], shape_named(shape)
    kernel = compiled(nvidia, search_of(variant, answer, of))
    toy, hasher = toy_of(variant, answer), hasher_of(variant, answer)
    count, found = search(kernel, toy, of, answer.header_hash, answer.nonce, EVERYTHING, 1)
    assert count == len(found) == of.threads
    wanted = {i: reference(hasher, answer.header_hash, answer.nonce + i) for i in range(count)}
    assert found == wanted


@pytest.mark.parametrize("row", [1, 6])
def test_combinations_of_choices(nvidia: Nvrtc, row: int, tmp_path: Path) -> None:
    variant = combination(row, tmp_path)
    (answer,) = variant.known_answers
    kernel = compiled(nvidia, search_of(variant, answer, GPU))
    toy, hasher = toy_of(variant, answer), hasher_of(variant, answer)
    _, found = search(kernel, toy, GPU, answer.header_hash, answer.nonce, EVERYTHING, 1)
    wanted = {i: reference(hasher, answer.header_hash, answer.nonce + i) for i in range(256)}
    assert found == wanted


def test_a_changed_instruction_is_detected(nvidia: Nvrtc) -> None:
    variant = variants()["kawpow"]
    answer = variant.known_answers[0]
    source = search_of(variant, answer, GPU)
    head, loop, tail = nvidia.ptx(source, "sm_86").decode().partition("ld.global.nc.v4")
    assert "shf.l.wrap" in tail
    kernel = build(in_cpp(source, head + loop + tail.replace("shf.l", "shf.r", 1)))
    toy, hasher = toy_of(variant, answer), hasher_of(variant, answer)
    _, found = search(kernel, toy, GPU, answer.header_hash, answer.nonce, EVERYTHING, 1)
    assert found[0] != reference(hasher, answer.header_hash, answer.nonce)


@pytest.mark.parametrize("name", ["kawpow", "progpow-0.9.2"])
def test_the_whole_dataset(nvidia: Nvrtc, name: str) -> None:
    variant = variants()[name]
    toy = toy_of(variant, variant.known_answers[0])
    epoch = toy.epoch
    kernel = compiled(nvidia, dataset_source(epoch, "cuda", GPU))
    out = np.zeros((epoch.nodes + 64, 16), np.uint32)
    kernel.dataset(toy.light.cache, out, 0, epoch.nodes, 0, -(-epoch.nodes // nodes_per_group(GPU)))
    np.testing.assert_array_equal(out[: epoch.nodes], toy.nodes)
    assert not out[epoch.nodes :].any(), "nothing is written past the last node"


@pytest.mark.parametrize("buffers", [1, 2, 4])
def test_a_search_has_the_parameters_of_the_host(nvidia: Nvrtc, buffers: int) -> None:
    """The driver does not check size and order of arguments."""
    variant = variants()["kawpow"]
    source = search_of(variant, variant.known_answers[0], GPU.split(buffers))
    taken = [BYTES[kind] for kind in parameters_of(nvidia.ptx(source, "sm_86").decode())]
    assert taken == [struct.calcsize(letter) for letter in search_arguments(buffers)]


def test_a_dataset_has_the_parameters_of_the_host(nvidia: Nvrtc) -> None:
    source = dataset_source(variants()["kawpow"].epoch_at(0), "cuda", GPU)
    taken = [BYTES[kind] for kind in parameters_of(nvidia.ptx(source, "sm_86").decode())]
    assert taken == [struct.calcsize(letter) for letter in DATASET_ARGUMENTS]

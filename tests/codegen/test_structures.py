"""Every structure of the search kernel for GPUs gives the reference's hashes.

A launch shape names the parts of a structure: lanes of a thread, copies of the cache, where words
wait, how addresses are computed, what the compiler may not reorder. Random combinations of them, of
a variant's choices and of periods run as CUDA text and as PTX on the CPU, and in OpenCL.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from miner.codegen.kernel_source import STATIC_SHARED_BYTES, KernelSource, search_source
from miner.codegen.launch_shape import STREAM_COUNTS, LaunchShape
from miner.devices.cuda.cuda_compilers import Nvrtc
from miner.devices.device import Device, fill
from miner.devices.known_answers import EVERY_NONCE
from miner.devices.selection import find_devices
from miner.progpow.hashing import Hasher
from miner.progpow.variant import Variant
from miner.work import Job, NonceRange, NonceSpace
from tests.codegen.test_choices import SMALL, VARIANTS
from tests.codegen.test_cuda_on_cpu import EVERYTHING, reference, search
from tests.codegen.toys import toy_at
from tests.harness.build import build, compiler
from tests.harness.ptx import in_cpp

NEEDS_COMPILER = pytest.mark.skipif(
    compiler() is None, reason="needs g++, clang++ or the package ziglang, found none of them"
)
EPOCH = SMALL.epoch_at(0)
HEADER = bytes(range(32))
FIRST = 2**32 - 7
"""A nonce before the carry into the upper word."""

ARCHITECTURES = ("sm_75", "sm_90", "sm_120")
"""Three generations of the compiler's PTX."""

STRUCTURES = st.builds(
    LaunchShape,
    name=st.just("any"),
    family=st.just("lanes"),
    threads=st.sampled_from([32, 64, 96]),
    lanes=st.sampled_from([1, 2, 4]),
    copies=st.sampled_from([1, 2, 4, 8]),
    groups=st.sampled_from([0, 1, 2]),
    parked=st.booleans(),
    ordered=st.booleans(),
    multiplied=st.booleans(),
    buffers=st.sampled_from([1, 2, 4]),
    streams=st.sampled_from(STREAM_COUNTS),
)
PERIODS = st.integers(0, 2**40)


def few(examples: int) -> settings:
    """Return settings for tests that compile each example: the same ones in every run."""
    return settings(
        max_examples=examples, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


def source_of(shape: LaunchShape, variant: Variant, period: int, dialect: str) -> KernelSource:
    source = search_source(variant, period, EPOCH, dialect, shape)
    assert source.text == search_source(variant, period, EPOCH, dialect, shape.compiled).text
    return source


def wanted(variant: Variant, period: int, count: int) -> dict[int, tuple[int, int, int]]:
    hasher = Hasher(variant, period, toy_at(EPOCH).light)
    return {i: reference(hasher, HEADER, FIRST + i) for i in range(count)}


def check_on_cpu(shape: LaunchShape, variant: Variant, period: int, source: KernelSource) -> None:
    kernel = build(source, more=("-O0",))
    count, found = search(kernel, toy_at(EPOCH), shape, HEADER, FIRST, EVERYTHING, 1)
    assert count == shape.threads
    assert found == wanted(variant, period, shape.threads)


@NEEDS_COMPILER
@few(8)
@given(shape=STRUCTURES, variant=VARIANTS, period=PERIODS)
def test_in_cuda(shape: LaunchShape, variant: Variant, period: int) -> None:
    source = source_of(shape, variant, period, "cuda")
    assert bool(source.dynamic_bytes) == (shape.shared_words * 4 > STATIC_SHARED_BYTES)
    check_on_cpu(shape, variant, period, source)


@NEEDS_COMPILER
@few(6)
@given(
    shape=STRUCTURES, variant=VARIANTS, period=PERIODS, architecture=st.sampled_from(ARCHITECTURES)
)
def test_in_ptx(
    nvidia: Nvrtc,
    shape: LaunchShape,
    variant: Variant,
    period: int,
    architecture: str,
) -> None:
    source = source_of(shape, variant, period, "cuda")
    ptx = nvidia.ptx(source, architecture).decode()
    check_on_cpu(shape, variant, period, in_cpp(source, ptx))


@pytest.fixture(scope="module")
def opencl() -> Iterator[Device]:
    """Give an OpenCL device with the dataset."""
    found, missing = find_devices("opencl")
    if not found:
        pytest.skip(str(missing))
    device = found[0].open()
    for _ in fill(device, EPOCH, toy_at(EPOCH).light.cache):
        pass
    yield device
    device.close()


@few(4)
@given(shape=STRUCTURES, variant=VARIANTS, period=PERIODS)
def test_in_opencl(opencl: Device, shape: LaunchShape, variant: Variant, period: int) -> None:
    opencl.take_shape(shape.split(1))
    opencl.select(EPOCH)
    source = source_of(opencl.shape, variant, period, "opencl")
    job = Job(0, "any", variant, HEADER, 0, EPOCH, EVERY_NONCE, NonceSpace())
    spans = [NonceRange(FIRST + n * shape.threads, shape.threads) for n in range(2)]
    kernel = opencl.load(opencl.build(source))
    hits = {}
    for pending in [opencl.launch(kernel, job, span) for span in spans]:
        for hit in pending.wait().hits:
            hits[hit.nonce - FIRST] = (*hit.final_words, hit.mix_word)
    assert hits == wanted(variant, period, 2 * shape.threads)

"""The contract of `Device`, tested on every device of this machine and on the fake device."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from miner.catalog import variants
from miner.codegen.kernel_source import RESULT_SLOTS, KernelSource, search_source
from miner.codegen.language import EXCHANGES
from miner.codegen.launch_shape import SHAPES, shape_beside, shape_named
from miner.devices.device import Device, LaunchResult, fill, filler_source
from miner.devices.known_answers import EVERY_NONCE, selftest
from miner.devices.selection import ListedDevice, find_devices
from miner.errors import BuildFailed, DeviceError
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest, Hasher, Light
from miner.progpow.light import dataset_nodes, light_cache
from miner.progpow.variant import FixedSizes, KnownAnswer, Span, Variant
from miner.work import Job, NonceRange, NonceSpace
from tests.codegen.combinations import COUNT, combination
from tests.fakes import device as fakes
from tests.fakes.variants import KAWPOW
from tests.progpow.published import IN_PLACE

FOUND, MISSING = find_devices()
QUICK = replace(KAWPOW, parents=32)
"""Datasets in a sixteenth of the time; those of all variants are computed for known answers."""

TOY = QUICK.with_sizes(FixedSizes(509, 20011, 0))
"""More nodes than the first slice of a dataset has."""

SMALL = [QUICK.with_sizes(FixedSizes(509, 1021, seed)) for seed in (0, 1)]

BROKEN = "no_such_name x;\n"
"""A program that no compiler of any dialect accepts."""


@dataclass
class Bench:
    """A device, and the results that it must give."""

    device: Device
    variant: Variant
    light: Light
    source_of: Callable[..., KernelSource]
    digest_of: Callable[[Job, int], Digest]
    nodes_of: Callable[[Epoch, Any, int, int], Any]

    def job(self, header: int = 1, target: int = EVERY_NONCE, height: int = 0) -> Job:
        digest = hashlib.sha256(b"header %d" % header).digest()
        epoch = self.variant.epoch_at(height)
        return Job(1, str(header), self.variant, digest, height, epoch, target, NonceSpace())

    def kernel(self, height: int = 0) -> Any:
        period, epoch = self.variant.period_at(height), self.variant.epoch_at(height)
        device = self.device
        source = self.source_of(self.variant, period, epoch, device.dialect, device.shape)
        return device.load(device.build(source))

    def hits(self, job: Job, span: NonceRange, kernel: Any = None) -> list[int]:
        found = self.device.launch(kernel or self.kernel(job.height), job, span).wait()
        assert found.tried == span.count
        assert found.total == len(found.hits)
        assert not found.overflowed
        for hit in found.hits:
            assert words(self.digest_of(job, hit.nonce)) == (*hit.final_words, hit.mix_word)
        return sorted(hit.nonce for hit in found.hits)

    def values(self, job: Job, span: NonceRange) -> dict[int, int]:
        nonces = range(span.first, span.first + span.count)
        return {n: int.from_bytes(self.digest_of(job, n).final_hash, "big") for n in nonces}


def words(digest: Digest) -> tuple[int, int, int]:
    read = digest.final_hash[:8] + digest.mix_hash[:4]
    first, second, third = np.frombuffer(read, "<u4").tolist()
    return first, second, third


HASHES: dict[tuple[Epoch, bytes, int, int], Digest] = {}
"""Digests of the reference, by epoch, header, period and nonce."""


def bench_of(device: Device, variant: Variant = TOY, *, beside: bool = False) -> Bench:
    """Generate the dataset of `variant` on `device`, alone or `beside` those in memory."""
    epoch = variant.epoch_at(0)
    light = Light.of(epoch, light_cache(epoch))
    filler = device.build(filler_source(device, epoch))
    slices = device.generate if beside else partial(fill, device)

    def digest_of(job: Job, nonce: int) -> Digest:
        key = (epoch, job.header_hash, job.period, nonce)
        if key not in HASHES:
            HASHES[key] = Hasher(variant, job.period, light).hash(job.header_hash, nonce)
        return HASHES[key]

    done = list(slices(epoch, light.cache, filler))
    assert done == sorted(done)
    assert done[-1] == 1.0
    return Bench(device, variant, light, search_source, digest_of, dataset_nodes)


def fake_bench(device: fakes.FakeDevice, variant: Variant = fakes.TOY) -> Bench:
    """Return the bench of a fake device, on which the dataset of `variant` was generated."""
    epoch = variant.epoch_at(0)
    light = Light(epoch, fakes.PROVER.light_cache(epoch), np.zeros(4096, np.uint32))
    return Bench(
        device, variant, light, fakes.search_source, fakes.PROVER.digest, fakes.PROVER.dataset_nodes
    )


PARAMS = [
    "fake",
    *(pytest.param(f, id=f.info.name) for f in FOUND),
    *(pytest.param(m, id=f"{m.partition(':')[0]}-missing") for m in MISSING),
]
"""The devices of this machine, and the fake device of the engine's tests."""


WITH_EACH_NUMBER_OF_STREAMS = pytest.mark.parametrize(
    "bench",
    [
        *PARAMS,
        *(
            pytest.param((f, streams), id=f"{f.info.name}{streams}")
            for f in FOUND if f.backend.dialect
            for streams in ("@1", "@2")
        ),
    ],
    indirect=True,
)  # fmt: skip
"""Adds the devices' own shapes with one stream and with two."""


@pytest.fixture(params=PARAMS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        yield fake_bench(fakes.filled_device(fakes.TOY.epoch_at(0)))
    elif isinstance(request.param, tuple):
        found, streams = request.param
        one = opened(found)
        own = one.shape
        one.take_shape(shape_beside(streams, own))
        yield bench_of(one)
        one.take_shape(own)
    else:
        yield bench_of(opened(request.param))


@pytest.fixture(params=PARAMS)
def two(request: pytest.FixtureRequest) -> Iterator[tuple[Bench, Bench]]:
    """Two datasets on one device; the second one, in other buffers, is selected."""
    if request.param == "fake":
        later = replace(fakes.TOY, spans=(Span(0, 7500, first_epoch=1),))
        device = fakes.filled_device(fakes.TOY.epoch_at(0))
        cache = fakes.PROVER.light_cache(later.epoch_at(0))
        filler = device.build(filler_source(device, later.epoch_at(0)))
        assert list(device.generate(later.epoch_at(0), cache, filler))[-1] == 1.0
        yield fake_bench(device), fake_bench(device, later)
        return
    one = opened(request.param)
    own = one.shape
    first = bench_of(one, SMALL[0])
    if one.dialect is not None:
        one.take_shape(shape_named(f"{own.name}/2"))
    yield first, bench_of(one, SMALL[1], beside=True)
    one.take_shape(own)


@pytest.fixture(params=[pytest.param(f, id=f.info.name) for f in FOUND])
def device(request: pytest.FixtureRequest) -> Iterator[Device]:
    one = opened(request.param)
    own = one.shape
    yield one
    one.take_shape(own)


OPEN: dict[str, Device | str] = {}
"""Open devices by name, or why they cannot be used. Each is opened once: compilers are slow."""


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    for one in OPEN.values():
        if not isinstance(one, str):
            one.close()
    OPEN.clear()


def opened(found: ListedDevice | str) -> Device:
    """Return the open device; skip the test when it cannot be used."""
    if isinstance(found, str):
        pytest.skip(found)
    name = found.info.name
    if name not in OPEN:
        try:
            one = found.open()
            remember_builds(one)
            reason = selftest(one, variants()["kawpow"], answers=1).problem
            OPEN[name] = one if reason is None else reason
        except DeviceError as error:
            OPEN[name] = str(error)
    device = OPEN[name]
    if isinstance(device, str):
        pytest.skip(f"{name}: {device}")
    return device


def remember_builds(device: Device) -> None:
    """Make `device` compile equal sources once."""
    build: Callable[[KernelSource], Any] = device.build
    known: dict[str, Any] = {}

    def remembered(source: KernelSource) -> Any:
        if source.sha256 not in known:
            known[source.sha256] = build(source)
        return known[source.sha256]

    device.build = remembered  # type: ignore[method-assign]


def needs_compiler(device: Device) -> None:
    if device.dialect is None:
        pytest.skip(f"{device.info.name}: interprets, has no compiler and no shapes")


def span_of(bench: Bench, first: int, count: int) -> NonceRange:
    return NonceRange(first, bench.device.round_up(count))


def test_the_reference_is_found_on_every_machine() -> None:
    assert "ref" in {f.info.name for f in FOUND}


def test_every_dataset_node_is_that_of_the_reference(bench: Bench) -> None:
    epoch = bench.variant.epoch_at(0)
    wanted = bench.nodes_of(epoch, bench.light.cache, 0, epoch.nodes)
    got = bench.device.read_nodes(0, epoch.nodes)
    assert got.shape == (epoch.nodes, 16)
    assert got.dtype == np.uint32
    assert np.array_equal(got, wanted)
    for node in (0, 1, epoch.nodes // 2, epoch.nodes - 1):
        assert np.array_equal(bench.device.read_nodes(node, 1)[0], wanted[node])


def test_writing_nodes_changes_no_other_nodes(bench: Bench) -> None:
    epoch = bench.variant.epoch_at(0)
    for first in (0, 77, epoch.nodes - 3):
        before = bench.device.read_nodes(max(first - 1, 0), 5 if first < 100 else 4)
        own = np.arange(48, dtype=np.uint32).reshape(3, 16) + first
        bench.device.write_nodes(first, own)
        assert np.array_equal(bench.device.read_nodes(first, 3), own)
        at = 1 if first else 0
        bench.device.write_nodes(first, before[at : at + 3])
        assert np.array_equal(
            bench.device.read_nodes(max(first - 1, 0), 5 if first < 100 else 4), before
        )


def test_a_search_reads_the_written_nodes(device: Device) -> None:
    needs_compiler(device)
    bench = bench_of(device)
    epoch, job = TOY.epoch_at(0), bench.job()
    span, kernel = span_of(bench, 0, 1), bench.kernel()
    right = device.read_nodes(0, epoch.nodes)
    device.write_nodes(0, np.zeros_like(right))
    wrong = device.launch(kernel, job, span).wait()
    assert [h.final_words for h in sorted(wrong.hits, key=lambda h: h.nonce)] != [
        words(bench.digest_of(job, n))[:2] for n in range(span.count)
    ]
    device.write_nodes(0, right)
    assert bench.hits(job, span, kernel) == list(range(span.count))


def test_counts_are_rounded_up_to_launchable_counts(bench: Bench) -> None:
    up = bench.device.round_up
    least = up(1)
    assert least >= 1
    for count in (1, 2, least, least + 1, 511, 512, 100_000):
        rounded = up(count)
        assert count <= rounded < count + least
        assert rounded % least == 0
        assert up(rounded) == rounded


def test_exactly_the_nonces_of_the_reference_are_found(bench: Bench) -> None:
    span = span_of(bench, 0x1234_5678_9ABC, 512)
    values = bench.values(bench.job(), span)
    target = sorted(values.values())[4]
    met = sorted(n for n, value in values.items() if value <= target)
    assert len(met) == 5
    assert bench.hits(bench.job(target=target), span) == met
    assert bench.hits(bench.job(target=0), span) == []


@WITH_EACH_NUMBER_OF_STREAMS
def test_two_launches_in_flight_keep_their_own_jobs(bench: Bench) -> None:
    kernel, jobs = bench.kernel(), [bench.job(2), bench.job(3)]
    spans = [span_of(bench, 1 << 20, 128), span_of(bench, 1 << 40, 128)]
    values = [bench.values(j, s) for j, s in zip(jobs, spans, strict=True)]
    jobs = [
        replace(j, share_target=sorted(v.values())[9]) for j, v in zip(jobs, values, strict=True)
    ]
    for _ in range(2):
        pending = [bench.device.launch(kernel, j, s) for j, s in zip(jobs, spans, strict=True)]
        for one, job, span, value in zip(pending, jobs, spans, values, strict=True):
            found = one.wait()
            assert found.tried == span.count
            assert sorted(h.nonce for h in found.hits) == sorted(
                n for n, v in value.items() if v <= job.target
            )


class AtOnce:
    """Runs the driver's calls in the calling thread."""

    def submit(self, func: Callable[[], object]) -> None:
        func()


def assert_only_right_hits(bench: Bench, job: Job, span: NonceRange, found: LaunchResult) -> None:
    """Each nonce of `job` is a hit, so the hits are the nonces that were tried."""
    assert found.total == found.tried <= span.count
    assert found.tried % bench.device.round_up(1) == 0
    assert len({hit.nonce for hit in found.hits}) == min(found.total, RESULT_SLOTS)
    for hit in found.hits:
        assert span.first <= hit.nonce < span.first + span.count
        assert words(bench.digest_of(job, hit.nonce)) == (*hit.final_words, hit.mix_word)


@WITH_EACH_NUMBER_OF_STREAMS
def test_a_stopped_launch_reports_what_it_tried(bench: Bench) -> None:
    kernel, job = bench.kernel(), bench.job()
    spans = [span_of(bench, 1 << 20, 512), span_of(bench, 1 << 40, 512)]
    pending = [bench.device.launch(kernel, job, span) for span in spans]
    for one in pending:
        one.stop(AtOnce())
    for one, span in zip(pending, spans, strict=True):
        assert_only_right_hits(bench, job, span, one.wait())
    assert len(bench.hits(job, span_of(bench, 9, 1), kernel)) == bench.device.round_up(1)


@WITH_EACH_NUMBER_OF_STREAMS
def test_a_launch_that_is_stopped_before_its_start_tries_nothing(bench: Bench) -> None:
    kernel, job = bench.kernel(), bench.job(target=0)
    span = span_of(bench, 1 << 40, 512)
    count = 512
    while True:  # until the launch before takes longer than this thread
        before = bench.device.launch(kernel, job, span_of(bench, 1 << 20, count))
        pending = bench.device.launch(kernel, job, span)
        pending.stop(AtOnce())
        assert before.wait().tried == bench.device.round_up(count)
        found = pending.wait()
        if not found.tried:
            break
        count *= 2
        assert count < 1 << 24
    assert found == LaunchResult(0, (), 0)


@WITH_EACH_NUMBER_OF_STREAMS
def test_a_stop_after_the_end_changes_nothing(bench: Bench) -> None:
    kernel, job, span = bench.kernel(), bench.job(), span_of(bench, 7, 1)
    ended = bench.device.launch(kernel, job, span)
    assert ended.wait().tried == span.count
    for _ in range(2):
        ended.stop(AtOnce())
        assert len(bench.hits(job, span, kernel)) == span.count
    pending = [bench.device.launch(kernel, job, span) for _ in range(2)]
    ended.stop(AtOnce())
    assert [one.wait().tried for one in pending] == [span.count] * 2


def test_more_hits_than_slots_are_counted(bench: Bench) -> None:
    span = span_of(bench, 5, RESULT_SLOTS + 1)
    found = bench.device.launch(bench.kernel(), bench.job(), span).wait()
    assert found.overflowed
    assert found.total == found.tried == span.count
    assert len({hit.nonce for hit in found.hits}) == len(found.hits) == RESULT_SLOTS
    assert all(span.first <= hit.nonce < span.first + span.count for hit in found.hits)
    span = span_of(bench, 5, 1)
    assert bench.hits(bench.job(), span) == [5 + i for i in range(span.count)]


def test_the_last_nonces_are_searched(bench: Bench) -> None:
    count = bench.device.round_up(2)
    span = NonceRange(2**64 - count, count)
    assert bench.hits(bench.job(), span) == [2**64 - count + i for i in range(count)]


def test_a_range_may_carry_into_the_upper_word_of_the_nonce(bench: Bench) -> None:
    count = bench.device.round_up(4)
    span = NonceRange((7 << 32) - count // 2, count)
    found = bench.hits(bench.job(), span)
    assert found == [span.first + i for i in range(count)]
    assert len({nonce >> 32 for nonce in found}) == 2


def test_each_period_has_its_own_kernel(bench: Bench) -> None:
    span = span_of(bench, 9, 1)
    for height in (0, 3, 7):
        assert len(bench.hits(bench.job(height=height), span)) == span.count


@pytest.mark.parametrize("name", variants())
def test_a_device_gives_the_known_answers_of_a_variant(device: Device, name: str) -> None:
    verdict = selftest(device, variants()[name])
    assert verdict.problem is None
    assert verdict.checked == len(variants()[name].known_answers) > 0


def test_a_device_gives_every_published_answer_of_a_program_drawn_in_place(device: Device) -> None:
    answers = tuple(
        KnownAnswer(
            FixedSizes(group["light_items"], group["dataset_items_128B"], group["seed_epoch"]),
            row["height"], bytes.fromhex(row["header_hash"]), int(row["nonce"], 16),
            bytes.fromhex(row["mix_hash"]), bytes.fromhex(row["final_hash"]),
        )
        for group in IN_PLACE["toy"] for row in group["vectors"]
    )  # fmt: skip
    verdict = selftest(device, replace(variants()["oggpow"], known_answers=answers))
    assert verdict.problem is None
    assert verdict.checked == 39


@pytest.mark.parametrize("shape", SHAPES)
def test_a_launch_shape_finds_the_same_nonces(device: Device, shape: str) -> None:
    needs_compiler(device)
    if device.dialect == "opencl" and SHAPES[shape].copies > 1:
        pytest.skip(
            f"{shape} is for CUDA; tests/codegen/test_structures.py runs its text in OpenCL"
        )
    try:
        device.take_shape(shape_named(shape))
        bench = bench_of(device)
        kernel = bench.kernel()
    except BuildFailed as error:
        if EXCHANGES[SHAPES[shape].exchange].subgroups or SHAPES[shape].family == "vector":
            pytest.skip(str(error))
        raise
    assert device.shape == shape_named(shape)
    nodes = TOY.epoch_at(0).nodes
    assert np.array_equal(
        device.read_nodes(0, nodes), dataset_nodes(TOY.epoch_at(0), bench.light.cache, 0, nodes)
    )
    span = span_of(bench, 2**32 - 2, 4)
    assert bench.hits(bench.job(), span, kernel) == [span.first + i for i in range(span.count)]


OTHER_CHOICES = variants()["oggpow"]
"""Chooses what ProgPoW does not, everywhere."""

SOME_SHAPES = ("gpu", "gpu-128/4", "gpu-subgroups", "cpu", "cpu/2", "cpu-1", "cpu-1/4")


@pytest.mark.parametrize(
    ("shape", "variant"),
    [
        *((shape, OTHER_CHOICES) for shape in SOME_SHAPES),
        *((None, row) for row in range(COUNT)),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_device_runs_every_choice_of_a_variant(
    device: Device, shape: str | None, variant: Variant | int, tmp_path: Path
) -> None:
    """Each choice in each shape, and combinations of choices that no coin has."""
    if shape is not None:
        needs_compiler(device)
        try:
            device.take_shape(shape_named(shape))
        except BuildFailed as error:
            if shape_named(shape).family == "vector":
                pytest.skip(str(error))
            raise
    mined = combination(variant, tmp_path) if isinstance(variant, int) else variant
    problem = selftest(device, mined, answers=1).problem
    exchange = EXCHANGES[device.shape.exchange]
    if problem and "does not compile" in problem and exchange.subgroups:
        pytest.skip(problem)
    assert problem is None


@pytest.mark.parametrize(
    ("buffers", "items"), [(2, 20011), (2, 30011), (4, 30011), (8, 1021), (16, 20011)]
)
def test_a_dataset_may_be_split_over_buffers(device: Device, buffers: int, items: int) -> None:
    needs_compiler(device)
    variant = QUICK.with_sizes(FixedSizes(509, items, 0))
    own = device.shape
    device.take_shape(shape_named(f"{own.name}/{buffers}"))
    bench = bench_of(device, variant)
    assert (device.shape.name, device.shape.buffers) == (f"{own.name}/{buffers}", buffers)
    epoch = variant.epoch_at(0)
    nodes = dataset_nodes(epoch, bench.light.cache, 0, epoch.nodes)
    assert np.array_equal(device.read_nodes(0, epoch.nodes), nodes)
    device.write_nodes(0, np.zeros_like(nodes))
    assert not device.read_nodes(0, epoch.nodes).any()
    device.write_nodes(0, nodes)
    span = span_of(bench, 0, 16)
    assert bench.hits(bench.job(), span) == list(range(span.count))
    device.take_shape(own)
    bench = bench_of(device)
    assert device.shape == own
    assert len(bench.hits(bench.job(), span_of(bench, 0, 2))) == device.round_up(2)


def test_a_failed_build_names_its_log_and_leaves_the_device_usable(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs_compiler(device)
    bench = bench_of(device)
    kernel, span = bench.kernel(), span_of(bench, 0, 2)
    with monkeypatch.context() as patch:
        patch.setenv("PROGPOW_MINER_CACHE", str(tmp_path))
        broken = KernelSource("a broken program", BROKEN, "search", device.dialect, ())
        with pytest.raises(BuildFailed, match="a broken program does not compile") as caught:
            device.build(broken)
    path = Path(str(caught.value).rpartition(": ")[2])
    assert path.parent == tmp_path / "build-logs"
    log = path.read_text(encoding="utf-8")
    assert BROKEN in log
    assert "no_such_name" in log.replace(BROKEN, ""), "the compiler's own messages are missing"
    assert "\n" not in str(caught.value)
    assert len(bench.hits(bench.job(), span, kernel)) == span.count
    assert len(bench.hits(bench.job(height=3), span)) == span.count


def test_a_device_can_be_closed_at_any_time_and_reopened(device: Device) -> None:
    found = next(f for f in FOUND if f.info.name == device.info.name)
    fresh = found.open()
    with pytest.raises(DeviceError, match=f"^{device.info.name}: no dataset was generated"):
        fresh.read_nodes(0, 1)
    fresh.close()
    again = found.open()
    bench = bench_of(again)
    kernel, span = bench.kernel(), span_of(bench, 0, 2)
    assert len(bench.hits(bench.job(), span, kernel)) == span.count
    again.launch(kernel, bench.job(), span)  # left in flight
    again.close()


def test_a_new_dataset_replaces_the_old(device: Device) -> None:
    for seed in (0, 1):
        bench = bench_of(device, SMALL[seed])
        span = span_of(bench, 0, 2)
        assert len(bench.hits(bench.job(), span)) == span.count


def test_sub_groups_of_another_size_are_refused(device: Device) -> None:
    if device.dialect != "opencl":
        pytest.skip(f"{device.info.name}: compiles no OpenCL")
    epoch = TOY.epoch_at(0)
    source = search_source(TOY, 0, epoch, "opencl", shape_named("gpu-subgroups"))
    try:
        device.build(source)
    except BuildFailed as error:
        pytest.skip(str(error))
    other = replace(source, text=source.text + "/* another */\n", subgroup_multiple=3)
    with pytest.raises(BuildFailed, match=r"sub-groups have \d+ threads, not a multiple of 3; set"):
        device.build(other)


def chosen(bench: Bench) -> Epoch:
    """Select the dataset of `bench`."""
    epoch = bench.variant.epoch_at(0)
    bench.device.select(epoch)
    return epoch


def assert_right(bench: Bench) -> None:
    """The selected dataset is that of `bench`, and a new kernel searches it."""
    epoch = bench.variant.epoch_at(0)
    wanted = bench.nodes_of(epoch, bench.light.cache, 0, epoch.nodes)
    assert np.array_equal(bench.device.read_nodes(0, epoch.nodes), wanted)
    span = span_of(bench, 0, 2)
    assert len(bench.hits(bench.job(), span)) == span.count


def test_datasets_are_kept_side_by_side(two: tuple[Bench, Bench]) -> None:
    assert_right(two[1])
    assert set(two[0].device.datasets) == {chosen(bench) for bench in two}
    for bench in (*two, *two):
        chosen(bench)
        assert_right(bench)


def test_written_nodes_belong_to_one_dataset(two: tuple[Bench, Bench]) -> None:
    device = two[0].device
    own = np.arange(48, dtype=np.uint32).reshape(3, 16)
    device.write_nodes(7, own)
    chosen(two[0])
    assert not np.array_equal(device.read_nodes(7, 3), own)
    chosen(two[1])
    assert np.array_equal(device.read_nodes(7, 3), own)


def test_a_launch_in_flight_keeps_its_dataset(two: tuple[Bench, Bench]) -> None:
    kernels = []
    for bench in two:
        chosen(bench)
        kernels.append(bench.kernel())
    spans = [span_of(bench, 1 << 20, 4) for bench in two]
    for _ in range(2):
        pending = []
        for bench, kernel, span in zip(two, kernels, spans, strict=True):
            chosen(bench)
            pending.append(bench.device.launch(kernel, bench.job(), span))
        for bench, launch, span in zip(two, pending, spans, strict=True):
            found = launch.wait()
            assert found.total == span.count
            for hit in found.hits:
                digest = bench.digest_of(bench.job(), hit.nonce)
                assert words(digest) == (*hit.final_words, hit.mix_word)


def test_dropping_a_dataset_leaves_the_others(two: tuple[Bench, Bench]) -> None:
    first, second = two
    device = first.device
    gone = first.variant.epoch_at(0)
    device.drop(gone)
    assert gone not in device.datasets
    assert_right(second)
    with pytest.raises(DeviceError, match=device.info.name):
        device.select(gone)
    device.drop(gone)
    device.drop(second.variant.epoch_at(0))
    assert not device.datasets
    with pytest.raises(DeviceError, match="no dataset was generated"):
        device.read_nodes(0, 1)


def test_spare_memory_is_less_than_all_memory(bench: Bench) -> None:
    assert bench.device.spare_memory() < bench.device.info.memory


def test_kernels_are_callable_side_by_side_until_unloaded(bench: Bench) -> None:
    span = span_of(bench, 9, 1)
    kernels = {height: bench.kernel(height) for height in (0, 3, 6)}
    for height in (6, 0, 3):
        assert len(bench.hits(bench.job(height=height), span, kernels[height])) == span.count
    bench.device.unload(kernels.pop(3))
    for height, kernel in kernels.items():
        assert len(bench.hits(bench.job(height=height), span, kernel)) == span.count

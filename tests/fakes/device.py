"""A device that hashes by SHA-256 and fails as a script says."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import RESULT_SLOTS, KernelSource
from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.devices.device import Hit, LaunchResult, fill
from miner.errors import BuildFailed, DeviceError, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.variant import FixedSizes, Variant
from miner.work import DeviceInfo, Job, NonceRange, NonceSpace
from tests.fakes.variants import KAWPOW

TOY = KAWPOW.with_sizes(FixedSizes(509, 1021, 0))
LONG = replace(TOY, period=7500)
"""A period lasts for an epoch, so that no kernel is proved ahead."""

EASY = 2**256 // 64
WAIT = 20.0
"""Seconds after which a waiting test fails."""


def job_at(height: int = 0, *, header: int = 1, target: int = EASY, **other: object) -> Job:
    variant = other.pop("variant", TOY)
    assert isinstance(variant, Variant)
    values: dict[str, object] = {
        "session": 1,
        "id": f"{height}-{header}",
        "variant": variant,
        "header_hash": header.to_bytes(32, "big"),
        "height": height,
        "epoch": variant.epoch_at(height),
        "share_target": target,
        "nonces": NonceSpace(0xABCD, 16),
    }
    return Job(**{**values, **other})  # type: ignore[arg-type]


class FakeProver:
    """The CPU's results for the fake devices."""

    def light_cache(self, epoch: Epoch, watcher: object = None) -> NDArray[np.uint32]:
        return np.zeros((epoch.light_items, 16), np.uint32)

    def dataset_nodes(
        self, epoch: Epoch, light: NDArray[np.uint32], first: int, count: int
    ) -> NDArray[np.uint32]:
        assert light.shape == (epoch.light_items, 16)
        rows = (
            hashlib.sha512(b"%d %d" % (epoch.number, node)).digest()
            for node in range(first, first + count)
        )
        return np.frombuffer(b"".join(rows), np.uint32).reshape(count, 16).copy()

    def digest(self, job: Job, nonce: int) -> Digest:
        return _digest(job.header_hash, _program(job.period, job.epoch), nonce)


PROVER = FakeProver()


def value_of(job: Job, nonce: int) -> int:
    """Return the final hash of `nonce` as a number."""
    return int.from_bytes(PROVER.digest(job, nonce).final_hash, "big")


def _digest(header: bytes, program: str, nonce: int) -> Digest:
    seed = header + program.encode() + nonce.to_bytes(8, "big")
    return Digest(hashlib.sha256(b"mix" + seed).digest(), hashlib.sha256(seed).digest())


def _program(period: int, epoch: Epoch) -> str:
    return f"period {period} epoch {epoch.number}"


def search_source(
    variant: Variant, period: int, epoch: Epoch, dialect: str | None, shape: LaunchShape
) -> KernelSource:
    text = _program(period, epoch)
    return KernelSource(f"{variant.name} {text}", text, "search", dialect, ())


@dataclass
class Ticks:
    """A clock that only fake devices advance."""

    seconds: float = 0.0
    ahead: float = 0.0
    """Seconds by which the time of day was set forward."""
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def pass_time(self, seconds: float) -> None:
        """Let `seconds` pass; any thread may call it."""
        with self._turn:
            self.seconds += seconds

    def now(self) -> float:
        return self.seconds

    def wall(self) -> float:
        return 1_800_000_000.0 + self.ahead + self.now()

    async def sleep(self, seconds: float) -> None:
        self.pass_time(seconds)


@dataclass
class DeviceScript:
    """How a fake device behaves, and records of its use; survives reopening."""

    fail_open: int = 0
    fail_build: int = 0
    fail_generate: int = 0
    no_memory: int = 0
    """How many of the next datasets find too little free memory."""
    spare: int = 0
    """Bytes for further datasets that the device reports."""
    room: int = 2**40
    """Bytes of datasets that it really has room for."""
    full: int = 0
    """How many of the next searches find too little free memory, if there are several datasets."""
    fail_launch: int = 0
    failure: Exception | None = None
    """Raised by `wait` of a search."""
    wrong_hits: bool = False
    wrong_kernels: int = 0
    """How many of the next builds give wrong hashes."""
    wrong_programs: dict[str, int] = field(default_factory=dict)
    """How many of the next builds of a text give wrong hashes."""
    counts_short: bool = False
    begun: int = 0
    """Nonces of the groups that have begun when a launch is stopped."""
    skipped: int = 0
    """Nonces at the end of each search that the device leaves out."""
    slots: int = RESULT_SLOTS
    granule: int = 8
    corrupt: set[int] = field(default_factory=set)
    unrepairable: bool = False
    shares_images: bool = False
    gate: threading.Semaphore | None = None
    """Acquired once by each `wait` of a search."""
    build_gate: threading.Event | None = None
    building: int = 0
    """Builds that wait at `build_gate`."""
    slice_gate: threading.Semaphore | None = None
    slice_seconds: float = 0.0
    """Duration of each of a dataset's four slices."""
    hang: threading.Event | None = None
    """`wait` of a search blocks until this is set."""

    built: list[str] = field(default_factory=list)
    launched: list[tuple[Job, NonceRange]] = field(default_factory=list)
    fillers: list[KernelSource] = field(default_factory=list)
    discarded: list[FakeImage] = field(default_factory=list)
    opened: int = 0
    closed: int = 0
    slices: int = 0
    proofs: list[Job] = field(default_factory=list)
    """Of launches that prove a kernel."""
    stopped: list[tuple[Job, NonceRange]] = field(default_factory=list)
    """Launches that were to end early."""
    idle: int = 0
    """Launches before which none was in flight."""
    loaded: int = 0
    """Kernels that are loaded now."""
    most_loaded: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def note(self) -> None:
        with self.changed:
            self.changed.notify_all()


@dataclass
class FakeImage:
    source: KernelSource
    wrong: bool = False


class FakePending:
    def __init__(self, device: FakeDevice, image: FakeImage, job: Job, span: NonceRange) -> None:
        self._device, self._image, self._job, self._span = device, image, job, span
        self._stopped = False

    def stop(self, calls: object) -> None:
        self._stopped = True
        self._device.script.stopped.append((self._job, self._span))

    def wait(self) -> LaunchResult:
        script, job, span = self._device.script, self._job, self._span
        self._device.pending -= 1
        proving = job.target == 2**256 - 1
        if not proving:
            if script.gate is not None:
                assert script.gate.acquire(timeout=WAIT)
            if script.hang is not None:
                script.hang.wait(WAIT)
            if script.failure is not None:
                raise script.failure
            if script.fail_launch:
                script.fail_launch -= 1
                raise DeviceError(f"{self._device.info.name}: the launch failed")
        tried = min(script.begun, span.count) if self._stopped else span.count
        tried -= 0 if proving else min(script.skipped, tried)
        self._device.clock.pass_time(tried / 2000)
        hits = []
        for nonce in range(span.first, span.first + tried):
            digest = _digest(job.header_hash, self._image.source.text, nonce)
            mix, final = digest.mix_hash, digest.final_hash
            if self._image.wrong:
                final = final[::-1]
            good = int.from_bytes(final, "big") <= job.target
            if good != (script.wrong_hits and not proving):
                words = (int.from_bytes(final[:4], "little"), int.from_bytes(final[4:8], "little"))
                hits.append(Hit(nonce, words, int.from_bytes(mix[:4], "little")))
        total = len(hits) - (1 if script.counts_short and proving else 0)
        return LaunchResult(tried, tuple(hits[: script.slots]), total)


class FakeDevice:
    dialect = "opencl"

    def __init__(self, info: DeviceInfo, script: DeviceScript, clock: Ticks) -> None:
        if script.fail_open:
            script.fail_open -= 1
            raise DeviceError(f"{info.name}: it cannot be opened")
        self.info, self.script, self.clock = info, script, clock
        self.shares_images = script.shares_images
        self.shape = shape_named("gpu")
        self.pending = 0
        self.nodes: dict[Epoch, NDArray[np.uint32]] = {}
        self.selected: Epoch | None = None
        self.loaded: list[FakeImage] = []
        self._thread = threading.get_ident()
        script.opened += 1

    def build(self, source: KernelSource) -> FakeImage:
        if source.entry == "dataset":
            self.script.fillers.append(source)
            return FakeImage(source)
        if self.script.build_gate is not None:
            self.script.building += 1
            self.script.note()
            assert self.script.build_gate.wait(WAIT)
            self.script.building -= 1
        self.script.built.append(source.text)
        self.script.note()
        if self.script.fail_build:
            self.script.fail_build -= 1
            raise BuildFailed(f"{self.info.name}: it does not compile")
        wrong = self.script.wrong_kernels > 0
        self.script.wrong_kernels -= wrong
        if self.script.wrong_programs.get(source.text):
            self.script.wrong_programs[source.text] -= 1
            wrong = True
        return FakeImage(source, wrong)

    def load(self, image: FakeImage) -> FakeImage:
        assert threading.get_ident() == self._thread
        self.loaded.append(image)
        self.script.loaded = len(self.loaded)
        self.script.most_loaded = max(self.script.loaded, self.script.most_loaded)
        return image

    def unload(self, kernel: FakeImage) -> None:
        assert threading.get_ident() == self._thread
        self.loaded.remove(kernel)
        self.script.loaded = len(self.loaded)

    def discard(self, image: FakeImage) -> None:
        self.script.discarded.append(image)

    def generate(
        self, epoch: Epoch, light: NDArray[np.uint32], filler: FakeImage
    ) -> Iterator[float]:
        assert filler.source.entry == "dataset"
        assert threading.get_ident() == self._thread
        if self.script.fail_generate:
            self.script.fail_generate -= 1
            raise DeviceError(f"{self.info.name}: the dataset cannot be made")
        if self.script.no_memory:
            self.script.no_memory -= 1
            raise OutOfMemory(f"{self.info.name}: the dataset needs 5 bytes, 4 are free")
        self.drop(epoch)
        if epoch.dataset_bytes + sum(e.dataset_bytes for e in self.nodes) > self.script.room:
            raise OutOfMemory(f"{self.info.name}: the driver allocates no more")
        self.nodes[epoch] = nodes = np.zeros((epoch.nodes, 16), np.uint32)
        self.select(epoch)
        yield 0.0
        for part in range(4):
            if self.script.slice_gate is not None:
                assert self.script.slice_gate.acquire(timeout=WAIT)
            first, end = epoch.nodes * part // 4, epoch.nodes * (part + 1) // 4
            nodes[first:end] = PROVER.dataset_nodes(epoch, light, first, end - first)
            self.script.slices += 1
            self.clock.pass_time(self.script.slice_seconds)
            self._corrupt(first, end)
            yield (part + 1) / 4

    def _corrupt(self, first: int, end: int) -> None:
        for node in self.script.corrupt:
            if first <= node < end:
                self._generated()[node, 5] ^= 1 << 7

    @property
    def datasets(self) -> Sequence[Epoch]:
        return tuple(self.nodes)

    def select(self, epoch: Epoch) -> None:
        if epoch not in self.nodes:
            raise DeviceError(f"{self.info.name}: the dataset of epoch {epoch.number} is missing")
        self.selected = epoch

    def drop(self, epoch: Epoch) -> None:
        self.nodes.pop(epoch, None)
        if self.selected == epoch:
            self.selected = None

    def spare_memory(self) -> int:
        return self.script.spare - sum(epoch.dataset_bytes for epoch in self.nodes)

    def _generated(self) -> NDArray[np.uint32]:
        if self.selected is None:
            raise DeviceError(f"{self.info.name}: no dataset was generated")
        return self.nodes[self.selected]

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        return self._generated()[first : first + count].copy()

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        self._generated()[first : first + len(nodes)] = nodes
        if self.script.unrepairable:
            self._corrupt(first, first + len(nodes))

    def round_up(self, count: int) -> int:
        return -(-count // self.script.granule) * self.script.granule

    def launch(self, kernel: FakeImage, job: Job, span: NonceRange) -> FakePending:
        assert threading.get_ident() == self._thread
        assert span.count == self.round_up(span.count)
        assert kernel in self.loaded
        assert self.selected == job.epoch, "this dataset is not selected"
        if job.target != 2**256 - 1 and self.script.full and len(self.nodes) > 1:
            self.script.full -= 1
            raise OutOfMemory(f"{self.info.name}: launching: out of memory")
        self.script.idle += not self.pending
        self.pending += 1
        assert self.pending <= 2
        if job.target != 2**256 - 1:
            self.script.launched.append((job, span))
        else:
            self.script.proofs.append(job)
        self.script.note()
        return FakePending(self, kernel, job, span)

    def close(self) -> None:
        assert threading.get_ident() == self._thread
        self.script.closed += 1


@dataclass
class FakeOpener:
    script: DeviceScript
    clock: Ticks

    def open(self, info: DeviceInfo) -> FakeDevice:
        return FakeDevice(info, self.script, self.clock)


def info_of(name: str = "fake:0") -> DeviceInfo:
    return DeviceInfo(name, "fake", "Toy", "gpu", "1.0", 2**30, 2**28, 1)


def fake_device(
    script: DeviceScript | None = None, name: str = "fake:0", clock: Ticks | None = None
) -> FakeDevice:
    return FakeDevice(info_of(name), script or DeviceScript(), clock or Ticks())


def filled_device(
    epoch: Epoch, script: DeviceScript | None = None, clock: Ticks | None = None
) -> FakeDevice:
    device = fake_device(script, clock=clock)
    for _ in fill(device, epoch, PROVER.light_cache(epoch)):
        pass
    return device

"""A device with one dataset, on which kernels are compared with the CPU and then measured."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from random import Random

from miner.clock import Clock, SystemClock
from miner.codegen.kernel_source import KernelSource, search_source
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, Kernel, Pending, fill
from miner.devices.known_answers import EVERY_NONCE
from miner.engine.proof import KernelProof, Prover, prove_dataset, prove_kernel
from miner.engine.search import TARGET_SECONDS
from miner.progpow.variant import Variant
from miner.verify import Unwatched, Verifier
from miner.work import Job, NonceRange, NonceSpace

FEWEST_LAUNCHES = 5
"""In one measurement, however long they take."""

LARGEST_LAUNCH = 1 << 28


class BenchDevice:
    """`device` with the dataset of a height, both proved; the thread that opened it uses it."""

    def __init__(
        self,
        device: Device,
        variant: Variant,
        height: int,
        prover: Prover | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.device, self.variant = device, variant
        self.epoch = variant.epoch_at(height)
        self.clock: Clock = clock or SystemClock()
        self._prover: Prover = prover or Verifier()
        light = self._prover.light_cache(self.epoch, Unwatched())
        started = self.clock.now()
        for _ in fill(device, self.epoch, light):
            pass
        self.dataset_seconds = self.clock.now() - started
        prove_dataset(device, self.epoch, light, self._prover, Random(0))

    def kernel(self, height: int, shape: LaunchShape | None = None) -> BenchKernel:
        """Build the program of `height` for the dataset here, and compare it with the CPU.

        Without `shape`: in the device's present one. Raises `BuildFailed`, and `WrongResult` for
        a wrong hash.
        """
        device, variant = self.device, self.variant
        if shape is not None:
            self.take(shape)
        source = search_source(
            variant, variant.period_at(height), self.epoch, device.dialect, device.shape
        )
        return self.proved(source, height, shape)

    def proved(
        self, source: KernelSource, height: int, shape: LaunchShape | None = None
    ) -> BenchKernel:
        """Build `source`, the program of `height`, and compare it with the CPU; raises as
        `kernel`."""
        device, variant = self.device, self.variant
        started = self.clock.now()
        kernel = device.load(device.build(source))
        build_seconds = self.clock.now() - started
        header = hashlib.sha256(f"{variant.name} {height}".encode()).digest()
        job = Job(0, "bench", variant, header, height, self.epoch, EVERY_NONCE >> 48, NonceSpace())
        proof = KernelProof(job, device.round_up(1), self._prover, Random(0))
        prove_kernel(device, kernel, proof)
        return BenchKernel(self, kernel, job, source, shape, build_seconds)

    def take(self, shape: LaunchShape) -> None:
        """Use `shape` with the dataset that is in memory."""
        self.device.take_shape(shape)
        self.device.select(self.epoch)


@dataclass(slots=True)
class BenchKernel:
    """A proved kernel on a device."""

    at: BenchDevice
    kernel: Kernel
    job: Job
    source: KernelSource
    shape: LaunchShape | None
    build_seconds: float
    count: int = 0
    """Nonces of a launch; 0: not measured yet."""
    _next: int = 0

    def rates(self, seconds: float, fewest: int = FEWEST_LAUNCHES) -> list[float]:
        """Search for `seconds` with two launches in flight; return the hashrate of each launch,
        of at least `fewest`."""
        if self.shape is not None:
            self.at.take(self.shape)
        if not self.count:
            self._size_launches()
        clock = self.at.clock
        rates: list[float] = []
        pending = self.search(self.count)
        started = last = clock.now()
        while clock.now() - started < seconds or len(rates) < fewest:
            following = self.search(self.count)
            pending.wait()
            now = clock.now()
            rates.append(self.count / (now - last))
            last, pending = now, following
        pending.wait()
        return rates

    def _size_launches(self) -> None:
        """Double the launches until one takes about `TARGET_SECONDS`."""
        device, clock = self.at.device, self.at.clock
        self.count = device.round_up(1024)
        while True:
            started = clock.now()
            self.search(self.count).wait()
            if clock.now() - started > TARGET_SECONDS / 2 or self.count >= LARGEST_LAUNCH:
                return
            self.count = device.round_up(self.count * 2)

    def search(self, count: int) -> Pending:
        """Start a launch of the next `count` nonces, a number that `round_up` returned."""
        span = NonceRange(self._next, count)
        self._next += count
        return self.at.device.launch(self.kernel, self.job, span)

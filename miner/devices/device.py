"""The contract of every backend: how devices are found, opened, fed and closed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import RESULT_SLOTS as RESULT_SLOTS
from miner.codegen.kernel_source import KernelSource, dataset_source
from miner.codegen.launch_shape import LaunchShape
from miner.progpow.epoch import Epoch
from miner.work import DeviceInfo as DeviceInfo
from miner.work import Job, NonceRange


@dataclass(frozen=True, slots=True)
class Hit:
    """A nonce that a device reports, with the first words of both its hashes."""

    nonce: int
    final_words: tuple[int, int]
    """Words 0 and 1 of the final hash, little-endian words."""
    mix_word: int
    """Word 0 of the mix hash."""


@dataclass(frozen=True, slots=True)
class Found:
    """What one launch brought: nonces searched, hits in the buffer, hits there were."""

    tried: int
    hits: tuple[Hit, ...]
    total: int

    @property
    def overflowed(self) -> bool:
        return self.total > len(self.hits)


@dataclass(frozen=True, slots=True)
class Image:
    """A compiled program; any thread may hold it, only its device can load it."""

    source: KernelSource
    program: Any = None
    """What the backend made of it; opaque to everybody else."""


Kernel = Any
"""A callable on a device, as its own `load` returned it; opaque to everybody else."""


class Pending(Protocol):
    """A launch in flight."""

    def wait(self) -> Found:
        """Block until it is done; raises `DeviceError` when the driver reports a failure."""


class Device(Protocol):
    """An open device: opened, used and closed in one thread, except for `build` and `discard`."""

    info: DeviceInfo

    @property
    def shape(self) -> LaunchShape:
        """The shape that search programs are generated for; it names the number of dataset
        buffers of the newest `generate`."""

    @property
    def dialect(self) -> str:
        """ "opencl" or "cuda"."""

    def take_shape(self, shape: LaunchShape) -> None:
        """Use another launch shape than the device's own, from the next `generate` on. Raises
        `BuildFailed` for one that this kind of device cannot have."""

    def build(self, source: KernelSource) -> Image:
        """Compile; any thread may call it. Raises `BuildFailed`, which names the log file."""

    def load(self, image: Image) -> Kernel:
        """Make the image callable here; the one loaded before it may be dropped."""

    def discard(self, image: Image) -> None:
        """Keep nothing of `image`, which gave wrong results, so that its source is compiled anew;
        any thread may call it."""

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Fill the dataset of `epoch` in slices of well under a second and yield the share
        done, 0 to 1. `light` is its light cache, shape (light_items, 16), `filler` the program
        of `filler_source`. The old dataset is gone at the first step. Raises `OutOfMemory` with
        the numbers."""

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return dataset nodes (64-byte items) as shape (count, 16)."""

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite dataset nodes, shape (count, 16): how a wrong range is repaired."""

    def round_up(self, count: int) -> int:
        """Return the smallest launchable number of nonces >= `count`."""

    def launch(self, kernel: Kernel, job: Job, span: NonceRange) -> Pending:
        """Start searching `span` (`count` as `round_up` gave it) for `job.target`. At most two
        launches may be pending; they run in order."""

    def close(self) -> None:
        """Give everything back; the device is not used again."""


def filler_source(device: Device, epoch: Epoch) -> KernelSource:
    """Return the text of the program that `device` fills the dataset of `epoch` with."""
    return dataset_source(epoch, device.dialect, device.shape)


def fill(device: Device, epoch: Epoch, light: NDArray[np.uint32]) -> Iterator[float]:
    """Generate with a program that is compiled here, in the calling thread, first."""
    return device.generate(epoch, light, device.build(filler_source(device, epoch)))


class Backend(Protocol):
    """A way to reach devices."""

    name: str

    def devices(self) -> Sequence[DeviceInfo]:
        """List them without keeping them open. Raises `BackendUnavailable` with the reason."""

    def open(self, info: DeviceInfo) -> Device:
        """Open one in the calling thread, which then owns it."""

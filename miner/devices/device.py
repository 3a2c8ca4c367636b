"""The contract of a device: the calls by which the engine searches on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import RESULT_SLOTS, KernelSource, dataset_source
from miner.codegen.launch_shape import LaunchShape
from miner.progpow.epoch import Epoch
from miner.work import DeviceInfo, Job, NonceRange

RESULT_WORDS = 4 + 4 * RESULT_SLOTS
"""32-bit words of a search kernel's result buffer."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A nonce that a device reports, with the first words of both its hashes."""

    nonce: int
    final_words: tuple[int, int]
    """Words 0 and 1 of the final hash, read as little-endian."""
    mix_word: int
    """Word 0 of the mix hash."""


@dataclass(frozen=True, slots=True)
class LaunchResult:
    """The result of one launch."""

    tried: int
    """Nonces searched: all of the launch, unless it was stopped."""
    hits: tuple[Hit, ...]
    """The hits that fit into the result buffer, at most `RESULT_SLOTS`."""
    total: int
    """Number of all hits."""

    @property
    def overflowed(self) -> bool:
        return self.total > len(self.hits)

    @classmethod
    def decoded(
        cls, words: NDArray[np.uint32], span: NonceRange, nonces_per_group: int
    ) -> LaunchResult:
        """Decode the result buffer of a search of `span`, shape (RESULT_WORDS,): the number of
        hits, the number of groups that searched, two unused words, then for each hit its offset
        in `span`, words 0 and 1 of the final hash, and word 0 of the mix hash."""
        total, groups = int(words[0]), int(words[1])
        slots = words[4:].reshape(RESULT_SLOTS, 4)[: min(total, RESULT_SLOTS)].tolist()
        hits = (Hit(span.first + offset, (w0, w1), mix) for offset, w0, w1, mix in slots)
        return cls(groups * nonces_per_group, tuple(hits), total)


@dataclass(frozen=True, slots=True)
class Image:
    """A built program. Any thread may hold it; only its device can load it."""

    source: KernelSource
    program: Any = None
    """The backend's own object."""


Kernel = Any
"""A loaded program, as the device's `load` returned it."""


class DriverCalls(Protocol):
    """Runs calls of the driver in another thread, since they may block."""

    def submit(self, func: Callable[[], object], /) -> object:
        """Queue `func`."""


class Pending(Protocol):
    """A launch in flight."""

    def wait(self) -> LaunchResult:
        """Block until the launch is done; raises `DeviceError` when the driver reports a
        failure."""

    def stop(self, calls: DriverCalls) -> None:
        """End the launch early: groups that have not begun search nothing. Any thread may call it
        until the device is closed. It returns at once, and leaves calls that may block to `calls`.
        It has no effect after the launch has ended, or on a device that cannot be reached while
        it searches."""


class Device(Protocol):
    """An open device. One thread opens, uses and closes it; any thread may call `build` and
    `discard`."""

    info: DeviceInfo

    @property
    def shape(self) -> LaunchShape:
        """The shape that search programs are generated for. Its number of dataset buffers is
        that of the selected dataset."""

    @property
    def dialect(self) -> str | None:
        """Name of the language that `build` compiles; None: the device interprets programs, has
        no compiler, and takes no other launch shape."""

    @property
    def shares_images(self) -> bool:
        """Whether the equal devices of this backend (same model and driver) can load an image
        that this one built."""

    def take_shape(self, shape: LaunchShape) -> None:
        """Use another launch shape, from the next `generate` on. Raises `BuildFailed` for a shape
        that this kind of device cannot have."""

    def build(self, source: KernelSource) -> Image:
        """Compile; any thread may call it. Raises `BuildFailed`, which names the log file."""

    def load(self, image: Image) -> Kernel:
        """Make the image callable here, beside the kernels that are loaded already."""

    def unload(self, kernel: Kernel) -> None:
        """Free `kernel`, which is not used again; no launch of it is in flight."""

    def discard(self, image: Image) -> None:
        """Delete every cached copy of `image`, which gave wrong results, so that its source is
        compiled again; any thread may call it."""

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Fill the dataset of `epoch` in slices of well under a second, beside those in memory;
        yield the fraction done, 0 to 1. `light` is the light cache, shape (light_items, 16),
        `filler` the program of `filler_source`. The first step frees an older dataset of `epoch`
        and selects the new one. Raises `OutOfMemory` with needed and available bytes; what was
        allocated before that, or before an abandoned generation, stays until `drop`."""

    @property
    def datasets(self) -> Sequence[Epoch]:
        """Epochs whose datasets are in memory, complete or not."""

    def select(self, epoch: Epoch) -> None:
        """Read the dataset of `epoch`, which is in memory, in the calls from now on; launches in
        flight keep theirs. Raises `DeviceError` when it is not in memory."""

    def drop(self, epoch: Epoch) -> None:
        """Free the dataset of `epoch`, if it is in memory; no launch that reads it is in
        flight."""

    def spare_memory(self) -> int:
        """Return how many bytes further datasets may take, without what is left to other
        programs; 0 or less: none."""

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes (64-byte items) of the selected dataset as shape (count, 16)."""

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes of the selected dataset, shape (count, 16), to repair a wrong range."""

    def round_up(self, count: int) -> int:
        """Return the smallest launchable number of nonces >= `count`."""

    def launch(self, kernel: Kernel, job: Job, span: NonceRange) -> Pending:
        """Start searching `span` (its `count` is one that `round_up` returned) for `job.target`
        on the selected dataset. At most two launches may be in flight; they may overlap, unless the
        shape has one stream."""

    def close(self) -> None:
        """Free everything; the device is not used again."""


class OpenableDevice(Protocol):
    """A device before it is opened."""

    @property
    def info(self) -> DeviceInfo: ...

    def open(self) -> Device:
        """Open the device in the calling thread, which then owns it; raises `DeviceError`."""


def filler_source(device: Device, epoch: Epoch) -> KernelSource:
    """Return the source of the program with which `device` fills the dataset of `epoch`."""
    return dataset_source(epoch, device.dialect, device.shape)


def fill(
    device: Device, epoch: Epoch, light: NDArray[np.uint32], filler: Image | None = None
) -> Iterator[float]:
    """Free all datasets, then `device.generate`; build `filler` if it is not given."""
    for kept in device.datasets:
        device.drop(kept)
    filler = filler or device.build(filler_source(device, epoch))
    return device.generate(epoch, light, filler)

"""The CPU reference as a device: the definition that every other device is compared with."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import RESULT_SLOTS, KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, DriverCalls, Hit, Image, LaunchResult
from miner.devices.reference import REFERENCE
from miner.errors import DeviceError
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import dataset_nodes
from miner.resources import available_memory
from miner.work import DeviceInfo, Job, NonceRange


def list_devices() -> Sequence[DeviceInfo]:
    """Return the one device, "ref", that every machine has."""
    cores, memory, name = os.cpu_count() or 1, _memory(), REFERENCE.name
    model = "CPU reference, one core"
    return [DeviceInfo(name, name, model, "cpu", "numba", memory, memory, cores)]


def open_device(info: DeviceInfo) -> Device:
    """Open the device."""
    return ReferenceDevice(info)


def _memory() -> int:
    """Bytes of this machine; 0 where Python does not know them, as on Windows."""
    if not hasattr(os, "sysconf"):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class ReferenceDevice:
    """Hashes from the light cache; computes dataset nodes when they are read."""

    dialect = None
    shares_images = False

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self._lights: dict[Epoch, Light] = {}
        self._selected: Epoch | None = None
        self._written: dict[tuple[Epoch, int], NDArray[np.uint32]] = {}

    @property
    def shape(self) -> LaunchShape:
        """One nonce a thread."""
        return REFERENCE.shape_for(self.info)

    def take_shape(self, shape: LaunchShape) -> None:
        """Do nothing: the reference has no launch shapes."""

    def build(self, source: KernelSource) -> Image:
        """Return `source` as it is."""
        return Image(source)

    def load(self, image: Image) -> Image:
        """Return `image` as it is."""
        return image

    def unload(self, kernel: Image) -> None:
        """Do nothing: a kernel is its image, which takes no further memory."""

    def discard(self, image: Image) -> None:
        """Do nothing: no image is cached."""

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Keep the light cache."""
        self.drop(epoch)
        self._lights[epoch] = Light.of(epoch, light)
        self.select(epoch)
        yield 1.0

    @property
    def datasets(self) -> Sequence[Epoch]:
        """Epochs whose light caches are kept."""
        return tuple(self._lights)

    def select(self, epoch: Epoch) -> None:
        """Use the light cache of `epoch`."""
        if epoch not in self._lights:
            raise DeviceError(
                f"{self.info.name}: the dataset of epoch {epoch.number} is not in memory"
            )
        self._selected = epoch

    def drop(self, epoch: Epoch) -> None:
        """Free the light cache of `epoch` and the nodes written for it."""
        self._lights.pop(epoch, None)
        self._written = {at: node for at, node in self._written.items() if at[0] != epoch}
        if self._selected == epoch:
            self._selected = None

    def spare_memory(self) -> int:
        """Return the available memory of this machine without half of all memory."""
        return (available_memory() or 0) - self.info.memory // 2

    def _ready(self) -> Light:
        if self._selected is None:
            raise DeviceError(f"{self.info.name}: no dataset was generated")
        return self._lights[self._selected]

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Compute nodes, shape (count, 16), and replace those that were written."""
        light = self._ready()
        nodes = dataset_nodes(light.epoch, light.cache, first, count).copy()
        for (epoch, node), words in self._written.items():
            if epoch == light.epoch and first <= node < first + count:
                nodes[node - first] = words
        return nodes

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Keep the nodes for `read_nodes`."""
        for i, words in enumerate(nodes):
            self._written[self._ready().epoch, first + i] = words.copy()

    def round_up(self, count: int) -> int:
        """Return `count`, at least 1."""
        return max(count, 1)

    def launch(self, kernel: Image, job: Job, span: NonceRange) -> _ReferenceLaunch:
        """Prepare a search, which runs in `wait`."""
        return _ReferenceLaunch(Hasher(job.variant, job.period, self._ready()), job, span)

    def close(self) -> None:
        """Free the light caches."""
        for epoch in self.datasets:
            self.drop(epoch)


@dataclass(slots=True)
class _ReferenceLaunch:
    """A launch whose search runs in `wait`."""

    hasher: Hasher
    job: Job
    span: NonceRange
    stopped: bool = False

    def stop(self, calls: DriverCalls) -> None:
        """End the search before its next nonce."""
        self.stopped = True

    def wait(self) -> LaunchResult:
        """Search."""
        hits, tried = [], 0
        for nonce in range(self.span.first, self.span.first + self.span.count):
            if self.stopped:
                break
            tried += 1
            digest = self.hasher.hash(self.job.header_hash, nonce)
            # A kernel compares the upper 64 bits, so this does too.
            if digest.value >> 192 <= self.job.target >> 192:
                final = np.frombuffer(digest.final_hash, "<u4")
                mix = int.from_bytes(digest.mix_hash[:4], "little")
                hits.append(Hit(nonce, (int(final[0]), int(final[1])), mix))
        return LaunchResult(tried, tuple(hits[:RESULT_SLOTS]), len(hits))

"""The CPU reference as a device: slow, and the definition that the others are held against."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import RESULT_SLOTS, KernelSource
from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.devices.device import Device, DeviceInfo, Found, Hit, Image
from miner.errors import DeviceError
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Hasher, Light
from miner.progpow.light import dataset_nodes
from miner.work import Job, NonceRange


class ReferenceBackend:
    """One device, "ref", on every machine."""

    name = "ref"

    def devices(self) -> Sequence[DeviceInfo]:
        """List it."""
        cores = os.cpu_count() or 1
        memory = _memory()
        return [
            DeviceInfo(
                "ref", "ref", "CPU reference, one core", "cpu", "numba", memory, memory, cores
            )
        ]

    def open(self, info: DeviceInfo) -> Device:
        """Open it."""
        return ReferenceDevice(info)


def _memory() -> int:
    """Bytes of this machine; 0 where Python does not tell, as on Windows."""
    if not hasattr(os, "sysconf"):
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class ReferenceDevice:
    """Hashes from the light cache; its dataset is computed when it is read."""

    dialect = "opencl"

    def __init__(self, info: DeviceInfo) -> None:
        self.info = info
        self._light: Light | None = None
        self._written: dict[int, NDArray[np.uint32]] = {}

    @property
    def shape(self) -> LaunchShape:
        """One nonce a thread."""
        return shape_named("cpu-1")

    def take_shape(self, shape: LaunchShape) -> None:
        """Stay as it is: the reference has no launch shapes."""

    def build(self, source: KernelSource) -> Image:
        """Keep the source; the interpreter needs no compiler."""
        return Image(source)

    def load(self, image: Image) -> Image:
        """Return it."""
        return image

    def discard(self, image: Image) -> None:
        """Nothing is kept of any."""

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Remember the light cache."""
        self._written.clear()
        self._light = Light.of(epoch, light)
        yield 1.0

    def _ready(self) -> Light:
        if self._light is None:
            raise DeviceError("ref: no dataset was generated")
        return self._light

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Compute nodes, shape (count, 16)."""
        light = self._ready()
        nodes = dataset_nodes(light.epoch, light.cache, first, count).copy()
        for node, words in self._written.items():
            if first <= node < first + count:
                nodes[node - first] = words
        return nodes

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Remember them for `read_nodes`."""
        for i, words in enumerate(nodes):
            self._written[first + i] = words.copy()

    def round_up(self, count: int) -> int:
        """Return `count` itself."""
        return max(count, 1)

    def launch(self, kernel: Image, job: Job, span: NonceRange) -> _ReferenceLaunch:
        """Prepare a search; it runs when it is waited for."""
        return _ReferenceLaunch(Hasher.of(job.variant, job.period, self._ready()), job, span)

    def close(self) -> None:
        """Let the light cache go."""
        self._light = None


@dataclass(frozen=True, slots=True)
class _ReferenceLaunch:
    hasher: Hasher
    job: Job
    span: NonceRange

    def wait(self) -> Found:
        """Search now."""
        hits = []
        for nonce in range(self.span.first, self.span.first + self.span.count):
            digest = self.hasher.hash(self.job.header_hash, nonce)
            if digest.value >> 192 <= self.job.target >> 192:
                final = np.frombuffer(digest.final_hash, "<u4")
                mix = int.from_bytes(digest.mix_hash[:4], "little")
                hits.append(Hit(nonce, (int(final[0]), int(final[1])), mix))
        return Found(self.span.count, tuple(hits[:RESULT_SLOTS]), len(hits))

"""The common part of CUDA and OpenCL devices: launch shape, and datasets (DAGs) in buffers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from miner.codegen.launch_shape import LaunchShape
from miner.devices.dataset_buffers import DatasetBuffers
from miner.errors import BuildFailed, DeviceError
from miner.progpow.epoch import Epoch
from miner.work import DeviceInfo

LEFT_TO_OTHERS = 8
"""One part in this many of a card's memory is not used for further datasets."""


@dataclass(frozen=True, slots=True)
class GroupLimits:
    """Limits of a device for one group of threads."""

    threads: int
    shared_bytes: int


class BufferedDevice(ABC):
    """A device that starts with the launch shape `shape`; part of a `Device`."""

    def __init__(self, info: DeviceInfo, shape: LaunchShape) -> None:
        self.info = info
        self._base = self._shape = shape
        self._fewest_buffers = 1
        self._datasets: dict[Epoch, DatasetBuffers] = {}
        self._selected: DatasetBuffers | None = None
        self._launches = 0

    @abstractmethod
    def calls(self, what: str) -> AbstractContextManager[None]:
        """Enclose calls of the driver for `what`; raise the driver's errors as ours."""

    @abstractmethod
    def group_limits(self) -> GroupLimits:
        """Return the limits for one group."""

    @property
    def shape(self) -> LaunchShape:
        """The shape of search programs, with the buffers of the selected dataset."""
        return self._shape

    def take_shape(self, shape: LaunchShape) -> None:
        """Use `shape` from the next `generate` on; raises `BuildFailed` if the device is too small
        for a group of it."""
        most = self.group_limits()
        for need, limit, what in (
            (shape.threads, most.threads, "threads"),
            (shape.shared_bytes, most.shared_bytes, "bytes of shared (local) memory"),
        ):
            if need > limit:
                raise BuildFailed(
                    f"{self.info.name}: a group of the shape {shape.name!r} takes {need:,} {what}, "
                    f"the device has {limit:,}; set another shape"
                )
        self._base = self._shape = shape.split(1)
        self._fewest_buffers = shape.buffers

    def round_up(self, count: int) -> int:
        """Return whole groups."""
        each = self._shape.nonces_per_group
        return max(-(-count // each), 1) * each

    @property
    def datasets(self) -> Sequence[Epoch]:
        """Epochs whose datasets are in memory."""
        return tuple(self._datasets)

    def select(self, epoch: Epoch) -> None:
        """Use the dataset of `epoch`, and a shape with as many buffers."""
        if epoch not in self._datasets:
            raise DeviceError(
                f"{self.info.name}: the dataset of epoch {epoch.number} is not in memory"
            )
        self._selected = self._datasets[epoch]
        self._shape = self._base.split(len(self._selected.buffers))

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        dataset = self._generated()
        with self.calls("reading the dataset"):
            return dataset.read(first, count)

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        dataset = self._generated()
        with self.calls("writing the dataset"):
            dataset.write(first, nodes)

    def _next_number(self) -> int:
        """Return the number of the next launch: 32 bits, not 0, even and odd ones alternating."""
        self._launches = self._launches + 1 if self._launches < 2**32 - 1 else 2
        return self._launches

    def _generated(self) -> DatasetBuffers:
        if self._selected is None:
            raise DeviceError(f"{self.info.name}: no dataset was generated")
        return self._selected

    def _release(self, epoch: Epoch) -> None:
        """Free the memory of a dataset; the caller has made sure that the driver may do so."""
        dataset = self._datasets.pop(epoch, None)
        if dataset is not None:
            if dataset is self._selected:
                self._selected = None
            dataset.release()

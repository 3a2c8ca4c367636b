"""Datasets (DAGs) on disk, for devices that read one faster than they compute it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miner.cached_files import delete_abandoned, delete_oldest, read_checked, write_checked
from miner.devices.device import Device
from miner.progpow.epoch import Epoch
from miner.resources import cache_directory
from miner.verify import Interrupted

DISK_BYTES = 2 << 30
"""Limit of all files together, unless the newest alone is larger; the least recently used are
deleted."""

LEFT_FREE = 1 << 30
"""Bytes of the disk that stay free."""

SLICE_NODES = 1 << 18
"""Nodes that are read or written at once: 16 MiB."""

_SUFFIX = ".dataset"


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """The file for the dataset of `epoch`; any number of processes may use it."""

    epoch: Epoch

    @property
    def path(self) -> Path:
        """The path of the file, in the cache directory; its name has the epoch's parameters."""
        epoch = self.epoch
        name = f"{epoch.seed_epoch}-{epoch.light_items}-{epoch.nodes}-{epoch.parents}{_SUFFIX}"
        return _folder() / name

    def load(self, device: Device) -> Iterator[float]:
        """Write the stored nodes to the selected dataset of `device` and yield the fraction done.

        Without a file, or with a damaged one, the last fraction is below 1. Raises `DeviceError`.
        """
        total, first = self.epoch.nodes, 0
        parts = (np.empty(16 * count, np.uint32).data for _, count in self._slices())
        with suppress(OSError):
            for part in read_checked(self.path, 64 * total, parts):
                nodes = np.frombuffer(part, np.uint32).reshape(-1, 16)
                device.write_nodes(first, nodes)
                first += len(nodes)
                yield min(first / total, 0.99)
            yield 1.0

    def store(self, device: Device, should_stop: Callable[[], bool]) -> None:
        """Write the selected dataset of `device`, then delete files beyond `DISK_BYTES`.

        Nothing is kept when the disk cannot hold it, or when `should_stop` becomes true. Raises
        `DeviceError`.
        """
        with suppress(OSError, Interrupted):
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            delete_abandoned(folder)
            if shutil.disk_usage(folder).free >= self.epoch.dataset_bytes + LEFT_FREE:
                write_checked(self.path, self._parts(device, should_stop))
                delete_oldest(folder, _SUFFIX, max(DISK_BYTES, self.path.stat().st_size))

    def delete(self) -> None:
        """Delete the file, if it exists."""
        with suppress(OSError):
            self.path.unlink()

    def _parts(self, device: Device, should_stop: Callable[[], bool]) -> Iterator[memoryview]:
        for first, count in self._slices():
            if should_stop():
                raise Interrupted
            yield device.read_nodes(first, count).data

    def _slices(self) -> Iterator[tuple[int, int]]:
        nodes = self.epoch.nodes
        for first in range(0, nodes, SLICE_NODES):
            yield first, min(SLICE_NODES, nodes - first)


class Filling:
    """Fills a dataset: reads it from `file`, or else has the device generate it."""

    def __init__(
        self, generating: Iterator[float], file: DatasetFile | None, device: Device
    ) -> None:
        self._generating, self._file, self._device = generating, file, device
        self.loaded = False
        """Whether the whole dataset came from the file."""

    def steps(self) -> Iterator[float]:
        """Fill the dataset and yield the fraction done."""
        if self._file is not None:
            yield next(self._generating)  # allocates and selects the dataset
            for done in self._file.load(self._device):
                self.loaded = done == 1.0
                yield done
        if not self.loaded:
            yield from self._generating


def _folder() -> Path:
    return cache_directory() / "datasets"

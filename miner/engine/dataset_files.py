"""Datasets (DAGs) on disk, for devices that read one faster than they compute it.

A file holds its name, which lists the epoch's parameters, the nodes, and a digest of both.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from miner.cached_files import (
    delete_abandoned,
    delete_oldest,
    open_regular,
    replace_file,
    report_damage,
)
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
        """The path of the file, in the cache directory."""
        epoch = self.epoch
        name = f"{epoch.seed_epoch}-{epoch.light_items}-{epoch.nodes}-{epoch.parents}{_SUFFIX}"
        return _folder() / name

    def load(self, device: Device) -> Iterator[float]:
        """Write the stored nodes to the selected dataset of `device` and yield the fraction done.

        Without a file, or with a damaged one, the last fraction is below 1. Raises `DeviceError`.
        """
        header, digest = self._header(), hashlib.blake2b()
        with suppress(OSError), open_regular(self.path) as file:
            whole = len(header) + self.epoch.nodes * 64 + digest.digest_size
            # Nothing is written to the device for a file of another length.
            if os.fstat(file.fileno()).st_size == whole and file.read(len(header)) == header:
                digest.update(header)
                for first, count in self._slices():
                    nodes = np.empty((count, 16), np.uint32)
                    file.readinto(nodes.data)
                    digest.update(nodes.data)
                    device.write_nodes(first, nodes)
                    yield min((first + count) / self.epoch.nodes, 0.99)
                if file.read() == digest.digest():
                    with suppress(OSError):  # the folder may be read-only
                        os.utime(self.path)
                    yield 1.0
                    return
        report_damage(self.path)

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
                replace_file(self.path, self._parts(device, should_stop))
                delete_oldest(folder, _SUFFIX, max(DISK_BYTES, self.path.stat().st_size))

    def delete(self) -> None:
        """Delete the file, if it exists."""
        with suppress(OSError):
            self.path.unlink()

    def _parts(
        self, device: Device, should_stop: Callable[[], bool]
    ) -> Iterator[bytes | memoryview]:
        header, digest = self._header(), hashlib.blake2b()
        digest.update(header)
        yield header
        for first, count in self._slices():
            if should_stop():
                raise Interrupted
            nodes = device.read_nodes(first, count)
            digest.update(nodes.data)
            yield nodes.data
        yield digest.digest()

    def _header(self) -> bytes:
        return f"{self.path.name}\n".encode()

    def _slices(self) -> Iterator[tuple[int, int]]:
        nodes = self.epoch.nodes
        for first in range(0, nodes, SLICE_NODES):
            yield first, min(SLICE_NODES, nodes - first)


def _folder() -> Path:
    return cache_directory() / "datasets"

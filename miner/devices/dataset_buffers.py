"""A dataset (DAG) in device memory: split over several buffers, filled in timed slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import buffer_shift
from miner.codegen.launch_shape import BUFFER_COUNTS
from miner.errors import OutOfMemory
from miner.formatting import format_count
from miner.progpow.epoch import Epoch

ENTRY_BYTES = 256
NODE_BYTES = 64

FIRST_SLICE = 1 << 14
"""Nodes of the first slice; later slices follow the measured rate."""

LEAST_SLICE = 1024
"""Nodes below which a slice is not halved."""

SLICE_SECONDS = 0.2
"""Aim for the duration of a slice, so that a stop never waits long."""


class BufferMemory(Protocol):
    """A driver's calls for buffers; all of them block, or are completed by `finish`."""

    def allocate(self, size: int) -> Any:
        """Return a buffer of `size` bytes; raises `OutOfMemory` with the driver's reason."""

    def free(self, buffer: Any) -> None:
        """Give `buffer` back to the driver."""

    def copy_out(self, buffer: Any, offset: int, to: NDArray[np.uint32]) -> None:
        """Copy from byte `offset` of `buffer` into `to`."""

    def copy_in(self, buffer: Any, offset: int, data: NDArray[np.uint32]) -> None:
        """Copy `data` to byte `offset` of `buffer`."""

    def finish(self) -> None:
        """Wait for the copies."""


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """Consecutive nodes in one buffer."""

    buffer: Any
    first: int
    """Number of the first node."""
    count: int
    buffer_first: int
    """Number of the buffer's first node."""

    @property
    def offset(self) -> int:
        """Bytes before the first node in the buffer."""
        return (self.first - self.buffer_first) * NODE_BYTES


class DatasetBuffers:
    """Memory for the dataset of `epoch`: `fewest` buffers or, where the driver allocates none
    that large, up to 16 (`BUFFER_COUNTS`).

    Raises `OutOfMemory`, which names the driver's reason for each attempt.
    """

    def __init__(self, memory: BufferMemory, epoch: Epoch, fewest: int) -> None:
        self._memory, self._size = memory, epoch.entries * ENTRY_BYTES
        self.buffers: list[Any] = []
        failures = []
        for count in (n for n in BUFFER_COUNTS if n >= fewest):
            entries = epoch.entries if count == 1 else 1 << buffer_shift(epoch.entries, count)
            try:
                self._allocate(epoch.entries, entries, count)
            except OutOfMemory as error:
                failures.append(f"{format_count(count, 'buffer')}: {error}")
                self.release()
                continue
            self._nodes_each = entries * (ENTRY_BYTES // NODE_BYTES)
            return
        raise OutOfMemory("; ".join(failures))

    def _allocate(self, entries: int, each: int, count: int) -> None:
        for _ in range(count):
            here = max(min(each, entries), 1)
            entries -= here
            self.buffers.append(self._memory.allocate(here * ENTRY_BYTES))

    @property
    def size(self) -> int:
        """Bytes of all buffers."""
        return self._size

    def part(self, first: int, most: int) -> DatasetPart:
        """Return the nodes from `first` to the end of their buffer, at most `most`."""
        which, before = divmod(first, self._nodes_each)
        count = min(most, self._nodes_each - before)
        return DatasetPart(self.buffers[which], first, count, first - before)

    def parts(self, first: int, count: int) -> Iterator[DatasetPart]:
        """Yield the nodes `first` to `first + count - 1`, buffer by buffer."""
        end = first + count
        while first < end:
            part = self.part(first, end - first)
            yield part
            first += part.count

    def read(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        out = np.empty((count, 16), np.uint32)
        for part in self.parts(first, count):
            row = part.first - first
            self._memory.copy_out(part.buffer, part.offset, out[row : row + part.count])
        self._memory.finish()
        return out

    def write(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        data = np.ascontiguousarray(nodes)
        for part in self.parts(first, len(data)):
            row = part.first - first
            self._memory.copy_in(part.buffer, part.offset, data[row : row + part.count])
        self._memory.finish()

    def release(self) -> None:
        """Give the memory back."""
        while self.buffers:
            self._memory.free(self.buffers.pop())


class Filler(Protocol):
    """The dataset kernel of one device with the light cache in its memory."""

    def fill(self, part: DatasetPart) -> None:
        """Compute the nodes of `part`; returns when the device is done."""

    def release(self) -> None:
        """Give kernel and light cache back to the driver."""


def filled(dataset: DatasetBuffers, nodes: int, filler: Filler) -> Iterator[float]:
    """Fill the `nodes` nodes of `dataset`, then release `filler`; yield the fraction done."""
    yield 0.0
    first, size = 0, FIRST_SLICE
    while first < nodes:
        part = dataset.part(first, min(size, nodes - first))
        began = perf_counter()
        filler.fill(part)
        seconds = perf_counter() - began
        first += part.count
        if seconds < SLICE_SECONDS / 2:
            size *= 2
        elif seconds > SLICE_SECONDS * 2 and size > LEAST_SLICE:
            size //= 2
        if first == nodes:
            filler.release()
        yield first / nodes

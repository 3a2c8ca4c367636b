"""A dataset in the memory of an OpenCL device, in one buffer or several."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.search import buffer_shift
from miner.devices.device import DeviceInfo
from miner.devices.split import pieces
from miner.errors import OutOfMemory
from miner.progpow.epoch import Epoch

ENTRY_BYTES = 256
NODE_BYTES = 64


class DatasetBuffers:
    """Memory for the entries of `epoch`: as few buffers as the device allows, from `fewest` on.

    Raises `OutOfMemory` with needed and stated bytes, and what the driver said to each try.
    """

    def __init__(
        self, cl: ModuleType, queue: Any, info: DeviceInfo, epoch: Epoch, fewest: int
    ) -> None:
        self._cl, self._queue = cl, queue
        self.buffers: list[Any] = []
        failures = []
        for count in (n for n in (1, 2, 4) if n >= fewest):
            each = epoch.entries if count == 1 else 1 << buffer_shift(epoch.entries, count)
            try:
                self._allocate(epoch.entries, each, count)
            except (cl.MemoryError, cl.LogicError, cl.RuntimeError) as error:
                failures.append(f"{count} buffer(s): {error_name(cl, error)}")
                self.release()
                continue
            self._nodes_each = each * 4
            return
        raise OutOfMemory(
            f"{info.name}: the dataset of epoch {epoch.number} needs "
            f"{epoch.entries * ENTRY_BYTES:,} bytes; the device has {info.memory:,}, at most "
            f"{info.largest_allocation:,} in one buffer ({'; '.join(failures)})"
        )

    def _allocate(self, entries: int, each: int, count: int) -> None:
        cl = self._cl
        for _ in range(count):
            here = max(min(each, entries), 1)
            entries -= here
            size = here * ENTRY_BYTES
            buffer = cl.Buffer(self._queue.context, cl.mem_flags.READ_WRITE, size)
            self.buffers.append(buffer)
            # Drivers promise memory that they lack: touching the end finds out.
            cl.enqueue_copy(
                self._queue, buffer, np.zeros(64, np.uint32),
                dst_offset=size - ENTRY_BYTES, is_blocking=True,
            )  # fmt: skip

    def pieces(self, first: int, count: int) -> Iterator[tuple[Any, int, slice]]:
        """Yield the parts of the nodes from `first`, as `split.pieces` does."""
        return pieces(self.buffers, self._nodes_each, first, count)

    def read(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        out = np.empty((count, 16), np.uint32)
        for buffer, node, rows in self.pieces(first, count):
            self._cl.enqueue_copy(
                self._queue, out[rows], buffer, src_offset=node * NODE_BYTES, is_blocking=True
            )
        return out

    def write(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        data = np.ascontiguousarray(nodes)
        for buffer, node, rows in self.pieces(first, len(data)):
            self._cl.enqueue_copy(
                self._queue, buffer, data[rows], dst_offset=node * NODE_BYTES, is_blocking=True
            )

    def release(self) -> None:
        """Give the memory back."""
        for buffer in self.buffers:
            buffer.release()
        self.buffers = []


def error_name(cl: ModuleType, error: Exception) -> str:
    """Return the name of the driver's code, or the first line of what pyopencl says."""
    code = getattr(error, "code", None)
    if code is None:
        return str(error).splitlines()[0]
    name: str = cl.status_code.to_string(code, "code %d")
    return name

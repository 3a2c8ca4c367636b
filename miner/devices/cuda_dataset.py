"""A dataset in the memory of a CUDA device, in one buffer or several."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.search import buffer_shift
from miner.devices.split import pieces
from miner.errors import OutOfMemory
from miner.progpow.epoch import Epoch

ENTRY_BYTES = 256
NODE_BYTES = 64


class CudaDataset:
    """Memory for the entries of `epoch`, in `fewest` buffers or, where the driver has none that
    large, in more; taken and used while the device's context is current.

    Asks for the free memory first. Raises `OutOfMemory` with needed and free bytes.
    """

    def __init__(
        self, drv: ModuleType, stream: Any, where: str, epoch: Epoch, light: int, fewest: int
    ) -> None:
        self._drv, self._stream = drv, stream
        self.buffers: list[Any] = []
        self._nodes_each = 0
        need = epoch.entries * ENTRY_BYTES
        free, total = drv.mem_get_info()
        said = (
            f"{where}: the dataset of epoch {epoch.number} needs {need:,} bytes and its light "
            f"cache {light:,}; {free:,} of {total:,} bytes are free"
        )
        if need + light > free:
            raise OutOfMemory(f"{said}; close what else uses the card, or mine a smaller dataset")
        counts = [n for n in (1, 2, 4) if n >= fewest]
        for count in counts:
            each = epoch.entries if count == 1 else 1 << buffer_shift(epoch.entries, count)
            try:
                self._allocate(epoch.entries, each, count)
            except drv.MemoryError as error:
                self.release()
                if count == counts[-1]:
                    raise OutOfMemory(f"{said}, but not in {count} pieces") from error
                continue
            self._nodes_each = each * 4
            return

    def _allocate(self, entries: int, each: int, count: int) -> None:
        for _ in range(count):
            here = max(min(each, entries), 1)
            entries -= here
            self.buffers.append(self._drv.mem_alloc(here * ENTRY_BYTES))

    def pieces(self, first: int, count: int) -> Iterator[tuple[Any, int, slice]]:
        """Yield the parts of the nodes from `first`, as `split.pieces` does."""
        return pieces(self.buffers, self._nodes_each, first, count)

    def read(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        out = np.empty((count, 16), np.uint32)
        for buffer, node, rows in self.pieces(first, count):
            self._drv.memcpy_dtoh_async(out[rows], int(buffer) + node * NODE_BYTES, self._stream)
        self._stream.synchronize()
        return out

    def write(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        data = np.ascontiguousarray(nodes)
        for buffer, node, rows in self.pieces(first, len(data)):
            self._drv.memcpy_htod_async(int(buffer) + node * NODE_BYTES, data[rows], self._stream)
        self._stream.synchronize()

    def release(self) -> None:
        """Give the memory back."""
        while self.buffers:
            self.buffers.pop().free()

"""Memory of OpenCL devices: datasets (DAGs), and the buffers of launches."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.devices.dataset_buffers import ENTRY_BYTES
from miner.devices.device import RESULT_WORDS
from miner.errors import OutOfMemory

HUGE_PAGE = 2 << 20
"""Bytes of a huge page on x86-64 and on most ARM64 systems."""


@dataclass(frozen=True, slots=True)
class OpenClSlot:
    """Buffers of one launch in flight."""

    header: Any
    results: Any
    stop: Any
    """One word that the device reads while it searches: the number of a launch to stop."""
    shared_stop: NDArray[np.uint32] | None
    """`stop` for the host; None: the device does not share the host's memory."""

    @staticmethod
    def allocated(cl: ModuleType, context: Any, *, shares_memory: bool) -> OpenClSlot:
        """Allocate the buffers of a slot; `shares_memory` with the host."""
        flags, shared = cl.mem_flags, None
        word, where = np.zeros(1, np.uint32), flags.COPY_HOST_PTR
        if shares_memory:
            # A whole page, so that the driver uses it in place.
            word = shared = np.frombuffer(mmap.mmap(-1, mmap.PAGESIZE), np.uint32)
            where = flags.USE_HOST_PTR
        stop = cl.Buffer(context, flags.READ_WRITE | where, hostbuf=word)
        return OpenClSlot(
            cl.Buffer(context, flags.READ_ONLY, 32),
            cl.Buffer(context, flags.READ_WRITE, 4 * RESULT_WORDS), stop, shared,
        )  # fmt: skip


class OpenClMemory:
    """Allocates and copies buffers of one queue's context; `in_huge_pages` makes a CPU device a
    third faster."""

    def __init__(self, cl: ModuleType, queue: Any, in_huge_pages: bool) -> None:
        self._cl, self._queue, self._in_huge_pages = cl, queue, in_huge_pages

    def allocate(self, size: int) -> Any:
        """Return a buffer of `size` bytes; raises `OutOfMemory` with the name of the error."""
        cl, end = self._cl, max(size - ENTRY_BYTES, 0)
        flags, buffer = cl.mem_flags, None
        host = huge_pages(size) if self._in_huge_pages else None
        where = flags.USE_HOST_PTR if host is not None else 0
        try:
            buffer = cl.Buffer(self._queue.context, flags.READ_WRITE | where, size, host)
            # Drivers may return a buffer without memory for it; a write to its end then fails.
            zeros = np.zeros(min(ENTRY_BYTES, size), np.uint8)
            cl.enqueue_copy(self._queue, buffer, zeros, dst_offset=end, is_blocking=True)
        except (cl.MemoryError, cl.LogicError, cl.RuntimeError) as error:
            if buffer is not None:
                buffer.release()
            raise OutOfMemory(error_name(cl, error)) from error
        return buffer

    def free(self, buffer: Any) -> None:
        buffer.release()

    def copy_out(self, buffer: Any, offset: int, to: NDArray[np.uint32]) -> None:
        self._cl.enqueue_copy(self._queue, to, buffer, src_offset=offset, is_blocking=True)

    def copy_in(self, buffer: Any, offset: int, data: NDArray[np.uint32]) -> None:
        self._cl.enqueue_copy(self._queue, buffer, data, dst_offset=offset, is_blocking=True)

    def finish(self) -> None:
        """Do nothing: the copies have blocked."""


def huge_pages(size: int) -> NDArray[np.uint8] | None:
    """Return `size` bytes of memory, aligned to pages of 2 MiB, and advise the system to use such
    pages; None if it has neither pages nor memory."""
    advice = getattr(mmap, "MADV_HUGEPAGE", None)
    if advice is None:
        return None
    try:
        # Private: Linux gives a shared mapping, Python's default, small pages.
        memory = mmap.mmap(-1, size + HUGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        memory.madvise(advice)
    except OSError:
        return None
    whole = np.frombuffer(memory, np.uint8)
    start = -whole.ctypes.data % HUGE_PAGE
    return whole[start : start + size]


def error_name(cl: ModuleType, error: Exception) -> str:
    """Return the name of the driver's error code, or the first line of PyOpenCL's message."""
    code = getattr(error, "code", None)
    if code is None:
        return (str(error).splitlines() or [type(error).__name__])[0]
    name: str = cl.status_code.to_string(code, "code %d")
    return name

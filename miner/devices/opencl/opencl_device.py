"""An OpenCL device: its queue, kernels and dataset (DAG)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import perf_counter
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import (
    RESULT_SLOTS,
    KernelSource,
    buffer_shift,
    group_size,
    nodes_per_group,
)
from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.devices.buildlog import write_build_log
from miner.devices.dataset_buffers import pieces
from miner.devices.device import Device, DeviceInfo, Found, Hit, Image
from miner.devices.opencl.opencl_platforms import identity, make_vendors_findable
from miner.errors import BackendUnavailable, BuildFailed, DeviceError, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.work import Job, NonceRange

_FIRST_SLICE = 1 << 14
"""Nodes of the first dataset slice; later ones follow the measured rate."""

_SLICE_SECONDS = 0.2
"""Seconds that a dataset slice should take, so that a stop never waits long."""

_RESULT_WORDS = 4 + 4 * RESULT_SLOTS


def _driver() -> ModuleType:
    make_vendors_findable()
    os.environ.setdefault("PYOPENCL_NO_CACHE", "1")  # its cache never evicts
    try:
        import pyopencl
    except ImportError as error:
        raise BackendUnavailable(
            "PyOpenCL is not installed: pip install 'progpow-miner[opencl]', or [cpu] for "
            "mining on the CPU"
        ) from error
    # Compilers that say "done" make pyopencl warn; a failure carries its log anyway.
    warnings.filterwarnings("ignore", message="Non-empty compiler output")
    module: ModuleType = pyopencl
    return module


@contextmanager
def _translated(what: str, name: str) -> Iterator[None]:
    """Turn the driver's errors into ours, with the code's name."""
    import pyopencl as cl

    try:
        yield
    except cl.MemoryError as error:
        raise OutOfMemory(f"{name}: {what}: out of memory ({error_name(cl, error)})") from error
    except cl.Error as error:
        raise DeviceError(f"{name}: {what}: {error_name(cl, error)}") from error


class OpenCLBackend:
    """Every device of every platform, named opencl:PLATFORM.DEVICE."""

    name = "opencl"

    def devices(self) -> Sequence[DeviceInfo]:
        """List them; raises `BackendUnavailable` where there is no package or no platform."""
        return [info for info, _ in self._found()]

    def _found(self) -> list[tuple[DeviceInfo, Any]]:
        cl = _driver()
        try:
            platforms = cl.get_platforms()
        except cl.Error as error:
            raise BackendUnavailable(
                "no OpenCL platform: install the graphics driver's OpenCL part, or "
                "progpow-miner[cpu] for mining on the CPU"
            ) from error
        found = []
        for p, platform in enumerate(platforms):
            try:
                devices = platform.get_devices()
            except cl.Error:
                continue
            for d, device in enumerate(devices):
                found.append((identity(cl, f"opencl:{p}.{d}", platform, device), device))
        return found

    def open(self, info: DeviceInfo) -> Device:
        """Open the device that `devices` listed as `info`."""
        for known, device in self._found():
            if known.name == info.name:
                return OpenCLDevice(known, device)
        raise DeviceError(f"{info.name}: the device is gone")


class OpenCLDevice:
    """An open OpenCL device with its dataset."""

    dialect = "opencl"

    def __init__(self, info: DeviceInfo, device: Any) -> None:
        self._cl = _driver()
        self.info = info
        self._device = device
        self._base = shape_named("cpu" if info.kind == "cpu" else "gpu")
        self._shape = self._base
        self._fewest_buffers = 1
        self._dataset: DatasetBuffers | None = None
        with _translated("opening", info.name):
            self._context = self._cl.Context([device])
            self._queue = self._cl.CommandQueue(self._context, device)
            flags = self._cl.mem_flags
            self._headers = [self._cl.Buffer(self._context, flags.READ_ONLY, 32) for _ in range(2)]
            self._results = [
                self._cl.Buffer(self._context, flags.READ_WRITE, 4 * _RESULT_WORDS)
                for _ in range(2)
            ]
        self._slot = 0

    @property
    def shape(self) -> LaunchShape:
        """The shape of search programs, with the buffers of the newest dataset."""
        return self._shape

    def take_shape(self, shape: LaunchShape) -> None:
        """Use `shape` from the next `generate` on."""
        self._base = self._shape = shape.split(1)
        self._fewest_buffers = shape.buffers

    def build(self, source: KernelSource) -> Image:
        """Compile in the calling thread; raises `BuildFailed`."""
        cl = self._cl
        try:
            program = cl.Program(self._context, source.text)
            program.build(options=list(source.options))
        except cl.Error as error:
            path = write_build_log(source, str(error))
            raise BuildFailed(
                f"{self.info.name}: {source.title} does not compile; log and source: {path}"
            ) from error
        return Image(source, program)

    def load(self, image: Image) -> Any:
        """Return the kernel; it is kept, since making one costs half a millisecond."""
        with _translated(f"loading {image.source.title}", self.info.name):
            return self._cl.Kernel(image.program, image.source.entry)

    def discard(self, image: Image) -> None:
        """Nothing is kept of any."""

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Fill the dataset in slices; see the contract."""
        self._free()
        cl, name = self._cl, self.info.name
        dataset = DatasetBuffers(cl, self._queue, self.info, epoch, self._fewest_buffers)
        self._dataset = dataset
        self._shape = self._base.split(len(dataset.buffers))
        with _translated("building the dataset", name):
            kernel = cl.Kernel(filler.program, filler.source.entry)
            flags = cl.mem_flags
            light_buffer = cl.Buffer(
                self._context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=light
            )
        yield 0.0
        group, each = group_size(self._base), nodes_per_group(self._base)
        first, step = 0, _FIRST_SLICE
        while first < epoch.nodes:
            buffer, node, rows = next(dataset.pieces(first, min(step, epoch.nodes - first)))
            count = rows.stop
            with _translated("generating the dataset", name):
                groups = -(-count // each)
                kernel.set_args(
                    light_buffer, buffer,
                    np.uint32(first), np.uint32(count), np.uint32(first - node),
                )  # fmt: skip
                began = perf_counter()
                cl.enqueue_nd_range_kernel(self._queue, kernel, (groups * group,), (group,)).wait()
                spent = perf_counter() - began
            first += count
            if spent < _SLICE_SECONDS / 2:
                step *= 2
            elif spent > _SLICE_SECONDS * 2 and step > 1024:
                step //= 2
            yield first / epoch.nodes
        light_buffer.release()

    def _generated(self) -> DatasetBuffers:
        if self._dataset is None:
            raise DeviceError(f"{self.info.name}: no dataset was generated")
        return self._dataset

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        dataset = self._generated()
        with _translated("reading the dataset", self.info.name):
            return dataset.read(first, count)

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        dataset = self._generated()
        with _translated("writing the dataset", self.info.name):
            dataset.write(first, nodes)

    def round_up(self, count: int) -> int:
        """Return whole groups."""
        each = self._shape.nonces_per_group
        return max(-(-count // each), 1) * each

    def launch(self, kernel: Any, job: Job, span: NonceRange) -> _OpenClLaunch:
        """Start a search; the queue is in order, so the slot's last use has been waited for."""
        cl, slot = self._cl, self._slot
        self._slot = 1 - slot
        header, results = self._headers[slot], self._results[slot]
        words = np.frombuffer(job.header_hash, np.uint8).copy()
        with _translated("launching", self.info.name):
            cl.enqueue_copy(self._queue, header, words, is_blocking=False)
            cl.enqueue_fill_buffer(self._queue, results, np.uint32(0), 0, 16)
            kernel.set_args(
                *self._generated().buffers, header, np.uint64(span.first),
                np.uint64(job.target >> 192), results,
            )  # fmt: skip
            groups = span.count // self._shape.nonces_per_group
            threads = self._shape.threads
            cl.enqueue_nd_range_kernel(self._queue, kernel, (groups * threads,), (threads,))
            out = np.empty(_RESULT_WORDS, np.uint32)
            event = cl.enqueue_copy(self._queue, out, results, is_blocking=False)
            self._queue.flush()
        return _OpenClLaunch(self.info.name, event, out, words, span)

    def close(self) -> None:
        """Wait for the queue, then give all memory back."""
        with suppress(self._cl.Error):  # a failed device is closed all the same
            self._queue.finish()
        self._free()
        for buffer in (*self._headers, *self._results):
            buffer.release()

    def _free(self) -> None:
        if self._dataset is not None:
            self._dataset.release()
            self._dataset = None


@dataclass(slots=True)
class _OpenClLaunch:
    name: str
    event: Any
    out: NDArray[np.uint32]
    header: NDArray[np.uint8]
    """Kept alive until the copy from it is done."""
    span: NonceRange

    def wait(self) -> Found:
        """Block until the launch is done."""
        with _translated("searching", self.name):
            self.event.wait()
        total = int(self.out[0])
        hits = []
        for slot in range(min(total, RESULT_SLOTS)):
            offset, first, second, mix = (int(w) for w in self.out[4 + 4 * slot :][:4])
            hits.append(Hit(self.span.first + offset, (first, second), mix))
        return Found(self.span.count, tuple(hits), total)


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

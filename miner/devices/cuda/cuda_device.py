"""A CUDA device: its context, kernels, launches and dataset (DAG)."""

from __future__ import annotations

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
from miner.devices.cuda.cuda_compiler import Builds
from miner.devices.cuda.cuda_driver import (
    device_error,
    driver,
    driver_text,
    error_name,
    is_harmless,
)
from miner.devices.cuda.cuda_identity import identity, silent
from miner.devices.dataset_buffers import pieces
from miner.devices.device import Device, DeviceInfo, Found, Hit, Image
from miner.errors import BackendUnavailable, BuildFailed, DeviceError, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.work import Job, NonceRange

_RESULT_WORDS = 4 + 4 * RESULT_SLOTS


class CudaKernel:
    """A module with its only kernel, until it is unloaded."""

    def __init__(self) -> None:
        self._module: Any = None
        self._function: Any = None

    def load(self, drv: ModuleType, image: Image, arguments: str) -> None:
        """Load `image`; `arguments` has a letter of `struct` for each argument."""
        self._module = drv.module_from_buffer(image.program)
        self._function = self._module.get_function(image.source.entry)
        self._function.prepare(arguments)

    def launch(self, groups: int, threads: int, stream: Any, *arguments: int) -> None:
        """Start it."""
        if self._function is None:
            raise DeviceError("this kernel was unloaded when the next one was loaded")
        self._function.prepared_async_call((groups, 1), (threads, 1, 1), stream, *arguments)

    def unload(self) -> None:
        """Give it back to the driver, while the context that it was loaded in is current."""
        self._function = self._module = None


@dataclass(frozen=True, slots=True)
class LaunchSlot:
    """What one launch in flight needs; host memory is pinned."""

    header: NDArray[np.uint8]
    results: NDArray[np.uint32]
    device_header: Any
    device_results: Any
    done: Any
    """An event after the results' copy."""

    @staticmethod
    def of(drv: ModuleType) -> LaunchSlot:
        """Take it in the current context."""
        flags = drv.event_flags.DISABLE_TIMING | drv.event_flags.BLOCKING_SYNC
        return LaunchSlot(
            drv.pagelocked_empty(32, np.uint8),
            drv.pagelocked_empty(_RESULT_WORDS, np.uint32),
            drv.mem_alloc(32),
            drv.mem_alloc(4 * _RESULT_WORDS),
            drv.Event(flags),
        )


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


_FIRST_SLICE = 1 << 14
"""Nodes of the first dataset slice; later ones follow the measured rate."""

_SLICE_SECONDS = 0.2
"""Seconds that a dataset slice should take, so that a stop never waits long."""

_OWN_STREAM = 1
"""CU_STREAM_NON_BLOCKING: it waits for no other stream."""


DATASET_ARGUMENTS = "PPIII"
"""Of the kernel that fills a dataset, a letter of `struct` each: light cache, where to, first
node, count, first node of the buffer."""


def search_arguments(buffers: int) -> str:
    """Return the letters of a search's arguments: the dataset's buffers, header, first nonce,
    target, results."""
    return "P" * buffers + "PQQP"


class CudaBackend:
    """Every card that NVIDIA's driver shows, named cuda:N in the order of PCI addresses."""

    name = "cuda"

    def devices(self) -> Sequence[DeviceInfo]:
        """List them; raises `BackendUnavailable` where PyCUDA or the driver is missing."""
        drv = driver()
        try:
            count = drv.Device.count()
        except drv.Error as error:
            raise BackendUnavailable(
                f"the NVIDIA driver does not count its devices: {error_name(error)}"
            ) from error
        return [self._info(drv, ordinal) for ordinal in range(count)]

    def open(self, info: DeviceInfo) -> Device:
        """Open the device that `devices` listed as `info`."""
        ordinal = int(info.name.removeprefix("cuda:"))
        known = self._info(driver(), ordinal)
        if known.unusable:
            raise DeviceError(f"{known.name}: {known.unusable}")
        if known.uuid != info.uuid:
            raise DeviceError(f"{info.name}: the device is gone")
        return CudaDevice(known, ordinal)

    @staticmethod
    def _info(drv: ModuleType, ordinal: int) -> DeviceInfo:
        """What is known of one card; a card that fails takes no other with it."""
        release = driver_text().removeprefix("driver ")
        try:
            return identity(drv, ordinal, release)
        except drv.Error as error:
            return silent(ordinal, release, error_name(error))


class CudaDevice:
    """An open card with its dataset; the thread that opened it owns its context."""

    dialect = "cuda"
    shares_images = True

    def __init__(self, info: DeviceInfo, ordinal: int) -> None:
        self._drv: ModuleType = driver()
        self.info = info
        self._where = f"{info.name} at {info.pci}"
        self._base = self._shape = shape_named("gpu")
        self._fewest_buffers = 1
        self._dataset: CudaDataset | None = None
        self._light: Any = None
        self._kernel: CudaKernel | None = None
        self._filler: CudaKernel | None = None
        self._failed = ""
        self._turn = 0
        drv = self._drv
        try:
            card = drv.Device(ordinal)
            self._builds = Builds(card.compute_capability())
            self._context = card.make_context(drv.ctx_flags.SCHED_BLOCKING_SYNC)
            self._open = True
            # No context stays current between calls: a thread may have several devices, and
            # PyCUDA ends the process when a thread ends with one.
            try:
                drv.Context.pop()
            except drv.Error:
                self.close()
                raise
        except drv.Error as error:
            raise device_error(error_name(error), self._where, "opening") from error
        try:
            with self._current("opening"):
                self._stream = drv.Stream(_OWN_STREAM)
                self._slots = [LaunchSlot.of(drv) for _ in range(2)]
        except DeviceError:
            self.close()
            raise

    @property
    def shape(self) -> LaunchShape:
        """The shape of search programs, with the buffers of the newest dataset."""
        return self._shape

    def take_shape(self, shape: LaunchShape) -> None:
        """Use `shape` from the next `generate` on; raises `BuildFailed` for one of CPUs."""
        if shape.family != "lanes":
            raise BuildFailed(
                f"{self._where}: the shape {shape.name!r} is made for CPUs; leave it out"
            )
        self._base = self._shape = shape.split(1)
        self._fewest_buffers = shape.buffers

    @contextmanager
    def _current(self, what: str) -> Iterator[None]:
        """Make the context current for `what`, and turn the driver's errors into ours."""
        if not self._open:
            raise DeviceError(f"{self._where}: {what}: the device is closed")
        if self._failed:
            raise DeviceError(f"{self._where}: {what}: it failed before ({self._failed})")
        try:
            self._context.push()
            try:
                yield
            finally:
                self._drv.Context.pop()
        except self._drv.Error as error:
            name = error_name(error)
            if not is_harmless(name):
                self._failed = name
            raise device_error(name, self._where, what) from error

    def build(self, source: KernelSource) -> Image:
        """Compile in the calling thread, without the context; raises `BuildFailed`."""
        try:
            return Image(source, self._builds.build(source))
        except BuildFailed as error:
            raise BuildFailed(f"{self._where}: {error}") from error

    def discard(self, image: Image) -> None:
        """Forget it on the disk too."""
        self._builds.discard(image.source)

    def load(self, image: Image) -> CudaKernel:
        """Return the kernel; the one before it is unloaded."""
        with self._current(f"loading {image.source.title}"):
            self._stream.synchronize()
            if self._kernel is not None:
                self._kernel.unload()
            self._kernel = kernel = CudaKernel()
            kernel.load(self._drv, image, search_arguments(self._shape.buffers))
        return kernel

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Fill the dataset in slices; see the contract."""
        self._free()
        drv, base = self._drv, self._base
        with self._current("taking memory for the dataset"):
            self._dataset = dataset = CudaDataset(
                drv, self._stream, self._where, epoch, light.nbytes, self._fewest_buffers
            )
            self._light = drv.mem_alloc(light.nbytes)
            drv.memcpy_htod_async(self._light, np.ascontiguousarray(light), self._stream)
            self._stream.synchronize()
            self._filler = CudaKernel()
            self._filler.load(drv, filler, DATASET_ARGUMENTS)
        self._shape = base.split(len(dataset.buffers))
        yield 0.0
        first, step = 0, _FIRST_SLICE
        while first < epoch.nodes:
            buffer, node, rows = next(dataset.pieces(first, min(step, epoch.nodes - first)))
            count = rows.stop
            with self._current("generating the dataset"):
                began = perf_counter()
                self._filler.launch(
                    -(-count // nodes_per_group(base)), group_size(base), self._stream,
                    int(self._light), int(buffer), first, count, first - node,
                )  # fmt: skip
                self._stream.synchronize()
                spent = perf_counter() - began
            first += count
            if spent < _SLICE_SECONDS / 2:
                step *= 2
            elif spent > _SLICE_SECONDS * 2 and step > 1024:
                step //= 2
            if first == epoch.nodes:
                with self._current("generating the dataset"):
                    self._free_filler()
            yield first / epoch.nodes

    def _generated(self) -> CudaDataset:
        if self._dataset is None:
            raise DeviceError(f"{self.info.name}: no dataset was generated")
        return self._dataset

    def read_nodes(self, first: int, count: int) -> NDArray[np.uint32]:
        """Return nodes, shape (count, 16)."""
        dataset = self._generated()
        with self._current("reading the dataset"):
            return dataset.read(first, count)

    def write_nodes(self, first: int, nodes: NDArray[np.uint32]) -> None:
        """Overwrite nodes, shape (count, 16)."""
        dataset = self._generated()
        with self._current("writing the dataset"):
            dataset.write(first, nodes)

    def round_up(self, count: int) -> int:
        """Return whole groups."""
        each = self._shape.nonces_per_group
        return max(-(-count // each), 1) * each

    def launch(self, kernel: CudaKernel, job: Job, span: NonceRange) -> _CudaLaunch:
        """Start a search; the stream is in order, the slot's last use has been waited for."""
        drv, slot, dataset = self._drv, self._slots[self._turn], self._generated()
        with self._current("launching"):
            slot.header[:] = np.frombuffer(job.header_hash, np.uint8)
            drv.memcpy_htod_async(slot.device_header, slot.header, self._stream)
            drv.memset_d32_async(int(slot.device_results), 0, 4, self._stream)
            kernel.launch(
                span.count // self._shape.nonces_per_group, self._shape.threads, self._stream,
                *map(int, dataset.buffers), int(slot.device_header), span.first,
                job.target >> 192, int(slot.device_results),
            )  # fmt: skip
            drv.memcpy_dtoh_async(slot.results, slot.device_results, self._stream)
            slot.done.record(self._stream)
        self._turn = 1 - self._turn
        return _CudaLaunch(self, slot, span)

    def landed(self, slot: LaunchSlot) -> NDArray[np.uint32]:
        """Wait for the slot's launch; return a copy of its result words."""
        with self._current("searching"):
            slot.done.synchronize()
            return np.array(slot.results)

    def close(self) -> None:
        """Wait for what runs, then give all back; after a failure, without waiting."""
        if not self._open:
            return
        if not self._failed:
            with suppress(DeviceError), self._current("closing"):
                self._stream.synchronize()
        self._open = False
        # All that the context owns goes with it. Objects that are dropped later find it gone;
        # dropped earlier, after a failure, they would end the process.
        with suppress(self._drv.Error):
            self._context.detach()
        self._dataset = self._light = self._kernel = self._filler = None

    def _free(self) -> None:
        with self._current("giving the dataset back"):
            self._free_filler()
            if self._dataset is not None:
                self._stream.synchronize()
                self._dataset.release()
                self._dataset = None

    def _free_filler(self) -> None:
        if self._filler is not None:
            self._filler.unload()
            self._filler = None
        if self._light is not None:
            self._light.free()
            self._light = None


@dataclass(slots=True)
class _CudaLaunch:
    device: CudaDevice
    slot: LaunchSlot
    span: NonceRange

    def wait(self) -> Found:
        """Block until the launch is done."""
        words = self.device.landed(self.slot)
        total = int(words[0])
        hits = []
        for slot in range(min(total, RESULT_SLOTS)):
            offset, first, second, mix = (int(w) for w in words[4 + 4 * slot :][:4])
            hits.append(Hit(self.span.first + offset, (first, second), mix))
        return Found(self.span.count, tuple(hits), total)

"""A CUDA device: its kernels, launches and datasets (DAGs)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import KernelSource, group_size, nodes_per_group
from miner.codegen.launch_shape import STREAM_COUNTS, LaunchShape
from miner.devices.buffered_device import LEFT_TO_OTHERS, BufferedDevice, GroupLimits
from miner.devices.cuda import CUDA
from miner.devices.cuda.cuda_builds import Builds
from miner.devices.cuda.cuda_card import CudaContext, identity
from miner.devices.cuda.cuda_driver import driver, error_name
from miner.devices.dataset_buffers import ENTRY_BYTES, DatasetBuffers, DatasetPart, filled
from miner.devices.device import RESULT_WORDS, Device, DriverCalls, Image, LaunchResult
from miner.errors import BackendUnavailable, BuildFailed, DeviceError, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.work import DeviceInfo, Job, NonceRange

DATASET_ARGUMENTS = "PPIII"
"""Arguments of the dataset kernel as letters of `struct`: light cache, buffer, first node, number
of nodes, first node of the buffer."""


def search_arguments(buffers: int) -> str:
    """Return the arguments of a search kernel as letters of `struct`: the dataset's buffers,
    header, first nonce, target, results, stop word, number of the launch."""
    return "P" * buffers + "PQQPPI"


LARGEST_GROUP = 1024
"""Most threads of a group, on every card."""

_HEADER_BYTES = 32
_COUNTER_BYTES = 16
"""Size of the first words of the results, which are 0 when a launch starts."""

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: the stream does not wait for the default stream."""


def list_devices() -> Sequence[DeviceInfo]:
    """Return every card that NVIDIA's driver shows, named cuda:N in the order of PCI addresses;
    raises `BackendUnavailable` when PyCUDA or the driver is missing."""
    drv = driver()
    try:
        count = drv.Device.count()
    except drv.Error as error:
        raise BackendUnavailable(
            f"the NVIDIA driver does not count its devices: {error_name(error)}"
        ) from error
    return [identity(drv, ordinal) for ordinal in range(count)]


def open_device(info: DeviceInfo) -> Device:
    """Open the device that `list_devices` returned as `info`."""
    ordinal = int(info.name.removeprefix(f"{CUDA.name}:"))
    known = identity(driver(), ordinal)
    if known.unusable:
        raise DeviceError(f"{known.name}: {known.unusable}")
    if known.uuid != info.uuid:
        raise DeviceError(f"{info.name}: the device is gone")
    return CudaDevice(known, ordinal)


class CudaDevice(BufferedDevice):
    """An open card with its datasets; the thread that opened it owns its context."""

    dialect = CUDA.dialect
    shares_images = True

    def __init__(self, info: DeviceInfo, ordinal: int) -> None:
        super().__init__(info, CUDA.shape_for(info))
        self._drv = drv = driver()
        self._where = f"{info.name} at {info.pci}"
        self._kernels: set[CudaKernel] = set()
        self._filler: _CudaFiller | None = None
        self._streams: list[Any] = []
        self._slots: list[CudaSlot] = []
        self._context = CudaContext(ordinal, self._where)
        self._builds = Builds(self._context.capability)
        try:
            with self.calls("opening"):
                for _ in range(max(STREAM_COUNTS)):
                    self._streams.append(drv.Stream(_NON_BLOCKING))
                    self._slots.append(CudaSlot.allocated(drv))
        except DeviceError:
            self.close()
            raise

    def take_shape(self, shape: LaunchShape) -> None:
        """Use `shape` from the next `generate` on; raises `BuildFailed` for a shape of CPUs and for
        one that is too large."""
        if shape.family != "lanes":
            raise BuildFailed(f"{self._where}: the shape {shape.name!r} is for CPUs; remove it")
        super().take_shape(shape)

    def group_limits(self) -> GroupLimits:
        return GroupLimits(LARGEST_GROUP, self._context.shared_bytes)

    def calls(self, what: str) -> AbstractContextManager[None]:
        """Make the context current, and raise the driver's errors as ours."""
        return self._context.current(what)

    # Programs

    def build(self, source: KernelSource) -> Image:
        """Compile in the calling thread, without the context; raises `BuildFailed`."""
        try:
            return Image(source, self._builds.build(source))
        except BuildFailed as error:
            raise BuildFailed(f"{self._where}: {error}") from error

    def discard(self, image: Image) -> None:
        """Delete the image from the cache on disk."""
        self._builds.discard(image.source)

    def load(self, image: Image) -> CudaKernel:
        """Return the kernel, which takes the buffers of the selected dataset."""
        kernel = CudaKernel()
        self._kernels.add(kernel)
        with self.calls(f"loading {image.source.title}"):
            kernel.load(self._drv, image, search_arguments(self._shape.buffers))
        return kernel

    def unload(self, kernel: CudaKernel) -> None:
        """Give the kernel's module back to the driver; other kernels may run meanwhile."""
        with self.calls("unloading a kernel"):
            kernel.unload()
        self._kernels.discard(kernel)

    # Datasets

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        self.drop(epoch)
        with self.calls("taking memory for the dataset"):
            self._datasets[epoch] = dataset = self._allocated(epoch, light.nbytes)
            self._filler = _CudaFiller(self._drv, self._context, self._streams[0], self._base)
            self._filler.load(filler, light)
        self.select(epoch)
        yield from filled(dataset, epoch.nodes, self._filler)

    def drop(self, epoch: Epoch) -> None:
        """Free the dataset of `epoch`, and the light cache of an abandoned generation."""
        with self.calls("freeing the dataset"):
            if self._filler is not None:
                self._filler.free()
                self._filler = None
            self._release(epoch)

    def spare_memory(self) -> int:
        """Return the card's free memory without an eighth of all memory."""
        with self.calls("reading the free memory"):
            free, total = self._drv.mem_get_info()
        return int(free) - int(total) // LEFT_TO_OTHERS

    def _allocated(self, epoch: Epoch, light: int) -> DatasetBuffers:
        """Check the free memory, then allocate."""
        need = epoch.entries * ENTRY_BYTES
        free, total = self._drv.mem_get_info()
        numbers = (
            f"{self._where}: the dataset of epoch {epoch.number} needs {need:,} bytes and its "
            f"light cache {light:,}; {free:,} of {total:,} bytes are free"
        )
        if need + light > free:
            raise OutOfMemory(f"{numbers}; close other programs on the card, or mine another coin")
        try:
            memory = _CudaMemory(self._drv, self._streams[0])
            return DatasetBuffers(memory, epoch, self._fewest_buffers)
        except OutOfMemory as error:
            raise OutOfMemory(f"{numbers}, but cannot be allocated ({error})") from error

    # Launches

    def launch(self, kernel: CudaKernel, job: Job, span: NonceRange) -> _CudaLaunch:
        """Start a search. Launches alternate between the shape's streams, and between two slots;
        the launch that last used the same slot has ended."""
        drv, dataset = self._drv, self._generated()
        number = self._next_number()
        slot, per_group = self._slots[number % 2], self._shape.nonces_per_group
        stream = self._streams[number % self._shape.streams]
        with self.calls("launching"):
            slot.request[:_HEADER_BYTES] = np.frombuffer(job.header_hash, np.uint8)
            # A copy, since a memset would wait for a free multiprocessor.
            drv.memcpy_htod_async(slot.memory, slot.request, stream)
            results = int(slot.memory) + _HEADER_BYTES
            kernel.launch(
                span.count // per_group, self._shape.threads, stream,
                *map(int, dataset.buffers), int(slot.memory), span.first, job.target >> 192,
                results, slot.stop_address, number,
            )  # fmt: skip
            drv.memcpy_dtoh_async(slot.results, results, stream)
            slot.done.record(stream)
        return _CudaLaunch(self._context, slot, span, number, per_group)

    def close(self) -> None:
        """Wait for what runs, then free everything; after a failure, without waiting."""
        if not self._context.is_open:
            return
        if not self._context.has_failed:
            with suppress(DeviceError), self.calls("closing"):
                for stream in self._streams:
                    stream.synchronize()
        # The context frees everything in it. PyCUDA's objects may be dropped after that; dropped
        # before, in a context that has failed, they would end the process.
        self._context.close()
        self._selected = self._filler = None
        self._datasets.clear()
        self._kernels.clear()


class CudaKernel:
    """A module with one kernel, until it is unloaded."""

    def __init__(self) -> None:
        self._module: Any = None
        self._function: Any = None
        self._dynamic_bytes = 0

    def load(self, drv: ModuleType, image: Image, arguments: str) -> None:
        """Load `image`, whose kernel takes `arguments` (letters of `struct`)."""
        self._module = drv.module_from_buffer(image.program)
        self._function = self._module.get_function(image.source.entry)
        self._function.prepare(arguments)
        self._dynamic_bytes = image.source.dynamic_bytes
        if self._dynamic_bytes:
            allowed = drv.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._function.set_attribute(allowed, self._dynamic_bytes)

    def launch(self, groups: int, threads: int, stream: Any, *arguments: int) -> None:
        if self._function is None:
            raise DeviceError("this kernel was unloaded")
        self._function.prepared_async_call(
            (groups, 1), (threads, 1, 1), stream, *arguments, shared_size=self._dynamic_bytes
        )

    def unload(self) -> None:
        """Give the module back to the driver, while its context is current."""
        self._function = self._module = None


@dataclass(frozen=True, slots=True)
class CudaSlot:
    """Memory of one launch in flight; host memory is pinned."""

    request: NDArray[np.uint8]
    """The header, then zeros for the first words of the results."""
    results: NDArray[np.uint32]
    memory: Any
    """Header, then results, on the card."""
    stop: NDArray[np.uint32]
    """One word that the card reads while it searches: the number of a launch to stop."""
    stop_address: int
    """Address of `stop` on the card."""
    done: Any
    """Event after the copy of the results."""

    @staticmethod
    def allocated(drv: ModuleType) -> CudaSlot:
        """Allocate a slot in the current context."""
        flags = drv.event_flags.DISABLE_TIMING | drv.event_flags.BLOCKING_SYNC
        stop = drv.pagelocked_zeros(1, np.uint32, mem_flags=drv.host_alloc_flags.DEVICEMAP)
        return CudaSlot(
            drv.pagelocked_zeros(_HEADER_BYTES + _COUNTER_BYTES, np.uint8),
            drv.pagelocked_empty(RESULT_WORDS, np.uint32),
            drv.mem_alloc(_HEADER_BYTES + 4 * RESULT_WORDS),
            stop,
            int(stop.base.get_device_pointer()),
            drv.Event(flags),
        )


@dataclass(slots=True)
class _CudaLaunch:
    context: CudaContext
    slot: CudaSlot
    span: NonceRange
    number: int
    per_group: int

    def stop(self, calls: DriverCalls) -> None:
        """Write the launch's number to memory that the card reads."""
        if self.context.is_open:  # else the memory is gone
            self.slot.stop[0] = self.number

    def wait(self) -> LaunchResult:
        with self.context.current("searching"):
            self.slot.done.synchronize()
            words = np.array(self.slot.results)  # the next launch of the slot overwrites it
        return LaunchResult.decoded(words, self.span, self.per_group)


class _CudaFiller:
    """The dataset kernel and the light cache; `load`ed, then used, then released."""

    def __init__(
        self, drv: ModuleType, context: CudaContext, stream: Any, shape: LaunchShape
    ) -> None:
        self._drv, self._context, self._stream = drv, context, stream
        self._group, self._nodes = group_size(shape), nodes_per_group(shape)
        self._light: Any = None
        self._kernel = CudaKernel()

    def load(self, image: Image, light: NDArray[np.uint32]) -> None:
        """Copy the light cache to the card, and load the kernel."""
        self._light = self._drv.mem_alloc(light.nbytes)
        self._drv.memcpy_htod_async(self._light, np.ascontiguousarray(light), self._stream)
        self._stream.synchronize()
        self._kernel.load(self._drv, image, DATASET_ARGUMENTS)

    def fill(self, part: DatasetPart) -> None:
        with self._context.current("generating the dataset"):
            self._kernel.launch(
                -(-part.count // self._nodes), self._group, self._stream,
                int(self._light), int(part.buffer), part.first, part.count, part.buffer_first,
            )  # fmt: skip
            self._stream.synchronize()

    def release(self) -> None:
        """Free the memory, outside the context."""
        with self._context.current("generating the dataset"):
            self.free()

    def free(self) -> None:
        """Free the memory, while the context is current."""
        self._kernel.unload()
        if self._light is not None:
            self._light.free()
            self._light = None


class _CudaMemory:
    """Buffers in the current context; the copies are queued until `finish`."""

    def __init__(self, drv: ModuleType, stream: Any) -> None:
        self._drv, self._stream = drv, stream

    def allocate(self, size: int) -> Any:
        """Return a buffer of `size` bytes; raises `OutOfMemory` with the name of the error."""
        try:
            return self._drv.mem_alloc(size)
        except self._drv.MemoryError as error:
            raise OutOfMemory(error_name(error)) from error

    def free(self, buffer: Any) -> None:
        buffer.free()

    def copy_out(self, buffer: Any, offset: int, to: NDArray[np.uint32]) -> None:
        self._drv.memcpy_dtoh_async(to, int(buffer) + offset, self._stream)

    def copy_in(self, buffer: Any, offset: int, data: NDArray[np.uint32]) -> None:
        self._drv.memcpy_htod_async(int(buffer) + offset, data, self._stream)

    def finish(self) -> None:
        self._stream.synchronize()

"""An OpenCL device: its queue, kernels, launches and datasets (DAGs)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import KernelSource, group_size, nodes_per_group
from miner.codegen.launch_shape import STREAM_COUNTS, LaunchShape, shape_named
from miner.devices.buffered_device import LEFT_TO_OTHERS, BufferedDevice, GroupLimits
from miner.devices.build_log import write_build_log
from miner.devices.dataset_buffers import ENTRY_BYTES, DatasetBuffers, DatasetPart, filled
from miner.devices.device import RESULT_WORDS, Device, DriverCalls, Image, LaunchResult
from miner.devices.opencl import OPENCL
from miner.devices.opencl.icd_files import icd_files, make_vendors_findable, unloadable
from miner.devices.opencl.opencl_drivers import (
    DriverObjects,
    Kept,
    driver_objects,
    identity,
    known_shape,
    platforms_of,
    without_devices,
)
from miner.devices.opencl.opencl_memory import OpenClMemory, OpenClSlot, error_name
from miner.errors import BackendUnavailable, BuildFailed, DeviceError, OutOfMemory
from miner.progpow.epoch import Epoch
from miner.resources import available_memory
from miner.work import DeviceInfo, Job, NonceRange

_LAST_ARGUMENTS = (np.uint64, np.uint64, None, None, np.uint32)
"""Types of a search kernel's arguments after those buffers that the device only reads: first nonce,
target, results, stop word, number of the launch. None: a buffer."""


def list_devices() -> Sequence[DeviceInfo]:
    """Return every device of every platform, named opencl:PLATFORM.DEVICE; raises
    `BackendUnavailable` when there is no PyOpenCL or no platform."""
    return [info for info, _ in _found(_pyopencl())]


def open_device(info: DeviceInfo) -> Device:
    """Open the device that `list_devices` returned as `info`."""
    cl = _pyopencl()
    for known, device in _found(cl):
        # Another process listed it: a platform that is missing since then would move the names.
        if (known.name, known.model, known.pci) == (info.name, info.model, info.pci):
            return OpenClDevice(cl, known, device, driver_objects())
    raise DeviceError(f"{info.name}: the device is gone")


def list_problems() -> Iterator[str]:
    """Yield a sentence for each platform without devices, and each driver that cannot be loaded."""
    with suppress(BackendUnavailable):
        for name, platform, _, reason in platforms_of(_pyopencl()):
            if reason:
                yield without_devices(name, platform, reason)
    yield from unloadable(icd_files())


def _found(cl: ModuleType) -> Iterator[tuple[DeviceInfo, Any]]:
    for name, platform, devices, _ in platforms_of(cl):
        for d, device in enumerate(devices):
            yield identity(cl, f"{name}.{d}", platform, device), device


def _pyopencl() -> ModuleType:
    make_vendors_findable()
    os.environ.setdefault("PYOPENCL_NO_CACHE", "1")  # its cache grows without limit
    try:
        import pyopencl
    except ImportError as error:
        raise BackendUnavailable(f"PyOpenCL is not installed: {OPENCL.install}") from error
    # Some compilers write "done" to the log, and pyopencl warns; a failure carries its log anyway.
    warnings.filterwarnings("ignore", message="Non-empty compiler output")
    module: ModuleType = pyopencl
    return module


class OpenClDevice(BufferedDevice):
    """An open OpenCL device with its datasets."""

    dialect = OPENCL.dialect
    shares_images = False

    def __init__(
        self, cl: ModuleType, info: DeviceInfo, device: Any, objects: DriverObjects
    ) -> None:
        self._cl, self._objects, self._card, self.info = cl, objects, device, info
        with self.calls("opening"):
            shape = known_shape(device.platform.name, device.name)
        super().__init__(info, shape_named(shape) if shape else OPENCL.shape_for(info))
        self._context: Any = None
        self._queues: list[Any] = []
        self._stopping: Any = None
        """Queue for writing stop words while the others search; None: the host writes them."""
        self._slots: list[OpenClSlot] = []
        try:
            with self.calls("opening"):
                self._context = cl.Context([device])
                self._queues += [self._new_queue() for _ in range(max(STREAM_COUNTS))]
                shares_memory = bool(device.host_unified_memory)
                if not shares_memory:
                    self._stopping = self._new_queue()
                for _ in range(2):
                    slot = OpenClSlot.allocated(cl, self._context, shares_memory=shares_memory)
                    self._slots.append(slot)
        except DeviceError:
            self.close()
            raise

    def _new_queue(self) -> Any:
        return self._cl.CommandQueue(self._context, self._card)

    @contextmanager
    def calls(self, what: str) -> Iterator[None]:
        """Raise the driver's errors as ours, with the name of the code."""
        cl, name = self._cl, self.info.name
        try:
            yield
        except cl.MemoryError as error:
            raise OutOfMemory(f"{name}: {what}: out of memory ({error_name(cl, error)})") from error
        except cl.Error as error:
            raise DeviceError(f"{name}: {what}: {error_name(cl, error)}") from error

    def group_limits(self) -> GroupLimits:
        with self.calls("reading its limits"):
            return GroupLimits(self._card.max_work_group_size, self._card.local_mem_size)

    # Programs

    def build(self, source: KernelSource) -> Image:
        """Compile in the calling thread; raises `BuildFailed`."""
        cl = self._cl
        failure = width = None
        with self._objects.building():
            if self._context is None:
                raise BuildFailed(f"{self.info.name}: {source.title}: the device is closed")
            try:
                program = self._objects.keep(cl.Program(self._context, source.text))
                program.object.build(options=list(source.options))
                if source.subgroup_multiple > 1:
                    width = self._subgroup_size(program, source)
            except cl.Error as error:
                failure = str(error)
        if failure is not None:
            # Without the driver's error as the cause: its traceback refers to the program.
            path = write_build_log(source, failure)
            raise BuildFailed(
                f"{self.info.name}: {source.title} does not compile; log and source: {path}"
            )
        if width is not None and width % source.subgroup_multiple:
            raise BuildFailed(
                f"{self.info.name}: {source.title}: its sub-groups have {width} threads, not a "
                f"multiple of {source.subgroup_multiple}; set another shape for this device"
            )
        return Image(source, program)

    def _subgroup_size(self, program: Kept, source: KernelSource) -> int:
        """Return the threads in a sub-group of the built `source`; from a driver that does not
        know, the divisor of group sizes that it prefers."""
        cl = self._cl
        kernel = self._objects.keep(cl.Kernel(program.object, source.entry))
        device = program.object.devices[0]
        facts, largest = cl.kernel_work_group_info, cl.kernel_sub_group_info
        size = kernel.object.get_work_group_info(facts.COMPILE_WORK_GROUP_SIZE, device)
        try:
            asked = largest.MAX_SUB_GROUP_SIZE_FOR_NDRANGE
            return int(kernel.object.get_sub_group_info(device, asked, size))
        except cl.Error:
            preferred = facts.PREFERRED_WORK_GROUP_SIZE_MULTIPLE
            return int(kernel.object.get_work_group_info(preferred, device))

    def load(self, image: Image) -> Kept:
        """Return the kernel object; the caller keeps it, since making one takes half a
        millisecond."""
        with self.calls(f"loading {image.source.title}"):
            kernel = self._cl.Kernel(image.program.object, image.source.entry)
            # Without types, PyOpenCL finds out how to pass each argument at each launch.
            buffers = [None] * (kernel.num_args - len(_LAST_ARGUMENTS))
            kernel.set_scalar_arg_dtypes([*buffers, *_LAST_ARGUMENTS])
            return self._objects.keep(kernel)

    def unload(self, kernel: Kept) -> None:
        """Do nothing: the driver's object is released when its owner is dropped."""

    def discard(self, image: Image) -> None:
        """Do nothing: no image is cached."""

    # Datasets

    def generate(self, epoch: Epoch, light: NDArray[np.uint32], filler: Image) -> Iterator[float]:
        """Fill the dataset in slices; see `Device.generate`."""
        with self._objects.alone(), self.calls("allocating the dataset"):
            self._release(epoch)
            self._datasets[epoch] = dataset = self._allocated(epoch)
        self.select(epoch)
        with self.calls("loading the dataset program"):
            kernel = _OpenClFiller(self, filler, light, self._base)
        yield from filled(dataset, epoch.nodes, kernel)

    def drop(self, epoch: Epoch) -> None:
        """Free the dataset of `epoch`, once no build runs."""
        with self._objects.alone(), self.calls("freeing the dataset"):
            self._release(epoch)

    def spare_memory(self) -> int:
        """Return the memory that the driver or, for memory shared with the host, the system
        reports as free, without an eighth of all for a card, half of it for the host."""
        total = self.info.memory
        free = total - sum(dataset.size for dataset in self._datasets.values())
        with self.calls("reading its free memory"):
            shares_memory = self._card.host_unified_memory
        if shares_memory:
            return min(free, available_memory() or 0) - total // 2
        # Only AMD's driver reports it: in KiB, all and in one piece.
        with suppress(AttributeError, self._cl.Error):
            free = min(free, self._card.global_free_memory_amd[0] * 1024)
        return free - total // LEFT_TO_OTHERS

    def _allocated(self, epoch: Epoch) -> DatasetBuffers:
        try:
            return DatasetBuffers(self._memory(), epoch, self._fewest_buffers)
        except OutOfMemory as error:
            raise OutOfMemory(
                f"{self.info.name}: the dataset of epoch {epoch.number} needs "
                f"{epoch.entries * ENTRY_BYTES:,} bytes; the device has {self.info.memory:,}, at "
                f"most {self.info.largest_allocation:,} in one buffer ({error})"
            ) from error

    def _memory(self) -> OpenClMemory:
        return OpenClMemory(self._cl, self._queues[0], in_huge_pages=self.info.kind == "cpu")

    # Launches

    def launch(self, kernel: Kept, job: Job, span: NonceRange) -> _OpenClLaunch:
        """Start a search. Launches alternate between the shape's queues, which are in order, and
        between two slots; the launch that last used the same slot has ended."""
        cl, number = self._cl, self._next_number()
        slot, per_group = self._slots[number % 2], self._shape.nonces_per_group
        queue, results = self._queues[number % self._shape.streams], slot.results
        words = np.frombuffer(job.header_hash, np.uint8).copy()
        with self.calls("launching"):
            copied = cl.enqueue_copy(queue, slot.header, words, is_blocking=False)
            cl.enqueue_fill_buffer(queue, results, np.uint32(0), 0, 16)
            kernel.object.set_args(
                *self._generated().buffers, slot.header, span.first, job.target >> 192, results,
                slot.stop, number,
            )  # fmt: skip
            groups, threads = span.count // per_group, self._shape.threads
            cl.enqueue_nd_range_kernel(queue, kernel.object, (groups * threads,), (threads,))
            out = np.empty(RESULT_WORDS, np.uint32)
            event = cl.enqueue_copy(queue, out, results, is_blocking=False)
            queue.flush()
        return _OpenClLaunch(self, slot, event, out, copied, span, number, per_group)

    def write_stop(self, word: Any, number: int) -> None:
        """Queue the write of a stop word; any thread may call it. A driver that runs one queue at
        a time writes it too late: then the launch searches all of its nonces."""
        if (queue := self._stopping) is not None:
            with self.calls("stopping a launch"):
                self._cl.enqueue_fill_buffer(queue, word, np.uint32(number), 0, 4)
                queue.flush()

    def close(self) -> None:
        """Wait for the queues, then free everything: at once, or when the running builds end."""
        for queue in self._queues:
            with suppress(self._cl.Error):  # a failed device is closed too
                queue.finish()
        for dataset in self._datasets.values():
            self._objects.retire(*dataset.buffers)
            dataset.buffers.clear()
        self._datasets.clear()
        self._selected = None
        for slot in self._slots:
            self._objects.retire(slot.header, slot.results, slot.stop)
        self._slots.clear()
        self._objects.retire(self._stopping, *self._queues, self._context)
        self._queues.clear()
        self._context = self._stopping = None
        self._objects.release_if_idle()


@dataclass(slots=True)
class _OpenClLaunch:
    device: OpenClDevice
    slot: OpenClSlot
    event: Any
    out: NDArray[np.uint32]
    copied: Any
    """Event of the header's copy. Its destructor waits for the copy, and so for the launch before
    this one, with the interpreter's lock held; so it is dropped after `wait`."""
    span: NonceRange
    number: int
    per_group: int

    def stop(self, calls: DriverCalls) -> None:
        """Write the launch's number to memory that the device reads."""
        if (word := self.slot.shared_stop) is not None:
            word[0] = self.number
        else:
            calls.submit(partial(self.device.write_stop, self.slot.stop, self.number))

    def wait(self) -> LaunchResult:
        """Block until the launch is done."""
        with self.device.calls("searching"):
            self.event.wait()
        return LaunchResult.decoded(self.out, self.span, self.per_group)


class _OpenClFiller:
    """The dataset kernel with the light cache as its first argument."""

    def __init__(
        self, device: OpenClDevice, image: Image, light: NDArray[np.uint32], shape: LaunchShape
    ) -> None:
        self._device, self._cl, self._queue = device, device._cl, device._queues[0]
        self._group, self._nodes = group_size(shape), nodes_per_group(shape)
        objects, memory = device._objects, device._memory()
        self._kernel = objects.keep(self._cl.Kernel(image.program.object, image.source.entry))
        self._light = objects.keep(memory.allocate(light.nbytes))
        memory.copy_in(self._light.object, 0, light)

    def fill(self, part: DatasetPart) -> None:
        """Compute the nodes of `part`."""
        groups = -(-part.count // self._nodes)
        with self._device.calls("generating the dataset"):
            self._kernel.object.set_args(
                self._light.object, part.buffer,
                np.uint32(part.first), np.uint32(part.count), np.uint32(part.buffer_first),
            )  # fmt: skip
            size = (groups * self._group,)
            kernel = self._kernel.object
            self._cl.enqueue_nd_range_kernel(self._queue, kernel, size, (self._group,)).wait()

    def release(self) -> None:
        """Free the light cache, once no build runs."""
        del self._light

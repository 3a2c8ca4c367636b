"""Compiled programs, built in the background before they are needed."""

from __future__ import annotations

import concurrent.futures
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from miner.codegen.kernel_source import KernelSource
from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Device, Image, filler_source
from miner.engine.threads import WorkPool
from miner.errors import BadValue
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.work import Job

SearchSource = Callable[[Variant, int, Epoch, str | None, LaunchShape], KernelSource]
"""Signature of `kernel_source.search_source`: (variant, period, epoch, dialect, shape)."""

KEPT = 4
"""Images kept for devices that share them, per shape and epoch: the previous, current and next
period's, and one more for another coin of the epoch."""

KEPT_EPOCHS = 8
"""Epochs whose images are kept per shape, for a pool that alternates between coins."""

CLOSE_SECONDS = 2.0
"""Time for which closing a device waits for its running builds."""


@dataclass(frozen=True, slots=True)
class SearchProgram:
    """All that a search program's text depends on, apart from dialect and shape."""

    numbers: tuple[object, ...]
    period: int
    epoch: Epoch


@dataclass(frozen=True, slots=True)
class DatasetProgram:
    """All that the text of a dataset program depends on, apart from dialect and shape."""

    light_items: int
    parents: int


Program = SearchProgram | DatasetProgram


def program_of(job: Job) -> SearchProgram:
    """Return the search program of `job`."""
    return program_at(job.variant, job.period, job.epoch)


def program_at(variant: Variant, period: int, epoch: Epoch) -> SearchProgram:
    """Return the search program of `period` on the dataset of `epoch`."""
    v = variant
    numbers = (
        v.period,
        v.registers,
        v.cache_reads,
        v.math_operations,
        v.dag_loops,
        v.math_table,
        v.choices,
        v.absorbs,
        v.initial_padding,
        v.final_padding,
        v.byte_order,
    )
    return SearchProgram(numbers, period, epoch)


def next_program(job: Job) -> tuple[int, Epoch] | None:
    """Return period and epoch of the program that follows `job`'s; None past the last height.

    An epoch may change within a period, so this is the next period or the next epoch, whichever
    starts at the lower height.
    """
    variant, height = job.variant, job.height
    start = (job.period + 1) * variant.period
    try:
        if variant.epoch_at(height) != job.epoch:
            return variant.period_at(start), job.epoch
        boundary = _next_boundary(variant, height)
        if boundary < start and variant.epoch_at(boundary) != job.epoch:
            start = boundary
        return variant.period_at(start), variant.epoch_at(start)
    except BadValue:
        return None


def _next_boundary(variant: Variant, height: int) -> int:
    span = next(s for s in reversed(variant.spans) if s.from_height <= height)
    passed = (height - span.from_height) // span.length + 1
    later = [s.from_height for s in variant.spans if s.from_height > height]
    return min([span.from_height + passed * span.length, *later])


@dataclass(frozen=True, slots=True)
class _Group:
    """Devices and kind of program whose images are interchangeable if their text is equal."""

    devices: tuple[object, ...]
    dialect: str | None
    shape: LaunchShape
    """A shape as its `compiled` returns it."""
    for_dataset: bool
    """Whether these are dataset programs, kept apart so that they do not evict search programs."""


@dataclass(slots=True)
class _Entry:
    device: Device
    future: Future[Image]

    @property
    def failed(self) -> bool:
        done = self.future.done()
        return done and (self.future.cancelled() or self.future.exception() is not None)

    @property
    def image(self) -> Image | None:
        return self.future.result() if self.future.done() and not self.failed else None


class Programs:
    """Builds and keeps images; any thread may call it.

    Requests for the same image share one build. A device whose `shares_images` is true shares
    images with every open device of the same backend, model and driver. Programs with the same
    source text (epochs of equal size) share an image.
    """

    def __init__(self, search_source: SearchSource, builds: WorkPool) -> None:
        self._search_source = search_source
        self.builds = builds
        self._lock = threading.Lock()
        self._groups: dict[_Group, OrderedDict[Program, _Entry]] = {}
        self._dropped: list[_Entry] = []
        """Images that are no longer kept, but still being built."""

    @property
    def building(self) -> bool:
        """Whether a build is running or queued."""
        return self.builds.left

    def search_image(
        self, device: Device, job: Job, shape: LaunchShape | None = None
    ) -> Future[Image]:
        """Return the search image of `job` for `device`, built or being built; without `shape`, in
        the device's present one.

        The future raises `BuildFailed`; it is cancelled when newer requests evict it before its
        build starts. A request after either starts another build.
        """
        return self._search(device, job.variant, job.period, job.epoch, shape)

    def dataset_image(self, device: Device, epoch: Epoch) -> Future[Image]:
        """Return the image that fills the dataset of `epoch`, as `search_image` does."""
        shape = device.shape.split(1).compiled
        group = _Group(_alike(device), device.dialect, shape, for_dataset=True)
        filling = DatasetProgram(epoch.light_items, epoch.parents)
        return self._image(device, group, filling, lambda: filler_source(device, epoch))

    def prebuild(self, device: Device, job: Job) -> Future[Image] | None:
        """Build the program that follows `job`'s in the background, and before it the dataset
        program, if the epoch changes. Return its image, as `search_image` does; None past the last
        height."""
        following = next_program(job)
        if following is None:
            return None
        period, epoch = following
        if epoch != job.epoch:
            self.dataset_image(device, epoch)
        return self._search(device, job.variant, period, epoch)

    def discard(self, device: Device, image: Image) -> None:
        """Drop `image` here and at the device: it gave wrong results."""
        with self._lock:
            for entries in self._groups.values():
                for program in [p for p, entry in entries.items() if entry.image is image]:
                    del entries[program]
        device.discard(image)

    def forget(self, device: Device) -> None:
        """Drop a device that is about to be closed; waits up to `CLOSE_SECONDS` for its running
        builds."""
        with self._lock:
            kept = [entry for entries in self._groups.values() for entry in entries.values()]
            own = [entry for entry in (*kept, *self._dropped) if entry.device is device]
            if not device.shares_images:
                for group in [g for g in self._groups if g.devices == _alike(device)]:
                    del self._groups[group]
        running = [entry.future for entry in own if not entry.future.cancel()]
        concurrent.futures.wait(running, timeout=CLOSE_SECONDS)

    def _search(
        self,
        device: Device,
        variant: Variant,
        period: int,
        epoch: Epoch,
        shape: LaunchShape | None = None,
    ) -> Future[Image]:
        dialect, shape = device.dialect, shape or device.shape
        return self._image(
            device,
            _Group(_alike(device), dialect, shape.compiled, for_dataset=False),
            program_at(variant, period, epoch),
            lambda: self._search_source(variant, period, epoch, dialect, shape),
        )

    def _image(
        self, device: Device, group: _Group, program: Program, source_of: Callable[[], KernelSource]
    ) -> Future[Image]:
        def build() -> Image:
            source = source_of()
            return self._same_text(group, source) or device.build(source)

        with self._lock:
            entries = self._groups.setdefault(group, OrderedDict())
            entry = entries.get(program)
            if entry is None or entry.failed:
                entry = _Entry(device, self.builds.submit(build))
                entries[program] = entry
            entries.move_to_end(program)
            old = [entries.pop(p) for p in _surplus(reversed(entries))]
            self._dropped = [e for e in (*self._dropped, *old) if not e.future.done()]
        for dropped in old:
            dropped.future.cancel()  # a running build continues; nothing waits for it
        return entry.future

    def _same_text(self, group: _Group, source: KernelSource) -> Image | None:
        with self._lock:
            images = [entry.image for entry in self._groups.get(group, {}).values()]
        return next((i for i in images if i and i.source.sha256 == source.sha256), None)


def _surplus(programs: Iterable[Program]) -> list[Program]:
    """Return those of `programs`, the most recently used first, that are not kept."""
    by_epoch: dict[Epoch | None, list[Program]] = {}
    for program in programs:
        by_epoch.setdefault(
            program.epoch if isinstance(program, SearchProgram) else None, []
        ).append(program)
    groups = list(by_epoch.values())
    old = [p for group in groups[KEPT_EPOCHS:] for p in group]
    return old + [p for group in groups[:KEPT_EPOCHS] for p in group[KEPT:]]


def _alike(device: Device) -> tuple[object, ...]:
    info = device.info
    return info.alike if device.shares_images else (*info.alike, info.name, id(device))

"""The datasets (DAGs) in one device's memory: built, kept, dropped and built again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from miner.devices.device import Device, Image
from miner.devices.tuning import Tuning
from miner.engine.dataset_files import DatasetFile, Filling
from miner.engine.job_heights import EpochInterruptions, HeightDoubt
from miner.engine.opened_device import OpenedDevice, WorkerReports
from miner.engine.proof import prove_dataset
from miner.errors import OutOfMemory, WrongResult
from miner.formatting import format_bytes
from miner.progpow.epoch import Epoch
from miner.telemetry.events import DatasetBuilding, LightCacheBuilding
from miner.verify import LARGEST_LIGHT_CACHE, Interrupted
from miner.work import Job

UNPROVED = 0.999
"""Largest progress reported for a dataset that is not yet proved."""

UNUSED_SECONDS = 3600.0
"""After this long without a job, a kept dataset is dropped: its coin is not mined any more."""

HOLD_FACTOR = 3.0
"""While a pool alternates between epochs, the newest dataset is held for this many times the
duration of its build, so that at most a quarter of the time goes into building."""

STABLE_FACTOR = 10.0
"""A change of epoch after this many times the duration of a build is not an alternation."""

FREE_RETURNS = 1
"""Returns to a dropped dataset that do not count as an alternation yet: a short failover causes
one."""

_MOST_REMEMBERED = 64


class Datasets:
    """Keeps as many datasets in the memory of one device as it has room for, at most
    `tuning.datasets`; the least recently used one is dropped for a new one.

    Used by the device's thread, while no launch is in flight.
    """

    def __init__(self, opened: OpenedDevice, tuning: Tuning) -> None:
        self._opened, self._device = opened, opened.device
        self._most, self._on_disk = tuning.datasets, tuning.datasets_on_disk
        self._kept: OrderedDict[Epoch, float] = OrderedDict()
        """Complete and proved datasets with the clock second of their last use."""
        self.selected: Epoch | None = None
        """Epoch of the dataset that launches read; None: no complete one."""
        self._dropped: LRUCache[Epoch, bool] = LRUCache(_MOST_REMEMBERED)
        """Epochs whose datasets were dropped for another one, or not completed."""
        self._returns = 0
        """Builds of dropped datasets since the last stable epoch."""
        self._ready_at = self._build_seconds = 0.0
        """Clock second at which the newest dataset was complete; seconds that its build took."""
        self._reported: LRUCache[frozenset[int], bool] = LRUCache(_MOST_REMEMBERED)
        self._interruptions = EpochInterruptions(opened.shared.clock)

    def provide(self, job: Job) -> bool:
        """Select the dataset of `job`, and build it first if it is not in memory. Return False if
        that was not possible or interrupted; the newest job may be another one by now."""
        epoch = job.epoch
        if epoch not in self._kept and not self._obtain(job):
            return False
        if self.selected != epoch:
            self._leave()
            self._device.select(epoch)
            self.selected = epoch
        now = self._opened.now()
        self._kept[epoch] = now
        self._kept.move_to_end(epoch)
        for other in [e for e, used_at in self._kept.items() if now - used_at > UNUSED_SECONDS]:
            self._drop(other)
        return True

    def _leave(self) -> None:
        """Note that the selected dataset was used until now."""
        if self.selected is not None:
            self._kept[self.selected] = self._opened.now()
            self.selected = None

    def make_room(self) -> bool:
        """Drop all datasets but the selected one because the driver is out of memory, and keep one
        from now on. Return whether any was dropped."""
        others = [epoch for epoch in self._kept if epoch != self.selected]
        for epoch in others:
            self._drop(epoch)
        self._most = 1
        return bool(others)

    def _obtain(self, job: Job) -> bool:
        opened, epoch = self._opened, job.epoch
        if (reason := misfit(self._device, epoch)) is not None:
            opened.skip(epoch, reason)
            return False
        if (doubt := self._doubt(job)) is not None:
            opened.skip(
                epoch, doubt.reason, doubt.seconds, known=doubt.known, over=self._is_plausible
            )
            return False
        if not self._fits(epoch) and (due := self._held_until(epoch)) > opened.now():
            self._skip_until(epoch, due)
            return False
        self._returns = self._returns_with(epoch)
        self._leave()  # generating selects the new one
        while self._kept and not self._fits(epoch):
            self._drop(next(iter(self._kept)))
        try:
            complete = self._build(job)
        except OutOfMemory as error:  # other programs may free memory
            opened.skip(epoch, str(error), opened.shared.retry.longest_pause)
            return False
        self._interruptions.note_build(complete=complete)
        if not complete:
            self._drop(epoch)
            return False
        self._dropped.pop(epoch, None)
        self._kept[epoch] = opened.now()
        opened.slot.mark_workable(opened.now())
        return True

    def _doubt(self, job: Job) -> HeightDoubt | None:
        """Return why the height of `job` is not worth a dataset; None: it is."""
        doubt = self._opened.shared.heights.doubt(job)
        if doubt is None and job.epoch not in self._dropped:  # else it alternates, see below
            doubt = self._interruptions.doubt(job)
        return doubt

    def _is_plausible(self) -> bool:
        newest = self._opened.slot.job
        return newest is not None and self._doubt(newest) is None

    def _fits(self, epoch: Epoch) -> bool:
        """Whether there is room for another dataset; the first one takes all memory."""
        if not self._kept:
            return True
        if self._most is not None and len(self._kept) >= self._most:
            return False
        return bytes_needed(self._device, epoch) <= self._device.spare_memory()

    def _drop(self, epoch: Epoch) -> None:
        self._device.drop(epoch)
        self._kept.pop(epoch, None)
        self._dropped[epoch] = True
        if self.selected == epoch:
            self.selected = None

    # Alternating epochs

    def _returns_with(self, epoch: Epoch) -> int:
        used = self._opened.now() - self._ready_at
        stable = self._kept and used > STABLE_FACTOR * self._build_seconds
        return 0 if stable else self._returns + (epoch in self._dropped)

    def _alternates(self, epoch: Epoch) -> bool:
        return self._returns_with(epoch) > FREE_RETURNS

    def _held_until(self, epoch: Epoch) -> float:
        """Return the clock second before which the newest dataset is not dropped for `epoch`."""
        held = HOLD_FACTOR * self._build_seconds
        return self._ready_at + held if self._alternates(epoch) else 0.0

    def _skip_until(self, epoch: Epoch, due: float) -> None:
        newest = next(reversed(self._kept))
        pair = frozenset((newest.number, epoch.number))
        one, other = sorted(pair)[0], sorted(pair)[-1]
        count = len(self._kept)
        holds = f"{count} datasets (DAGs)" if count > 1 else "one dataset (DAG)"
        reason = (
            f"the pool alternates between epochs {one} and {other}; the device's memory holds "
            f"{holds}, which took {self._build_seconds:.0f} s to build, and is filled again after "
            f"{HOLD_FACTOR * self._build_seconds:.0f} s of use"
        )
        known = pair in self._reported
        self._reported[pair] = True
        self._opened.skip(epoch, reason, due - self._opened.now(), known=known)

    # Building

    def _build(self, job: Job) -> bool:
        """Build the light cache and the kernel, then generate the dataset of `job`; drop others
        while the driver is out of memory. Return False if interrupted. Raises `OutOfMemory`."""
        opened, device, epoch = self._opened, self._device, job.epoch
        shared = opened.shared

        def should_stop() -> bool:
            newest = opened.slot.job
            if newest is None or opened.slot.stopping:
                return opened.slot.stopping
            return newest.epoch != epoch and not self._alternates(newest.epoch)

        building = shared.programs.dataset_image(device, epoch)
        shared.programs.search_image(device, job)  # compiled while the dataset is generated
        try:
            watcher = _LightCacheWatcher(should_stop, shared.reports)
            light = shared.prover.light_cache(epoch, watcher)
        except Interrupted:
            return False
        while not should_stop():
            try:
                return self._fill(epoch, light, building, should_stop)
            except OutOfMemory:
                device.drop(epoch)
                if not self._kept:
                    raise
                self._most = len(self._kept)
                self._drop(next(iter(self._kept)))
        return False

    def _fill(
        self,
        epoch: Epoch,
        light: NDArray[np.uint32],
        building: Future[Image],
        should_stop: Callable[[], bool],
    ) -> bool:
        """Generate and prove the dataset of `epoch`; return whether it is complete."""
        opened, device, shared = self._opened, self._device, self._opened.shared
        begun = opened.now()

        def progress(done: float, from_disk: bool = False) -> None:
            seconds, size = opened.now() - begun, epoch.dataset_bytes
            opened.report(
                DatasetBuilding(opened.name, epoch.number, done, seconds, size, from_disk)
            )

        progress(0.0)
        filler = opened.wait_for_build(building, should_stop)
        if filler is None or should_stop():
            return False
        file = DatasetFile(epoch) if self._on_disk and device.dialect is not None else None
        filling = Filling(device.generate(epoch, light, filler), file, device)
        for done in filling.steps():
            opened.slot.wait(lambda: should_stop() or not opened.slot.paused)
            if should_stop():
                return False
            progress(min(done, UNPROVED))
        try:
            repaired = prove_dataset(device, epoch, light, shared.prover, opened.random)
        except WrongResult:
            shared.programs.discard(device, filler)
            if file is not None:
                file.delete()
            raise
        if repaired:
            opened.report_fault(f"{repaired} wrong nodes of its dataset were repaired")
        if file is not None and (repaired or not filling.loaded):
            file.store(device, should_stop)
        progress(1.0, filling.loaded)
        self._ready_at = opened.now()
        self._build_seconds = self._ready_at - begun
        return True


def bytes_needed(device: Device, epoch: Epoch) -> int:
    """Return the bytes in the memory of `device` that generating the dataset of `epoch` takes."""
    if device.dialect is None:  # an interpreter keeps no dataset
        return epoch.light_bytes
    return epoch.dataset_bytes + epoch.light_bytes


def misfit(device: Device, epoch: Epoch) -> str | None:
    """Return why the dataset of `epoch` does not fit into the memory of `device`, else None."""
    needed, memory = bytes_needed(device, epoch), device.info.memory
    if epoch.light_bytes > LARGEST_LIGHT_CACHE:
        return (
            f"its light cache of {format_bytes(epoch.light_bytes)} is larger than that of any real "
            "coin; check the pool"
        )
    if device.dialect is not None and needed > memory:
        return (
            f"dataset (DAG) and light cache need {format_bytes(needed)}, the device has "
            f"{format_bytes(memory)}; mine another coin with it"
        )
    return None


@dataclass(frozen=True, slots=True)
class _LightCacheWatcher:
    """Interrupts and reports the build of the light cache for one dataset."""

    should_stop: Callable[[], bool]
    reports: WorkerReports

    def on_progress(self, epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        self.reports.report(LightCacheBuilding(epoch.number, done, seconds, from_disk))

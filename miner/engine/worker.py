"""The loop of one device's thread: open, fill the dataset, search, close."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from typing import Protocol

from miner.clock import Clock
from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, Image, Kernel
from miner.devices.tuning import Tuning
from miner.engine.hang_watchdog import (
    BUILDING_SECONDS,
    OPENING_SECONDS,
    HangWatchdog,
    WatchedDevice,
)
from miner.engine.job_slot import JobSlot, NonceAllocator
from miner.engine.programs import Programs, SearchProgram, program_of
from miner.engine.proof import Prover, prove_dataset, prove_kernel
from miner.engine.retry_policy import CandidateRecord, RetryPolicy
from miner.engine.search import TARGET_SECONDS, Search
from miner.engine.threads import Activity
from miner.errors import DeviceError, DeviceHung, OutOfMemory, WrongResult
from miner.formatting import format_bytes
from miner.progpow.epoch import Epoch
from miner.telemetry import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    EpochSkipped,
    Event,
    KernelReady,
    LightCacheBuilding,
)
from miner.verify import Interrupted
from miner.work import Candidate, DeviceInfo, Job

LARGEST_LIGHT_CACHE = 1 << 30
"""Bytes; a dataset is 64 times as large. The largest of a coin in 2026 takes about 160 MiB."""

UNPROVED = 0.999
"""Largest progress reported for a dataset that is not yet proved."""


class OpenableDevice(Protocol):
    """A device before it is opened."""

    @property
    def info(self) -> DeviceInfo: ...

    def open(self) -> Device:
        """Open the device in the calling thread, which then owns it."""


class WorkerReports(Protocol):
    """Receives what the devices' threads produce; any thread may call it."""

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""

    def claim(self, candidate: Candidate) -> None:
        """Have `candidate` proved on the CPU; `Worker.judge` gets the result."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What the threads of all devices share; any thread may use it."""

    programs: Programs
    nonces: NonceAllocator
    prover: Prover
    reports: WorkerReports
    clock: Clock
    retry: RetryPolicy
    activity: Activity


class Worker:
    """Keeps one device on the newest job; `run` is the body of its thread, the event loop calls
    the rest."""

    def __init__(
        self,
        index: int,
        listed: OpenableDevice,
        shared: Shared,
        random: Random,
        tuning: Tuning | None = None,
    ) -> None:
        self.info = listed.info
        self.given_up: str | None = None
        """Why the device is not used for the rest of the run."""
        self.watchdog = HangWatchdog(shared.clock, shared.activity, listed.info.name)
        self._index = index
        self._listed = listed
        self._shared = shared
        self._random = random
        self._tuning = tuning or Tuning()
        self._slot = JobSlot()
        self._record = CandidateRecord(shared.retry)
        self._steady_since: float | None = None
        self._kernel_was_wrong = False
        """The newest program gave only wrong kernels since the device was opened."""

    def work_on(self, job: Job | None) -> None:
        """Make `job` the newest one; None: rest."""
        self._slot.put(job, self._shared.clock.now())

    def pause(self, paused: bool) -> None:
        """Pause or resume the device; it keeps its dataset."""
        self._slot.mark_workable(self._shared.clock.now())
        self._slot.pause(paused)

    def stop(self) -> None:
        """Ask the thread to end after the launches in flight."""
        self._slot.stop()

    def judge(self, right: bool, found_at: float) -> None:
        """Record the CPU's result for a candidate found at clock second `found_at`; those from
        before the device was reopened do not count."""
        self._record.judge(right, found_at)
        self._slot.wake()

    def run(self) -> None:
        """Work until a stop is requested or the device is given up.

        Raises `DeviceHung` when the driver reports a call that does not return.
        """
        failures = 0
        while not self._slot.stopping:
            self._steady_since = None
            try:
                self._use_device()
                return
            except DeviceHung:
                raise
            except DeviceError as error:
                reason = str(error)
                steady = self._was_steady() and not isinstance(error, WrongResult)
            failures = 1 if steady else failures + 1
            self.report(DeviceFault(self.info.name, reason))
            if not self._rest(reason, failures):
                return

    def _rest(self, reason: str, failures: int) -> bool:
        """Pause after a failure; return whether to try again."""
        if self._slot.stopping:
            return False
        pause = self._shared.retry.pause_after(failures)
        self.report(DeviceResting(self.info.name, reason, pause))
        if pause is None:
            self.given_up = reason
            return False
        self._slot.wait(lambda: False, pause)
        return True

    def _was_steady(self) -> bool:
        since, shared = self._steady_since, self._shared
        return since is not None and shared.clock.now() - since >= shared.retry.steady

    def _use_device(self) -> None:
        with self.watchdog.call("opening the device", OPENING_SECONDS):
            device: Device = WatchedDevice(self._listed.open(), self.watchdog)
        self._record.restart(self._shared.clock.now())
        self._kernel_was_wrong = False
        hung = False
        try:
            if self._tuning.shape is not None:
                device.take_shape(shape_named(self._tuning.shape))
            self._mine(device)
        except DeviceHung:
            hung = True
            raise
        finally:
            self._shared.programs.forget(device)
            if not hung:
                device.close()

    def _mine(self, device: Device) -> None:
        shared = self._shared
        search = Search(
            device, self._index, shared.nonces, self._slot, self, shared.clock,
            self._tuning.launch_seconds or TARGET_SECONDS,
        )  # fmt: skip
        filled: Epoch | None = None
        program: SearchProgram | None = None
        kernel: Kernel = None
        while (job := self._slot.next_job()) is not None:
            if job.epoch != filled:
                if (reason := misfit(device, job.epoch)) is not None:
                    self._skip(job.epoch, reason)
                    continue
                filled = program = None
                try:
                    if not self._fill_dataset(device, job):
                        continue
                except OutOfMemory as error:  # other programs may free memory
                    self._skip(job.epoch, str(error), shared.retry.longest_pause)
                    continue
                filled = job.epoch
                self._slot.mark_workable(shared.clock.now())
            wanted = program_of(job)
            if wanted != program:
                program = None
                kernel = self._proved_kernel(device, job, wanted)
                if kernel is None:
                    continue
                program = wanted
                self._steady_since = self._steady_since or shared.clock.now()
            search.run(kernel, wanted)

    def _skip(self, epoch: Epoch, reason: str, pause: float | None = None) -> None:
        """Wait for a job of another epoch, at most `pause` seconds; the device is not at fault."""
        self.report(EpochSkipped(self.info.name, epoch.number, reason))
        self._slot.wait(_DatasetFilling(epoch, self._slot, self._shared.reports).should_stop, pause)

    # Called by the search

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""
        self._shared.reports.report(event)

    def claim(self, candidate: Candidate) -> None:
        """Pass `candidate` on to be proved."""
        self._record.claim()
        self._shared.reports.claim(candidate)

    def check_trust(self) -> None:
        """Wait for the CPU to catch up; raise `WrongResult` when it refuted too many
        candidates."""
        record = self._record
        self._slot.wait(lambda: record.distrust is not None or record.caught_up)
        if (reason := record.distrust) is not None:
            record.distrust = None
            raise WrongResult(f"{self.info.name}: {reason}")

    # Datasets and kernels

    def _fill_dataset(self, device: Device, job: Job) -> bool:
        """Generate and prove the dataset of `job`; return False when a stop or a job of another
        epoch interrupted it."""
        shared, epoch = self._shared, job.epoch
        filling = _DatasetFilling(epoch, self._slot, shared.reports)
        building = shared.programs.dataset_image(device, epoch)
        shared.programs.search_image(device, job)  # compiled while the dataset is generated
        try:
            light = shared.prover.light_cache(epoch, filling)
        except Interrupted:
            return False
        if filling.should_stop():
            return False
        begun = shared.clock.now()

        def progress(done: float) -> None:
            seconds = shared.clock.now() - begun
            self.report(
                DatasetBuilding(self.info.name, epoch.number, done, seconds, epoch.dataset_bytes)
            )

        progress(0.0)
        filler = self._built(building, filling.should_stop)
        if filler is None or filling.should_stop():
            return False
        for done in device.generate(epoch, light, filler):
            self._slot.wait(lambda: filling.should_stop() or not self._slot.paused)
            if filling.should_stop():
                return False
            progress(min(done, UNPROVED))
        try:
            repaired = prove_dataset(device, epoch, light, shared.prover, self._random)
        except WrongResult:
            shared.programs.discard(device, filler)
            raise
        if repaired:
            fault = f"{repaired} wrong nodes of its dataset were repaired"
            self.report(DeviceFault(self.info.name, fault))
        progress(1.0)
        return True

    def _built(self, building: Future[Image], moved_on: Callable[[], bool]) -> Image | None:
        """Wait for a build; None when `moved_on()` or a stop came first. Raises `BuildFailed`."""
        building.add_done_callback(lambda _: self._slot.wake())
        with self.watchdog.call("building a kernel", BUILDING_SECONDS):
            self._slot.wait(lambda: building.done() or moved_on())
        if self._slot.stopping or not building.done() or building.cancelled():
            return None
        return building.result()

    def _proved_kernel(self, device: Device, job: Job, program: SearchProgram) -> Kernel | None:
        """Build, load and prove a kernel; None when the newest job needs another one by now."""
        shared = self._shared

        def moved_on() -> bool:
            newest = self._slot.job
            return newest is None or program_of(newest) != program

        reason = ""
        for _ in range(2):
            begun = shared.clock.now()
            image = self._built(shared.programs.search_image(device, job), moved_on)
            if image is None:
                return None
            kernel = device.load(image)
            try:
                prove_kernel(device, kernel, job, shared.prover, self._random)
            except WrongResult as error:
                reason = str(error)
                self.report(DeviceFault(self.info.name, reason))
                shared.programs.discard(device, image)
                continue
            self.report(KernelReady(self.info.name, job.period, shared.clock.now() - begun))
            shared.programs.prebuild(device, job)
            self._kernel_was_wrong = False
            return kernel
        if self._kernel_was_wrong:
            # Two programs in a row: the dataset or the card may be at fault, so reopen it.
            raise WrongResult(reason)
        self._kernel_was_wrong = True
        while not (moved_on() or self._slot.stopping):
            pause = shared.retry.longest_pause
            self.report(DeviceResting(self.info.name, reason, pause))
            self._slot.wait(moved_on, pause)
        return None


def misfit(device: Device, epoch: Epoch) -> str | None:
    """Return why the dataset of `epoch` does not fit into the memory of `device`, else None."""
    needed, memory = epoch.dataset_bytes + epoch.light_bytes, device.info.memory
    if epoch.light_bytes > LARGEST_LIGHT_CACHE:
        return (
            f"its light cache of {format_bytes(epoch.light_bytes)} is larger than that of any real "
            "coin; check the pool"
        )
    if device.dialect is not None and needed > memory:  # an interpreter keeps no dataset
        return (
            f"dataset (DAG) and light cache need {format_bytes(needed)}, the device has "
            f"{format_bytes(memory)}; mine another coin with it"
        )
    return None


@dataclass(frozen=True, slots=True)
class _DatasetFilling:
    """Watches the building of the light cache for one dataset."""

    epoch: Epoch
    slot: JobSlot
    reports: WorkerReports

    def should_stop(self) -> bool:
        """Whether a stop or a job of another epoch came; losing the pool does not count."""
        newest = self.slot.job
        return self.slot.stopping or (newest is not None and newest.epoch != self.epoch)

    def on_progress(self, epoch: Epoch, done: float, seconds: float, from_disk: bool) -> None:
        self.reports.report(LightCacheBuilding(epoch.number, done, seconds, from_disk))

"""The loop of one device's thread: open, prepare for the job, search, close."""

from __future__ import annotations

from contextlib import nullcontext
from random import Random

from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, DriverCalls, OpenableDevice
from miner.devices.tuning import Tuning
from miner.engine.autotune import Autotune
from miner.engine.datasets import Datasets
from miner.engine.hang_watchdog import OPENING_SECONDS, HangWatchdog, WatchedDevice
from miner.engine.job_slot import JobSlot
from miner.engine.kernels import Kernels
from miner.engine.opened_device import OpenedDevice, Shared
from miner.engine.retry_policy import CandidateRecord
from miner.engine.search import TARGET_SECONDS, Search
from miner.engine.shape_choice import ShapeChoice
from miner.errors import DeviceError, OutOfMemory, WrongResult
from miner.telemetry.events import DeviceFault, DeviceResting, Event, Launched
from miner.work import Candidate, Job


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
        choice: ShapeChoice | None = None,
    ) -> None:
        self.info = listed.info
        self.parked: str | None = None
        """Reason why the device is parked; None while it is not, or is tried again."""
        self.watchdog = HangWatchdog(shared.clock, shared.activity, listed.info.name)
        self._index = index
        self._listed = listed
        self._shared = shared
        self._random = random
        self._tuning = tuning or Tuning()
        names = self._tuning.autotune
        self._autotune = Autotune(names) if names else None
        self._choice = choice or ShapeChoice()
        self._slot = JobSlot()
        self._record = CandidateRecord(shared.retry)
        self._failures = 0
        """Failures in a row."""
        self._steady_since: float | None = None

    def work_on(self, job: Job | None) -> None:
        """Make `job` the newest one; None: rest."""
        self._slot.put(job, self._shared.clock.now())

    def pause(self, paused: bool) -> None:
        """Pause or resume the device; it keeps its dataset."""
        self._slot.mark_workable(self._shared.clock.now())
        self._slot.pause(paused)
        if paused:
            self._choice.release(self.info.name)

    def stop(self) -> None:
        """Ask the thread to end after the launches in flight."""
        self._slot.stop()
        self._choice.release(self.info.name)

    def judge(self, right: bool, found_at: float) -> None:
        """Record the CPU's result for a candidate found at clock second `found_at`; those from
        before the device was reopened do not count."""
        self._record.judge(right, found_at)
        self._slot.wake()

    def run(self) -> None:
        """Work until a stop is requested."""
        while not self._slot.stopping:
            self._steady_since = self.parked = None
            try:
                self._use_device()
                return
            except DeviceError as error:
                reason = str(error)
                steady = self._was_steady() and not isinstance(error, WrongResult)
            self._failures = 1 if steady else self._failures + 1
            self.report(DeviceFault(self.info.name, reason))
            self._rest(reason)

    @property
    def was_parked(self) -> bool:
        """Whether the device is parked, or is tried again and has not been steady yet."""
        return self._shared.retry.parks_after(self._failures) and not self._was_steady()

    def _rest(self, reason: str) -> None:
        """Pause after a failure, until a stop at the latest."""
        if self._slot.stopping:
            return
        retry, failures = self._shared.retry, self._failures
        pause, parked = retry.pause_after(failures), retry.parks_after(failures)
        if parked:
            self.parked = reason
        self.report(DeviceResting(self.info.name, reason, pause, parked))
        self._slot.wait(lambda: False, pause)

    def _was_steady(self) -> bool:
        since, shared = self._steady_since, self._shared
        return since is not None and shared.clock.now() - since >= shared.retry.steady

    def _use_device(self) -> None:
        with self.watchdog.call("opening the device", OPENING_SECONDS):
            device: Device = WatchedDevice(self._listed.open(), self.watchdog)
        self._record.restart(self._shared.clock.now())
        try:
            shape = (self._autotune and self._autotune.chosen) or self._tuning.shape
            if shape is not None:
                device.take_shape(shape_named(shape))
            self._mine(
                OpenedDevice(
                    device, self._slot, self.watchdog, self._shared, self._random, self._choice
                )
            )
        finally:
            self._choice.release(self.info.name)
            self._shared.programs.forget(device)
            device.close()

    def _mine(self, opened: OpenedDevice) -> None:
        shared = self._shared
        datasets = Datasets(opened, self._tuning)
        kernels, autotune = Kernels(opened, datasets), self._autotune
        if autotune is not None:
            autotune.open(opened, datasets, kernels)
        search = Search(
            opened.device, self._index, shared.nonces, self._slot, self, autotune or kernels,
            shared.clock, self._tuning.launch_seconds or TARGET_SECONDS,
            autotune.granule if autotune else None,
        )  # fmt: skip
        while (job := self._slot.next_job()) is not None:
            if not (datasets.provide(job) and kernels.provide(job)):
                continue
            self._steady_since = self._steady_since or shared.clock.now()
            if job.wait_reason is not None:
                self._wait_for_turn(job)
                continue
            try:
                with self._autotune.turn(job) if self._autotune else nullcontext():
                    search.run()
            except OutOfMemory:
                if not datasets.make_room():
                    raise
            if self._slot.paused:  # the comparison may have been taken up again since `pause`
                self._choice.release(self.info.name)

    def _wait_for_turn(self, job: Job) -> None:
        """Wait, ready to mine, until another job replaces `job`, which must not be mined."""
        self._slot.wait(lambda: self._slot.job is not job)

    # Called by the search

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""
        if self._autotune is not None and isinstance(event, Launched):
            self._autotune.measured(event)
        self._shared.reports.report(event)

    def claim(self, candidate: Candidate) -> None:
        """Pass `candidate` on to be proved."""
        self._record.claim()
        self._shared.reports.claim(candidate)

    @property
    def driver_calls(self) -> DriverCalls:
        return self._shared.driver_calls

    def check_trust(self) -> None:
        """Wait for the CPU to catch up; raise `WrongResult` when it refuted too many
        candidates."""
        record = self._record
        if record.distrust is None and record.caught_up:
            return
        self._slot.wait(lambda: record.distrust is not None or record.caught_up)
        if (reason := record.distrust) is not None:
            record.distrust = None
            raise WrongResult(f"{self.info.name}: {reason}")

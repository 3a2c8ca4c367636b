"""The loop of a device's own thread, from opening the device to closing it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from miner.clock import Clock
from miner.codegen.launch_shape import shape_named
from miner.devices.device import Device, DeviceInfo, Image, Kernel
from miner.devices.selection import Tuning
from miner.engine.job_slot import Mailbox, NonceAllocator
from miner.engine.programs import Program, Programs, program_of
from miner.engine.proof import HashOf, NodeOf, prove_dataset, prove_kernel
from miner.engine.retry_policy import RetryPolicy
from miner.engine.search import TARGET_SECONDS, Report, Search
from miner.engine.watchdog import BUILDING_SECONDS, OPENING_SECONDS, Pulse, WatchedDevice
from miner.errors import DeviceError, DeviceHung, WrongResult
from miner.progpow.epoch import Epoch
from miner.telemetry import DatasetBuilding, DeviceFault, DeviceResting, Event, KernelReady
from miner.verify import Interrupted
from miner.work import Candidate, Job

LightOf = Callable[[Epoch, Callable[[], bool]], NDArray[np.uint32]]
"""(epoch, should_stop) -> light cache, shape (light_items, 16). Blocks for seconds at times;
raises `Interrupted` soon after `should_stop()` became true."""

UNPROVED = 0.999
"""The most of a dataset that is reported as done before it is proved."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What all devices' threads share; each of these may be called by any thread."""

    programs: Programs
    nonces: NonceAllocator
    light_of: LightOf
    node_of: NodeOf
    hash_of: HashOf
    report: Report
    clock: Clock
    limits: RetryPolicy


class Worker:
    """Keeps one device at the newest job; `run` is its thread's body, the rest is for others."""

    def __init__(
        self,
        index: int,
        info: DeviceInfo,
        open_device: Callable[[], Device],
        tools: Tools,
        random: Random,
        tuning: Tuning | None = None,
    ) -> None:
        self.info = info
        self.parked: str | None = None
        """Why the device does nothing for the rest of the run."""
        self.pulse = Pulse(tools.clock)
        self._tuning = tuning or Tuning()
        self._index = index
        self._open_device = open_device
        self._tools = tools
        self._random = random
        self._mailbox = Mailbox()
        self._judged: deque[bool] = deque(maxlen=tools.limits.judged)
        self._distrust: str | None = None
        self._opened_at = self._judged_since = 0.0
        self._claimed = 0
        self._proved = 0
        self._steady_since: float | None = None
        self._wrong_program = False
        """The newest program gave wrong kernels only, since the device was opened."""

    def work_on(self, job: Job | None) -> None:
        """Make `job` the newest one; None: rest."""
        self._mailbox.put(job, self._tools.clock.now())

    def pause(self, paused: bool) -> None:
        """Have the device left alone, or worked with again; its dataset stays."""
        self._mailbox.workable(self._tools.clock.now())
        self._mailbox.pause(paused)

    def stop(self) -> None:
        """Ask the thread to end after what is in flight."""
        self._mailbox.stop()

    def judge(self, right: bool, found_at: float) -> None:
        """Note whether a candidate, found at that clock second, was right; called on the loop
        only. What was found before the device was reopened counts no more."""
        self._proved += 1
        opened_at = self._opened_at
        if opened_at != self._judged_since:
            self._judged_since = opened_at
            self._judged.clear()
        if found_at > opened_at:
            self._judged.append(right)
        wrong = self._judged.count(False)
        if wrong >= self._tools.limits.wrong:
            self._distrust = f"{wrong} of its last {len(self._judged)} candidates were wrong"
            self._judged.clear()
        self._mailbox.poke()

    def run(self) -> None:
        """Work until a stop is asked for or the device is parked.

        Raises `DeviceHung` when the driver reports a call that does not come back.
        """
        failures = 0
        while not self._mailbox.stopping:
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
            self._tools.report(DeviceFault(self.info.name, reason))
            if not self._rest(reason, failures):
                return

    def _rest(self, reason: str, failures: int) -> bool:
        """Rest after so many failures in a row; return whether to try the device once more."""
        tools, limits = self._tools, self._tools.limits
        if self._mailbox.stopping:
            return False
        if failures >= limits.failures:
            self.parked = reason
            tools.report(DeviceResting(self.info.name, reason, None))
            return False
        rest = min(limits.first_rest * 2 ** (failures - 1), limits.longest_rest)
        tools.report(DeviceResting(self.info.name, reason, rest))
        self._mailbox.wait(lambda: False, rest)
        return True

    def _was_steady(self) -> bool:
        since = self._steady_since
        return since is not None and (self._tools.clock.now() - since >= self._tools.limits.steady)

    def _use_device(self) -> None:
        with self.pulse.call("opening the device", OPENING_SECONDS):
            device: Device = WatchedDevice(self._open_device(), self.pulse)
        self._opened_at = self._tools.clock.now()
        self._distrust = None
        self._wrong_program = False
        hung = False
        try:
            if self._tuning.shape is not None:
                device.take_shape(shape_named(self._tuning.shape))
            self._mine(device)
        except DeviceHung:
            hung = True
            raise
        finally:
            self._tools.programs.forget(device)
            if not hung:
                device.close()

    def _mine(self, device: Device) -> None:
        tools = self._tools
        search = Search(
            device, self._index, tools.nonces, self._mailbox, self._claim, tools.clock,
            self._tuning.launch_seconds or TARGET_SECONDS,
        )  # fmt: skip
        filled: Epoch | None = None
        program: Program | None = None
        kernel: Kernel = None
        while (job := self._mailbox.next_job()) is not None:
            if job.epoch != filled:
                filled = program = None
                if not self._fill_dataset(device, job):
                    continue
                filled = job.epoch
                self._mailbox.workable(tools.clock.now())
            wanted = program_of(job)
            if wanted != program:
                program = None
                kernel = self._fresh_kernel(device, job, wanted)
                if kernel is None:
                    continue
                program = wanted
                self._steady_since = self._steady_since or tools.clock.now()
            search.run(kernel, wanted, self._check_trust)

    def _claim(self, item: Event | Candidate) -> None:
        if isinstance(item, Candidate):
            self._claimed += 1
        self._tools.report(item)

    def _check_trust(self) -> None:
        """Let the CPU keep up, then raise `WrongResult` when it refuted too much."""
        most = self._tools.limits.unproved
        self._mailbox.wait(
            lambda: self._distrust is not None or self._claimed - self._proved < most
        )
        if (reason := self._distrust) is not None:
            self._distrust = None
            raise WrongResult(f"{self.info.name}: {reason}")

    def _fill_dataset(self, device: Device, job: Job) -> bool:
        """Return False when a stop or a job of another epoch came in between."""
        tools, epoch, name = self._tools, job.epoch, self.info.name

        def moved_on() -> bool:
            newest = self._mailbox.job
            other = newest is not None and newest.epoch != epoch
            return other or self._mailbox.stopping

        def tell(done: float) -> None:
            seconds = tools.clock.now() - begun
            tools.report(DatasetBuilding(name, epoch.number, done, seconds, epoch.dataset_bytes))

        building = tools.programs.filler(device, epoch)
        tools.programs.request(device, job)  # is built while the dataset grows
        try:
            light = tools.light_of(epoch, moved_on)
        except Interrupted:
            return False
        if moved_on():
            return False
        begun = tools.clock.now()
        tell(0.0)
        filler = self._built(building, moved_on)
        if filler is None or moved_on():
            return False
        for done in device.generate(epoch, light, filler):
            self._mailbox.wait(lambda: moved_on() or not self._mailbox.paused)
            if moved_on():
                return False
            tell(min(done, UNPROVED))
        try:
            repaired = prove_dataset(device, epoch, light, tools.node_of, self._random)
        except WrongResult:
            tools.programs.discard(device, filler)
            raise
        if repaired:
            tools.report(DeviceFault(name, f"{repaired} wrong nodes of its dataset were repaired"))
        tell(1.0)
        return True

    def _built(self, building: Future[Image], moved_on: Callable[[], bool]) -> Image | None:
        """Wait for it; None when a stop or another job came first. Raises `BuildFailed`."""
        building.add_done_callback(lambda _: self._mailbox.poke())
        with self.pulse.call("building a kernel", BUILDING_SECONDS):
            self._mailbox.wait(lambda: building.done() or moved_on())
        if self._mailbox.stopping or not building.done() or building.cancelled():
            return None
        return building.result()

    def _fresh_kernel(self, device: Device, job: Job, program: Program) -> Kernel | None:
        """Return a proved kernel; None when the newest job needs another one by now."""
        tools = self._tools

        def moved_on() -> bool:
            newest = self._mailbox.job
            return newest is None or program_of(newest) != program

        reason = ""
        for _ in range(2):
            begun = tools.clock.now()
            image = self._built(tools.programs.request(device, job), moved_on)
            if image is None:
                return None
            kernel = device.load(image)
            try:
                prove_kernel(device, kernel, job, tools.hash_of, self._random)
            except WrongResult as error:
                reason = str(error)
                tools.report(DeviceFault(self.info.name, reason))
                tools.programs.discard(device, image)
                continue
            seconds = tools.clock.now() - begun
            tools.report(KernelReady(self.info.name, job.period, seconds))
            tools.programs.prebuild(device, job)
            self._wrong_program = False
            return kernel
        if self._wrong_program:
            # Two programs in a row: it may be the dataset that they read, or the card.
            raise WrongResult(reason)
        self._wrong_program = True
        while not (moved_on() or self._mailbox.stopping):
            rest = tools.limits.longest_rest
            tools.report(DeviceResting(self.info.name, reason, rest))
            self._mailbox.wait(moved_on, rest)
        return None

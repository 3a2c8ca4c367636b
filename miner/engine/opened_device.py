"""An open device, as the parts of its thread use it: events, skipped epochs, builds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from random import Random
from typing import Protocol

from miner.clock import Clock
from miner.devices.device import Device, DriverCalls, Image
from miner.engine.hang_watchdog import BUILDING_SECONDS, HangWatchdog
from miner.engine.job_heights import HeightJudge
from miner.engine.job_slot import JobSlot, NonceAllocator
from miner.engine.loop_stalls import Activity
from miner.engine.programs import Programs
from miner.engine.proof import KernelProofs, Prover
from miner.engine.retry_policy import RetryPolicy
from miner.engine.shape_choice import ShapeChoice
from miner.progpow.epoch import Epoch
from miner.telemetry.events import DeviceFault, DeviceResting, EpochSkipped, Event
from miner.work import Candidate


class WorkerReports(Protocol):
    """Receives the events and candidates of the devices' threads; any thread may call it."""

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""

    def claim(self, candidate: Candidate) -> None:
        """Have `candidate` proved on the CPU; `Worker.judge` gets the result."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The parts that the threads of all devices share; any thread may use them."""

    programs: Programs
    nonces: NonceAllocator
    prover: Prover
    reports: WorkerReports
    clock: Clock
    retry: RetryPolicy
    activity: Activity
    heights: HeightJudge
    proofs: KernelProofs
    driver_calls: DriverCalls


@dataclass(frozen=True, slots=True)
class OpenedDevice:
    """An open device in its thread, from opening to closing."""

    device: Device
    slot: JobSlot
    watchdog: HangWatchdog
    shared: Shared
    random: Random
    choice: ShapeChoice

    @property
    def name(self) -> str:
        return self.device.info.name

    def now(self) -> float:
        """Return the clock's seconds."""
        return self.shared.clock.now()

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""
        self.shared.reports.report(event)

    def report_fault(self, reason: str) -> None:
        self.report(DeviceFault(self.name, reason))

    def wants_another(self, epoch: Epoch) -> bool:
        """Return whether a stop was requested, or the newest job has another epoch."""
        newest = self.slot.job
        return self.slot.stopping or (newest is not None and newest.epoch != epoch)

    def skip(
        self,
        epoch: Epoch,
        reason: str,
        pause: float | None = None,
        *,
        known: bool = False,
        over: Callable[[], bool] = lambda: False,
    ) -> None:
        """Report that `epoch` is skipped and wait for a job of another one, at most `pause` seconds
        and until `over()`. `known`: the reason was reported before."""
        until = self.now() + pause if pause is not None else float("inf")
        self.choice.release(self.name)
        self.report(EpochSkipped(self.name, epoch.number, reason, known))
        self.slot.wait(lambda: self.wants_another(epoch) or self.now() >= until or over(), pause)

    def rest(self, reason: str, until: Callable[[], bool]) -> None:
        """Report `reason` and wait for `until()`, or the longest pause after a failure."""
        pause = self.shared.retry.longest_pause
        self.choice.release(self.name)
        self.report(DeviceResting(self.name, reason, pause))
        self.slot.wait(until, pause)

    def wait_for_build(self, building: Future[Image], moved_on: Callable[[], bool]) -> Image | None:
        """Return the image of a build; None if `moved_on()` or a stop came first. Raises
        `BuildFailed`."""
        building.add_done_callback(lambda _: self.slot.wake())
        with self.watchdog.call("building a kernel", BUILDING_SECONDS):
            self.slot.wait(lambda: building.done() or moved_on())
        if self.slot.stopping or not building.done() or building.cancelled():
            return None
        return building.result()

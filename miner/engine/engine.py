"""All devices of a run: jobs in, proved solutions out."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from random import Random

from miner.clock import Clock
from miner.devices.device import OpenableDevice
from miner.devices.tuning import Tuning
from miner.engine.job_heights import HeightJudge
from miner.engine.job_slot import NonceAllocator, Staleness
from miner.engine.loop_stalls import Activity
from miner.engine.opened_device import Shared
from miner.engine.programs import Programs
from miner.engine.proof import KernelProofs, Prover
from miner.engine.retry_policy import RetryPolicy
from miner.engine.shape_choice import ShapeChoice
from miner.engine.shutdown_deadline import ShutdownDeadline
from miner.engine.threads import RunningThread, Threads, WorkPool
from miner.engine.worker import Worker
from miner.errors import DeviceHung, NoUsableDevice
from miner.telemetry.events import (
    CandidateRefuted,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Emit,
    Event,
    Launched,
    ShareFound,
)
from miner.work import Candidate, Job, Outcome, ShareSink, Solution, Verdict

REPORT_SECONDS = 1.0
"""Time for which ended launches wait to be reported together: waking the event loop for each one
costs more than everything else that the host does for a launch."""

WATCH_SECONDS = 1.0
"""Interval between two checks for hung devices."""

SUSPENDED_SECONDS = 5.0
"""A check delayed by more than this means that the whole process was suspended (Ctrl-Z, sleep);
that time does not count against the drivers."""


class Engine:
    """Runs each device in its own thread; used on one event loop.

    A job passes through `work_on` to the devices, a candidate through `claim` to the CPU, and
    the solution to `ShareSink.submit`. `deadline` begins when the run starts to end.
    """

    def __init__(
        self,
        devices: Sequence[OpenableDevice],
        *,
        programs: Programs,
        prover: Prover,
        sink: ShareSink,
        emit: Emit,
        clock: Clock,
        random: Random,
        deadline: ShutdownDeadline | None = None,
        retry: RetryPolicy | None = None,
        tunings: Mapping[str, Tuning] | None = None,
        park_hung: bool = False,
        activity: Activity | None = None,
        heights: HeightJudge | None = None,
        report_seconds: float = REPORT_SECONDS,
    ) -> None:
        self._activity = activity or Activity(clock)
        self._programs = programs
        self._prover = prover
        self._sink = sink
        self._emit = emit
        self._clock = clock
        self._deadline = deadline or ShutdownDeadline(clock)
        self._retry = retry or RetryPolicy()
        self._park_hung = park_hung
        self._staleness = Staleness()
        self._report_seconds = report_seconds
        self._reports: deque[Event] = deque()
        """Events of the devices' threads that wait to be emitted, in order."""
        self._has_launches = asyncio.Event()
        self._candidates: asyncio.Queue[Candidate | None] = asyncio.Queue()
        self._pauses: dict[str, dict[str, str]] = {one.info.name: {} for one in devices}
        """Reasons of the pauses of each device, by source."""
        self._hung: dict[str, str] = {}
        self._ended: set[str] = set()
        self._errors: list[BaseException] = []
        """Unexpected errors of the devices' threads."""
        self._threads: Threads | None = None
        self._ending = asyncio.Event()
        self._stop_requested = False
        self._driver_calls = WorkPool("stop", max(len(devices), 1), activity=self._activity)
        shared = Shared(
            programs,
            NonceAllocator(len(devices), random),
            prover,
            self,
            clock,
            self._retry,
            self._activity,
            heights or HeightJudge(clock),
            KernelProofs(prover, Random(random.getrandbits(64)), programs.builds),
            self._driver_calls,
        )
        self._heights = shared.heights
        tunings = tunings or {}
        choices = defaultdict[object, ShapeChoice](ShapeChoice)
        self._workers: dict[str, Worker] = {}
        for index, one in enumerate(devices):
            tuning = tunings.get(one.info.name, Tuning())
            choice = choices[one.info.alike, tuning.shape, tuning.autotune]
            seed = Random(random.getrandbits(64))
            self._workers[one.info.name] = Worker(index, one, shared, seed, tuning, choice)

    def work_on(self, job: Job | None) -> None:
        """Have all devices work on `job`; None: there is nothing to mine, so they rest."""
        self._staleness.update(job, self._clock.now())
        if job is not None:
            self._heights.note(job)
        for worker in self._workers.values():
            worker.work_on(job)

    def pause(self, name: str, source: str, reason: str) -> None:
        """Pause the device `name` until `resume` with the same `source`; several sources may
        pause one device. Raises `KeyError` for an unknown device."""
        before = self._paused(name)
        self._pauses[name][source] = reason
        self._pauses_changed(name, before)

    def resume(self, name: str, source: str) -> None:
        """Remove the pause of `source`, if any. Raises `KeyError` for an unknown device."""
        before = self._paused(name)
        self._pauses[name].pop(source, None)
        self._pauses_changed(name, before)

    def _paused(self, name: str) -> str | None:
        return "; ".join(self._pauses[name].values()) or None

    def _pauses_changed(self, name: str, before: str | None) -> None:
        after = self._paused(name)
        if after != before:
            self._workers[name].pause(after is not None)
            self._emit_in_order(DevicePaused(name, after))

    async def run(self) -> None:
        """Work until `stop`.

        Raises `NoUsableDevice` when every device is parked, `DeviceHung` when a driver call did
        not return, and any unexpected error of a device's thread; before that, all candidates are
        proved and submitted.
        """
        if not self._workers:
            raise NoUsableDevice("no device was given to mine on")
        self._loop = asyncio.get_running_loop()
        with self._driver_calls, WorkPool("prove", 1, activity=self._activity) as proving:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prove_all(proving))
                reporting = group.create_task(self._report_launches())
                try:
                    threads = await self._mine()
                finally:
                    self._candidates.put_nowait(None)
                    reporting.cancel()
                    self.emit_pending()
        self._raise_first_problem(threads)

    def stop(self) -> None:
        """Have `run` return once all candidates are proved and submitted."""
        self._stop_requested = True
        self._end()

    def _end(self) -> None:
        self._deadline.begin()
        self._ending.set()

    async def _mine(self) -> Threads:
        async with Threads(self._retry.stop, self._on_thread_end) as threads:
            self._threads = threads
            for worker in self._workers.values():
                threads.start(worker.info.name, worker.run, worker.stop)
            try:
                await self._ending.wait()
            finally:
                self._end()
        return threads

    def _on_thread_end(self, thread: RunningThread) -> None:
        name, error = thread.name, thread.error
        if name in self._hung:
            return  # already abandoned; how its thread ends does not matter
        if error is not None:
            self._errors.append(error)
            self._end()
        self._device_ended(name)

    def _device_ended(self, name: str) -> None:
        self._ended.add(name)
        self._end_without_devices()

    def _end_without_devices(self) -> None:
        """End if each device is parked or has ended."""
        workers = self._workers.items()
        if all(worker.parked is not None or name in self._ended for name, worker in workers):
            self._end()

    def _raise_first_problem(self, threads: Threads) -> None:
        if self._errors:
            raise self._errors[0]
        if self._hung:
            raise DeviceHung("; ".join(f"{n}: {reason}" for n, reason in self._hung.items()))
        stuck = [name for name in threads.left if not self._waits_for_build(name)]
        if stuck:
            names = ", ".join(stuck)
            raise DeviceHung(f"{names}: a driver call did not return within {self._retry.stop:g} s")
        if not self._stop_requested:
            reasons = "; ".join(filter(None, (each.parked for each in self._workers.values())))
            raise NoUsableDevice(f"no device is left to mine on: {reasons}")

    def _waits_for_build(self, name: str) -> bool:
        """Return whether a build may hold up the device `name`: a slow compiler is not a hang, and
        the end of the process does not wait for it."""
        return self._programs.building and not self._workers[name].watchdog.in_launch

    # Hung devices

    async def watch_for_hangs(self) -> None:
        """Check for driver calls that do not return, until cancelled."""
        while True:
            begun = self._clock.now()
            await self._clock.sleep(WATCH_SECONDS)
            delay = self._clock.now() - begun - WATCH_SECONDS
            if delay > SUSPENDED_SECONDS:
                for worker in self._workers.values():
                    worker.watchdog.discount(delay)
            self.check_for_hangs()

    def check_for_hangs(self) -> None:
        """Give up each device with an overdue driver call; the run ends, unless hung devices are
        parked, or this one was, and others remain."""
        for name, worker in self._workers.items():
            if name in self._hung or name in self._ended:
                continue
            if (reason := worker.watchdog.overdue()) is not None:
                worker.stop()
                if self._threads is not None:
                    self._threads.abandon(name)
                self._give_up_hung(name, reason)

    def _give_up_hung(self, name: str, reason: str) -> None:
        self._hung[name] = reason
        self._emit_in_order(DeviceHanging(name, reason))
        self._device_ended(name)
        # Another try of a parked device must not cost the others their work.
        if not (self._park_hung or self._workers[name].was_parked):
            self._end()

    # From a device's thread to the pool

    def report(self, event: Event) -> None:
        """Emit `event` on the event loop, launches at most `report_seconds` later; any thread may
        call it."""
        self._reports.append(event)
        with suppress(RuntimeError):  # the loop is closed: a hung thread returned too late
            if not isinstance(event, Launched):
                self._loop.call_soon_threadsafe(self.emit_pending)
            elif not self._has_launches.is_set():
                self._loop.call_soon_threadsafe(self._has_launches.set)

    def emit_pending(self) -> None:
        """Emit the events that wait; called on the event loop."""
        for _ in range(len(self._reports)):  # devices add further ones meanwhile
            event = self._reports.popleft()
            self._emit(event)
            if isinstance(event, DeviceResting) and event.parked:
                self._end_without_devices()

    def _emit_in_order(self, event: Event) -> None:
        self.emit_pending()
        self._emit(event)

    async def _report_launches(self) -> None:
        """Report launches in groups, until cancelled."""
        while True:
            await self._has_launches.wait()
            await self._clock.sleep(self._report_seconds)
            self._has_launches.clear()
            self.emit_pending()

    def claim(self, candidate: Candidate) -> None:
        """Queue `candidate` to be proved; any thread may call it."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._candidates.put_nowait, candidate)

    async def _prove_all(self, proving: WorkPool) -> None:
        while (candidate := await self._candidates.get()) is not None:
            solution = await self._prove(candidate, proving)
            if solution is None:
                continue
            self._emit_in_order(ShareFound(solution))
            if self._staleness.is_stale(solution.job, self._clock.now()):
                self._sink.on_verdict(Verdict(solution, Outcome.NOT_SENT))
            else:
                await self._sink.submit(solution)

    async def _prove(self, candidate: Candidate, proving: WorkPool) -> Solution | None:
        job, nonce = candidate.job, candidate.nonce
        digest = await proving.offload(self._prover.digest, job, nonce)
        solution = Solution(
            job, nonce, candidate.device, candidate.found_at, digest.mix_hash, digest.final_hash
        )
        right = solution.value <= job.target and nonce in job.nonces
        self._workers[candidate.device].judge(right, candidate.found_at)
        if right:
            return solution
        self._emit_in_order(CandidateRefuted(candidate, digest.final_hash))
        self._emit(
            DeviceFault(
                candidate.device,
                f"nonce {nonce:016x} of job {job.id} was claimed, but hashes to "
                f"{digest.final_hash.hex()}, above the target {job.target:064x}",
            )
        )
        return None

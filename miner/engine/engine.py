"""All devices as one: jobs in, proved solutions out."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from random import Random

from miner.clock import Clock
from miner.devices.device import Device, DeviceInfo
from miner.devices.selection import Tuning
from miner.engine.job_slot import NonceAllocator
from miner.engine.programs import Programs
from miner.engine.proof import HashOf, NodeOf
from miner.engine.retry_policy import RetryPolicy
from miner.engine.threads import Running, Threads, WorkPool
from miner.engine.worker import LightOf, Tools, Worker
from miner.errors import DeviceHung, NoUsableDevice
from miner.telemetry import (
    CandidateRefuted,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    Emit,
    Event,
    ShareFound,
)
from miner.work import Candidate, Job, Outcome, Solution, Verdict

GRACE_SECONDS = 2.0
"""How long after a clean job of a greater height older work is still sent."""


class LatePolicy:
    """Knows the newest job; only heights of one session are compared."""

    def __init__(self) -> None:
        self._newest: Job | None = None
        self._clean: Job | None = None
        self._clean_since = 0.0

    def newest(self, job: Job | None, now: float) -> None:
        """Note that `job` became the newest at clock second `now`; None: there is no pool."""
        self._newest = job
        if job is None or not job.clean:
            return
        known = self._clean
        if known is None or (known.session, known.height) != (job.session, job.height):
            self._clean_since = now
        self._clean = job

    def sends(self, job: Job, now: float) -> bool:
        """Whether a solution of `job` is still worth sending at clock second `now`.

        Without a newest job, or when that belongs to another session, the answer is yes: the
        pool's client decides.
        """
        newest, clean = self._newest, self._clean
        if newest is None or newest.session != job.session or job.height >= newest.height:
            return True
        if clean is None or clean.session != job.session or job.height >= clean.height:
            return True
        return now - self._clean_since <= GRACE_SECONDS


WATCH_SECONDS = 1.0
"""Between two looks for hung devices."""

STILL_SECONDS = 5.0
"""A look that comes later by more than this was held up with all else, as by Ctrl-Z or by a
machine that was put to sleep: no driver could have come back meanwhile."""

Submit = Callable[[Solution], Awaitable[None] | None]


class Engine:
    """Runs every given device in a thread of its own; used on one event loop.

    `submit` is given each proved solution, `on_verdict` those that come too late to be sent;
    `on_ending` is called as soon as the run begins to end, and maybe again.
    """

    def __init__(
        self,
        devices: Sequence[tuple[DeviceInfo, Callable[[], Device]]],
        *,
        programs: Programs,
        light_of: LightOf,
        node_of: NodeOf,
        hash_of: HashOf,
        submit: Submit,
        on_verdict: Callable[[Verdict], None],
        emit: Emit,
        clock: Clock,
        random: Random,
        limits: RetryPolicy | None = None,
        tunings: Mapping[str, Tuning] | None = None,
        park_hung: bool = False,
        on_ending: Callable[[], None] = lambda: None,
    ) -> None:
        self._park_hung = park_hung
        self._pauses: dict[str, dict[str, str]] = {info.name: {} for info, _ in devices}
        self._hung: dict[str, str] = {}
        self._mistakes: list[BaseException] = []
        self._gone: set[str] = set()
        self._threads: Threads | None = None
        tuned = tunings or {}
        self._hash_of = hash_of
        self._submit = submit
        self._on_verdict = on_verdict
        self._on_ending = on_ending
        self._emit = emit
        self._clock = clock
        self._limits = limits or RetryPolicy()
        self._late = LatePolicy()
        self._candidates: asyncio.Queue[Candidate | None] = asyncio.Queue()
        self._ending = asyncio.Event()
        self._stop_asked = False
        tools = Tools(
            programs=programs,
            nonces=NonceAllocator(len(devices), random),
            light_of=light_of,
            node_of=node_of,
            hash_of=hash_of,
            report=self._report,
            clock=clock,
            limits=self._limits,
        )
        self._workers = {
            info.name: Worker(
                index, info, opener, tools, Random(random.getrandbits(64)), tuned.get(info.name)
            )
            for index, (info, opener) in enumerate(devices)
        }

    def work_on(self, job: Job | None) -> None:
        """Have all devices work on `job`; None: there is no pool, so they rest."""
        self._late.newest(job, self._clock.now())
        for worker in self._workers.values():
            worker.work_on(job)

    def pause(self, name: str, source: str, reason: str) -> None:
        """Have the device `name` left alone until `resume` with the same `source`; there may be
        several at a time. Raises `KeyError` for an unknown device."""
        before = self._paused(name)
        self._pauses[name][source] = reason
        self._pauses_changed(name, before)

    def resume(self, name: str, source: str) -> None:
        """Take back the pause of `source`, where there is one. Raises `KeyError` for an unknown
        device."""
        before = self._paused(name)
        self._pauses[name].pop(source, None)
        self._pauses_changed(name, before)

    def _paused(self, name: str) -> str | None:
        return "; ".join(self._pauses[name].values()) or None

    def _pauses_changed(self, name: str, before: str | None) -> None:
        after = self._paused(name)
        if after != before:
            self._workers[name].pause(after is not None)
            self._emit(DevicePaused(name, after))

    async def keep_watch(self) -> None:
        """Look for driver calls that do not come back, until cancelled."""
        while True:
            begun = self._clock.now()
            await self._clock.sleep(WATCH_SECONDS)
            late = self._clock.now() - begun - WATCH_SECONDS
            if late > STILL_SECONDS:
                for worker in self._workers.values():
                    worker.pulse.stood_still(late)
            self.look_for_hangs()

    def look_for_hangs(self) -> None:
        """Give up each device whose driver is overdue: it is not used again, and either the run
        ends or, where hung devices are parked, the others go on."""
        for name, worker in self._workers.items():
            if name in self._hung or name in self._gone:
                continue
            if (reason := worker.pulse.overdue()) is not None:
                worker.stop()
                if self._threads is not None:
                    self._threads.forsake(name)
                self._give_up(name, reason)

    def _give_up(self, name: str, reason: str) -> None:
        self._hung[name] = reason
        self._emit(DeviceHanging(name, reason))
        self._lose(name)
        if not self._park_hung:
            self._end()

    def stop(self) -> None:
        """Have `run` return once what was found is proved and handed on."""
        self._stop_asked = True
        self._end()

    def _end(self) -> None:
        self._on_ending()
        self._ending.set()

    async def run(self) -> None:
        """Work until `stop`.

        Raises `NoUsableDevice` when every device is parked, `DeviceHung` when a driver call did
        not come back, and what a device's thread raised by mistake; before that, everything
        found is proved and handed on.
        """
        if not self._workers:
            raise NoUsableDevice("no device was given to mine on")
        self._loop = asyncio.get_running_loop()
        with WorkPool("prove", 1) as proving:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._prove_all(proving))
                try:
                    threads = await self._mine()
                finally:
                    self._candidates.put_nowait(None)
        self._raise_what_went_wrong(threads)

    async def _mine(self) -> Threads:
        async with Threads(self._limits.stop, self._on_thread_end) as threads:
            self._threads = threads
            for worker in self._workers.values():
                threads.start(worker.info.name, worker.run, worker.stop)
            try:
                await self._ending.wait()
            finally:
                self._end()
        return threads

    def _on_thread_end(self, thread: Running) -> None:
        name, error = thread.name, thread.error
        if name in self._hung:
            return  # how it comes back, in the end, is of no matter
        if isinstance(error, DeviceHung):
            self._give_up(name, str(error).removeprefix(f"{name}: "))
            return
        if error is not None:
            self._mistakes.append(error)
            self._end()
        self._lose(name)

    def _lose(self, name: str) -> None:
        self._gone.add(name)
        if len(self._gone) == len(self._workers):
            self._end()

    def _raise_what_went_wrong(self, threads: Threads) -> None:
        if self._mistakes:
            raise self._mistakes[0]
        if self._hung:
            raise DeviceHung("; ".join(f"{n}: {reason}" for n, reason in self._hung.items()))
        if threads.left:
            names = ", ".join(threads.left)
            raise DeviceHung(
                f"{names}: a driver call did not come back within {self._limits.stop:g} s"
            )
        if not self._stop_asked:
            reasons = "; ".join(str(worker.parked) for worker in self._workers.values())
            raise NoUsableDevice(f"no device is left to mine on: {reasons}")

    def _report(self, item: Event | Candidate) -> None:
        """Carry an item from a device's thread to the loop."""
        with suppress(RuntimeError):  # the loop is closed: a hung thread came back too late
            self._loop.call_soon_threadsafe(self._take, item)

    def _take(self, item: Event | Candidate) -> None:
        if isinstance(item, Candidate):
            self._candidates.put_nowait(item)
        else:
            self._emit(item)

    async def _prove_all(self, proving: WorkPool) -> None:
        while (candidate := await self._candidates.get()) is not None:
            solution = await self._prove(candidate, proving)
            if solution is None:
                continue
            self._emit(ShareFound(solution))
            if not self._late.sends(solution.job, self._clock.now()):
                self._on_verdict(Verdict(solution, Outcome.NOT_SENT))
                continue
            waiting = self._submit(solution)
            if inspect.isawaitable(waiting):
                await waiting

    async def _prove(self, candidate: Candidate, proving: WorkPool) -> Solution | None:
        job, nonce = candidate.job, candidate.nonce
        mix_hash, final_hash = await proving.offload(self._hash_of, job, nonce)
        solution = Solution(job, nonce, candidate.device, candidate.found_at, mix_hash, final_hash)
        right = solution.value <= job.target and nonce in job.nonces
        self._workers[candidate.device].judge(right, candidate.found_at)
        if right:
            return solution
        self._emit(CandidateRefuted(candidate, final_hash))
        self._emit(
            DeviceFault(
                candidate.device,
                f"nonce {nonce:016x} of job {job.id} was claimed, but hashes to "
                f"{final_hash.hex()}, above the target {job.target:064x}",
            )
        )
        return None

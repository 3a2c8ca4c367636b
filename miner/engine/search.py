"""The search loop of one device."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from miner.clock import Clock
from miner.codegen.kernel_source import RESULT_SLOTS
from miner.devices.device import Device, DriverCalls, Kernel, LaunchResult, Pending
from miner.engine.job_slot import JobSlot, NonceAllocator
from miner.errors import DeviceError
from miner.telemetry.events import (
    DeviceFault,
    Event,
    JobTaken,
    Launched,
    NoncesExhausted,
    ResultOverflow,
)
from miner.work import Candidate, Job, NonceRange, SearchKey

TARGET_SECONDS = 0.1
"""Duration of a launch: long enough to hide overheads, short because solutions are read when it
ends. A job that makes older ones worthless stops it."""

FADE = 0.7
"""Weight of the older launches when a new one is measured."""

MOST_NONCES = 1 << 30
"""Limit of one launch: kernels count its nonces in 32 bits."""

IN_FLIGHT = 2
"""Launches queued on a device: one runs, the other one overlaps with it or, on a launch shape with
one stream, waits."""


class LaunchSize:
    """Nonces per launch: doubles from one granule until a launch takes half of `seconds`, then
    follows the measured rate."""

    def __init__(self, granule: int, seconds: float = TARGET_SECONDS) -> None:
        self._granule, self._seconds = granule, seconds
        self._most = MOST_NONCES // granule * granule
        self._nonces = granule
        self._growing = True
        self._tried = self._spent = 0.0

    @property
    def nonces(self) -> int:
        """Nonces of the next launch, a multiple of the granule."""
        return self._nonces

    def measured(self, tried: int, seconds: float) -> None:
        """Record that `tried` nonces kept the device busy for `seconds`."""
        if self._growing:
            if tried < self._nonces:
                return
            if seconds < self._seconds / 2:
                self._nonces = min(self._nonces * 2, self._most)
                self._growing = self._nonces < self._most
                return
            self._growing = False
        # Nonces and seconds are summed separately: two results that arrive together would
        # otherwise look like one impossibly fast launch.
        self._tried = self._tried * FADE + tried
        self._spent = self._spent * FADE + seconds
        if self._spent <= 0:
            return
        ideal = int(self._tried / self._spent * self._seconds)
        ideal = min(max(ideal, self._nonces // 2), self._nonces * 2)
        whole = ideal // self._granule * self._granule
        self._nonces = min(max(whole, self._granule), self._most)


class ProofLaunch(Protocol):
    """A launch that proves a kernel before the search needs it."""

    @property
    def job(self) -> Job: ...

    @property
    def kernel(self) -> Kernel: ...

    @property
    def span(self) -> NonceRange: ...

    def finish(self, found: LaunchResult | None) -> None:
        """Take the result; None: the launch failed."""


class SearchKernels(Protocol):
    """The kernels with which a device searches."""

    def ready(self, job: Job) -> Kernel | None:
        """Return the proved kernel for `job`; None: the search ends until it is prepared."""

    def next_proof(self) -> ProofLaunch | None:
        """Return a proof to launch behind a search; None if none is due."""


class SearchOwner(Protocol):
    """The worker whose thread runs a search."""

    def report(self, event: Event) -> None:
        """Pass `event` on to telemetry."""

    def claim(self, candidate: Candidate) -> None:
        """Pass `candidate` on to be proved on the CPU."""

    def check_trust(self) -> None:
        """Raise an exception to end the search; called between launches."""

    @property
    def driver_calls(self) -> DriverCalls:
        """Runs the driver calls that stop a launch."""


@dataclass(frozen=True, slots=True)
class _Span:
    nonces: NonceRange
    known: frozenset[int] = frozenset()
    """Hits that an overflowed launch of these nonces has already reported."""


@dataclass(eq=False, slots=True)
class _Launch:
    kernel: Kernel
    job: Job
    span: _Span
    pending: Pending
    calls: DriverCalls
    started: float
    job_arrived: float | None
    """Clock seconds at which its job arrived, for the first launch of a job."""
    stopped: bool = False

    def stop(self) -> None:
        """End the launch early."""
        if not self.stopped:
            self.stopped = True
            self.pending.stop(self.calls)


@dataclass(frozen=True, slots=True)
class _Proving:
    proof: ProofLaunch
    pending: Pending


_InFlight = deque[_Launch | _Proving]


class Search:
    """Searches with one device, number `index` of those that share the nonces."""

    def __init__(
        self,
        device: Device,
        index: int,
        nonces: NonceAllocator,
        slot: JobSlot,
        owner: SearchOwner,
        kernels: SearchKernels,
        clock: Clock,
        seconds: float = TARGET_SECONDS,
        granule: int | None = None,
    ) -> None:
        self._device = device
        self._name = device.info.name
        self._index = index
        self._nonces = nonces
        self._slot = slot
        self._owner = owner
        self._kernels = kernels
        self._clock = clock
        self._granule = granule or device.round_up(1)
        self._size = LaunchSize(self._granule, seconds)
        self._taken: SearchKey | None = None
        self._searched: Kernel | None = None
        """The kernel of the newest launch that has ended."""
        self._finished_at = 0.0
        self._again: deque[_Span] = deque()
        """Halves of overflowed launches, to be searched again for `_again_job`."""
        self._again_job: Job | None = None

    def run(self) -> None:
        """Search until no kernel is ready for the newest job, it must not be mined or is None, or
        until a pause or a stop is requested; then wait for the launches in flight.

        Raises what the device and `SearchOwner.check_trust` raise; for a `DeviceError`, the
        launches in flight are waited for first.
        """
        in_flight: _InFlight = deque()
        try:
            self._search(in_flight)
        except DeviceError:
            self._finish_rest(in_flight)
            raise
        finally:
            self._slot.forget_launches()

    def _finish_rest(self, in_flight: _InFlight) -> None:
        """Wait for the launches in flight after a failure; a second failure is ignored."""
        with suppress(DeviceError):
            while in_flight:
                self._finish(in_flight.popleft())

    def _search(self, in_flight: _InFlight) -> None:
        while True:
            self._owner.check_trust()
            job = self._minable()
            kernel = self._kernels.ready(job) if job is not None else None
            if job is not None and kernel is not None:
                self._start_launches(in_flight, job, kernel)
            if in_flight:
                self._finish(in_flight.popleft())
                self._report_begin(in_flight)
            elif job is not None and kernel is not None:
                self._owner.report(NoncesExhausted(self._name))
                self._wait_for_other_work(job)
            else:
                return

    def _minable(self) -> Job | None:
        job = self._slot.job
        if job is None or self._slot.stopping or self._slot.paused:
            return None
        return job if job.wait_reason is None else None

    def _start_launches(self, in_flight: _InFlight, job: Job, kernel: Kernel) -> None:
        """Fill the device's queue.

        A proof is launched between two searches, so that it costs no idle time. It and its build
        wait until a launch of the present kernel has ended: at a change of period, all devices
        need the host for their first launches.
        """
        while len(in_flight) < IN_FLIGHT:
            last = in_flight[-1] if in_flight else None
            settled = isinstance(last, _Launch) and not last.stopped and kernel is self._searched
            proof = self._kernels.next_proof() if settled else None
            if proof is not None:
                in_flight.append(self._launch_proof(proof))
            elif (span := self._next(job)) is not None:
                in_flight.append(self._launch(kernel, job, span))
                self._report_begin(in_flight)
            else:
                return

    def _report_begin(self, in_flight: _InFlight) -> None:
        """Report the first launch of a job once the device is done with the launches before it."""
        first = in_flight[0] if in_flight else None
        if isinstance(first, _Launch) and first.job_arrived is not None:
            seconds = max(self._clock.now() - first.job_arrived, 0.0)
            first.job_arrived = None
            self._owner.report(JobTaken(self._name, seconds))

    def _wait_for_other_work(self, job: Job) -> None:
        key = job.search_key

        def changed() -> bool:
            newest = self._slot.job
            return newest is None or newest.search_key != key or self._slot.paused

        self._slot.wait(changed)

    def _next(self, job: Job) -> _Span | None:
        if self._again_job and self._again_job.search_key != job.search_key:
            self._again.clear()
        if self._again:
            return self._again.popleft()
        # As many as fill a quarter of the result buffer: an easy target seldom overflows it then.
        most = (RESULT_SLOTS // 4 << 256) // (job.target + 1)
        count = min(self._size.nonces, max(most, self._granule))
        nonces = self._nonces.take(job, self._index, count, self._granule)
        return _Span(nonces) if nonces else None

    def _launch(self, kernel: Kernel, job: Job, span: _Span) -> _Launch:
        started, arrived = self._clock.now(), None
        if job.search_key != self._taken:
            self._taken, arrived = job.search_key, self._slot.arrived
        pending = self._device.launch(kernel, job, span.nonces)
        launch = _Launch(kernel, job, span, pending, self._owner.driver_calls, started, arrived)
        self._slot.add_launch(launch)
        return launch

    def _launch_proof(self, proof: ProofLaunch) -> _Proving:
        try:
            return _Proving(proof, self._device.launch(proof.kernel, proof.job, proof.span))
        except DeviceError:
            proof.finish(None)
            raise

    def _finish(self, launch: _Launch | _Proving) -> None:
        if isinstance(launch, _Launch):
            self._finish_search(launch)
        else:
            self._finish_proof(launch)

    def _finish_proof(self, launch: _Proving) -> None:
        try:
            found = launch.pending.wait()
        except DeviceError:
            launch.proof.finish(None)
            raise
        self._finished_at = self._clock.now()
        launch.proof.finish(found)

    def _finish_search(self, launch: _Launch) -> None:
        try:
            found = launch.pending.wait()
        finally:
            self._slot.remove_launch(launch)
        now = self._clock.now()
        self._searched = launch.kernel
        # The launch before may have overlapped with this one; the time until its end is counted.
        seconds = now - max(launch.started, self._finished_at)
        self._finished_at = now
        nonces = launch.span.nonces
        if not launch.stopped:
            self._size.measured(found.tried, seconds)
        if found.tried > nonces.count or (found.tried < nonces.count and not launch.stopped):
            fault = f"it searched {found.tried} nonces in place of {nonces.count}"
            self._owner.report(DeviceFault(self._name, fault))
        claimed = {hit.nonce for hit in found.hits}
        inside = {n for n in claimed if nonces.first <= n < nonces.first + nonces.count}
        for nonce in sorted(claimed - inside):
            fault = f"it reported nonce {nonce:016x}, which it did not search"
            self._owner.report(DeviceFault(self._name, fault))
        for nonce in sorted(inside - launch.span.known):
            self._owner.claim(Candidate(launch.job, nonce, self._name, now))
        if found.overflowed:
            self._owner.report(ResultOverflow(self._name, found.total))
            if self._search_again(launch.job, nonces, launch.span.known | inside):
                return
        tried = min(found.tried, nonces.count)
        shares = tried / launch.job.difficulty
        self._owner.report(Launched(self._name, tried, seconds, shares, now))

    def _search_again(self, job: Job, nonces: NonceRange, known: frozenset[int]) -> bool:
        """Queue both halves of `nonces`; False: they are too few, or `job` was replaced."""
        half = nonces.count // 2 // self._granule * self._granule
        if not half:
            return False
        if self._again_job is None or self._again_job.search_key != job.search_key:
            newest = self._slot.job
            if newest is None or newest.search_key != job.search_key:
                return False
            self._again.clear()
        self._again_job = job
        self._again.append(_Span(NonceRange(nonces.first, half), known))
        rest = NonceRange(nonces.first + half, nonces.count - half)
        self._again.append(_Span(rest, known))
        return True

"""The search loop of one device, with the size of its launches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from miner.clock import Clock
from miner.devices.device import RESULT_SLOTS, Device, Kernel, Pending
from miner.engine.job_slot import Mailbox, NonceAllocator
from miner.engine.programs import Program, program_of
from miner.errors import DeviceError, DeviceHung
from miner.telemetry import DeviceFault, Event, JobTaken, Launched, NoncesExhausted, ResultOverflow
from miner.work import Candidate, Job, NonceRange

TARGET_SECONDS = 0.1
FADE = 0.7
"""What an older launch still weighs when a newer one was measured."""


class BatchSize:
    """Doubles from one granule until a launch lasts half the target, then follows the rate."""

    def __init__(
        self, granule: int, *, seconds: float = TARGET_SECONDS, least: int = 1, most: int = 1 << 30
    ) -> None:
        self._granule = granule
        self._seconds = seconds
        self._least = -(-max(least, 1) // granule) * granule
        self._most = max(most // granule * granule, self._least)
        self._nonces = self._least
        self._growing = True
        self._tried = 0.0
        self._spent = 0.0

    @property
    def nonces(self) -> int:
        """Nonces of the next launch, a multiple of the granule."""
        return self._nonces

    def measured(self, tried: int, seconds: float) -> None:
        """Note that `tried` nonces kept the device busy for `seconds`.

        Nonces and time are summed apart, so two results that arrive together do not look like
        one impossibly fast launch.
        """
        if self._growing:
            if tried < self._nonces:
                return
            if seconds < self._seconds / 2:
                self._nonces = min(self._nonces * 2, self._most)
                self._growing = self._nonces < self._most
                return
            self._growing = False
        self._tried = self._tried * FADE + tried
        self._spent = self._spent * FADE + seconds
        if self._spent <= 0:
            return
        wished = int(self._tried / self._spent * self._seconds)
        wished = min(max(wished, self._nonces // 2), self._nonces * 2)
        whole = wished // self._granule * self._granule
        self._nonces = min(max(whole, self._least), self._most)


IN_FLIGHT = 2
"""Launches that a device is given ahead: one runs, one waits."""

Report = Callable[[Event | Candidate], None]
"""How a device's thread tells what happened; any thread may call it."""


@dataclass(frozen=True, slots=True)
class _Span:
    nonces: NonceRange
    known: frozenset[int] = frozenset()
    """Hits that an overflowed launch of these nonces brought already."""


@dataclass(frozen=True, slots=True)
class _Launch:
    job: Job
    span: _Span
    pending: Pending
    started: float


class Search:
    """Searches with one device, which is number `index` of those that share the nonces."""

    def __init__(
        self,
        device: Device,
        index: int,
        nonces: NonceAllocator,
        mailbox: Mailbox,
        report: Report,
        clock: Clock,
        seconds: float = TARGET_SECONDS,
    ) -> None:
        self._device = device
        self._name = device.info.name
        self._index = index
        self._nonces = nonces
        self._mailbox = mailbox
        self._report = report
        self._clock = clock
        self._granule = device.round_up(1)
        self._batch = BatchSize(self._granule, seconds=seconds)
        self._taken: object = None
        self._landed_at = 0.0
        self._again: deque[_Span] = deque()
        self._again_job: Job | None = None

    def run(self, kernel: Kernel, program: Program, check: Callable[[], None]) -> None:
        """Launch until the newest job needs another program, is None, or a pause or a stop is
        asked for.

        What is in flight then is waited for, also when the device fails. `check` is called
        between launches: whatever it raises ends the search. Raises `DeviceError` as the device
        does.
        """
        flying: deque[_Launch] = deque()
        try:
            self._fly(flying, kernel, program, check)
        except DeviceHung:
            raise
        except DeviceError:
            self._land_rest(flying)
            raise

    def _land_rest(self, flying: deque[_Launch]) -> None:
        """Land what was in flight at a failure; a second one tells nothing more, but a hang."""
        try:
            while flying:
                self._land(flying.popleft())
        except DeviceHung:
            raise
        except DeviceError:
            return

    def _fly(
        self, flying: deque[_Launch], kernel: Kernel, program: Program, check: Callable[[], None]
    ) -> None:
        mailbox = self._mailbox
        while True:
            check()
            job = mailbox.job
            resting = mailbox.stopping or mailbox.paused
            wanted = job is not None and not resting and program_of(job) == program
            if wanted and job is not None:
                while len(flying) < IN_FLIGHT and (span := self._next(job)):
                    flying.append(self._launch(kernel, job, span))
            if flying:
                self._land(flying.popleft())
            elif wanted and job is not None:
                self._report(NoncesExhausted(self._name))
                self._rest(job)
            else:
                return

    def _rest(self, job: Job) -> None:
        key = job.search_key

        def changed() -> bool:
            newest = self._mailbox.job
            return newest is None or newest.search_key != key or self._mailbox.paused

        self._mailbox.wait(changed)

    def _next(self, job: Job) -> _Span | None:
        if self._again_job and self._again_job.search_key != job.search_key:
            self._again.clear()
        if self._again:
            return self._again.popleft()
        expected = (RESULT_SLOTS // 4 << 256) // (job.target + 1)
        count = min(self._batch.nonces, max(expected, self._granule))
        nonces = self._nonces.take(job, self._index, count, self._granule)
        return _Span(nonces) if nonces else None

    def _launch(self, kernel: Kernel, job: Job, span: _Span) -> _Launch:
        started = self._clock.now()
        if job.search_key != self._taken:
            self._taken = job.search_key
            self._report(JobTaken(self._name, max(started - self._mailbox.arrived, 0.0)))
        return _Launch(job, span, self._device.launch(kernel, job, span.nonces), started)

    def _land(self, launch: _Launch) -> None:
        found = launch.pending.wait()
        now = self._clock.now()
        seconds = now - max(launch.started, self._landed_at)
        self._landed_at = now
        self._batch.measured(found.tried, seconds)
        nonces = launch.span.nonces
        claimed = {hit.nonce for hit in found.hits}
        inside = {n for n in claimed if nonces.first <= n < nonces.first + nonces.count}
        for nonce in sorted(claimed - inside):
            self._report(DeviceFault(self._name, f"it named nonce {nonce:016x}, never searched"))
        for nonce in sorted(inside - launch.span.known):
            self._report(Candidate(launch.job, nonce, self._name, now))
        if found.overflowed:
            self._report(ResultOverflow(self._name, found.total))
            if self._search_again(launch.job, nonces, launch.span.known | inside):
                return
        shares = found.tried / launch.job.difficulty
        self._report(Launched(self._name, found.tried, seconds, shares))

    def _search_again(self, job: Job, nonces: NonceRange, known: frozenset[int]) -> bool:
        half = nonces.count // 2 // self._granule * self._granule
        if not half:
            return False
        if self._again_job is None or self._again_job.search_key != job.search_key:
            newest = self._mailbox.job
            if newest is None or newest.search_key != job.search_key:
                return True
            self._again.clear()
        self._again_job = job
        self._again.append(_Span(NonceRange(nonces.first, half), known))
        rest = NonceRange(nonces.first + half, nonces.count - half)
        self._again.append(_Span(rest, known))
        return True

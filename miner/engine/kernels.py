"""The loaded kernels of one device, each proved on the CPU before it searches."""

from __future__ import annotations

from collections import OrderedDict, deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace

from miner.codegen.launch_shape import LaunchShape
from miner.devices.device import Image, Kernel, LaunchResult
from miner.engine.datasets import Datasets
from miner.engine.opened_device import OpenedDevice
from miner.engine.programs import SearchProgram, next_program, program_at, program_of
from miner.engine.proof import KernelProof, prove_kernel
from miner.errors import DeviceError, WrongResult
from miner.telemetry.events import KernelReady
from miner.work import Job, NonceRange

KEPT_KERNELS = 8
"""Loaded kernels of one device, enough for a pool that alternates between coins."""

TRIES = 2
"""Builds of a program, until one gives a right kernel."""

_Key = tuple[SearchProgram, LaunchShape]
"""The shape has the number of the dataset's buffers, which are arguments of the kernel."""


@dataclass(slots=True)
class _Upcoming:
    """The kernel of the next period, loaded and proved between the launches of a search."""

    key: _Key
    before: Job
    """A job of the period before it."""
    building: Future[Image]
    proof: KernelProof
    spans: deque[NonceRange]
    """Ranges of the proof that were not launched yet."""
    tries: int
    kernel: Kernel = None
    in_flight: int = 0
    abandoned: bool = False


@dataclass(frozen=True, slots=True)
class UpcomingProof:
    """A launch that proves an upcoming kernel."""

    kernels: Kernels
    upcoming: _Upcoming
    span: NonceRange

    @property
    def job(self) -> Job:
        return self.upcoming.proof.job

    @property
    def kernel(self) -> Kernel:
        return self.upcoming.kernel

    def finish(self, found: LaunchResult | None) -> None:
        """Take the result; None: the launch failed."""
        self.kernels.finish_proof(self.upcoming, self.span, found)


class Kernels:
    """Builds, loads and proves kernels; used by the device's thread.

    While one kernel searches, that of the next period is built, loaded and proved, so that the
    device does not idle when the period changes.
    """

    def __init__(self, opened: OpenedDevice, datasets: Datasets) -> None:
        self._opened, self._device, self._datasets = opened, opened.device, datasets
        self._proved: OrderedDict[_Key, Kernel] = OrderedDict()
        self._newest: _Key | None = None
        """Key of the kernel that searches."""
        self._last: tuple[Job, Kernel] | None = None
        """The newest result of `ready`: each launch needs it, and hashing a key takes long."""
        self._unreported: set[_Key] = set()
        """Keys of kernels that were proved ahead and not used yet."""
        self._unfollowed: Job | None = None
        """A job of the newest program, until the program after it is requested."""
        self._upcoming: _Upcoming | None = None
        self._was_wrong = False
        """Whether the newest program gave only wrong kernels."""

    def provide(self, job: Job) -> bool:
        """Prove a kernel for `job`, whose dataset is selected, while no launch is in flight. Return
        False if the newest job needs another kernel by now."""
        self._last = None
        key = program_of(job), self._device.shape
        if key not in self._proved:
            kernel = self._build(job, key)
            if kernel is None:
                return False
            self._keep(key, kernel)
        return True

    def ready(self, job: Job) -> Kernel | None:
        """Return the proved kernel of `job`; None if it, or the dataset, is not prepared."""
        if self._datasets.selected != job.epoch:
            return None
        if self._last is not None and self._last[0] is job:
            return self._last[1]
        key = program_of(job), self._device.shape
        kernel = self._proved.get(key)
        if kernel is None:
            return None
        if key != self._newest:
            self._newest = key
            self._proved.move_to_end(key)
            if key in self._unreported:
                self._unreported.discard(key)
                self._opened.report(KernelReady(self._opened.name, job.period, 0.0))
            self._unfollowed = job
        self._last = job, kernel
        return kernel

    @property
    def is_ahead(self) -> bool:
        """Whether nothing is built or proved for the next period."""
        return self._upcoming is None and self._unfollowed is None

    def next_proof(self) -> UpcomingProof | None:
        """Return the next launch that proves the upcoming kernel, once it is built; None if there
        is none. The first call starts the build. The device may be searching."""
        if self._unfollowed is not None:
            self._expect_next(self._unfollowed, TRIES)
            self._unfollowed = None
        upcoming = self._upcoming
        if upcoming is None or not upcoming.spans or not _is_built(upcoming.building):
            return None
        if upcoming.kernel is None:
            upcoming.kernel = self._device.load(upcoming.building.result())
        upcoming.in_flight += 1
        return UpcomingProof(self, upcoming, upcoming.spans.popleft())

    def finish_proof(
        self, upcoming: _Upcoming, span: NonceRange, found: LaunchResult | None
    ) -> None:
        """Take the result of a launch of a proof."""
        upcoming.in_flight -= 1
        if found is None:
            with suppress(DeviceError):  # after the launch, all calls may fail; its error counts
                self._abandon(upcoming)
            return
        if upcoming.abandoned:
            self._abandon(upcoming)
            return
        try:
            upcoming.proof.check(self._opened.name, span, found)
        except WrongResult as error:
            self._opened.report_fault(str(error))
            self._opened.shared.programs.discard(self._device, upcoming.building.result())
            self._abandon(upcoming)
            if upcoming.tries > 1:
                self._expect_next(upcoming.before, upcoming.tries - 1)
            return
        if not upcoming.spans and not upcoming.in_flight:
            self._upcoming = None
            self._unreported.add(upcoming.key)
            self._keep(upcoming.key, upcoming.kernel)

    def _expect_next(self, job: Job, tries: int) -> None:
        """Start building the program after that of `job`, to be proved if its dataset is in
        memory."""
        device, shared = self._device, self._opened.shared
        if self._upcoming is not None:
            self._abandon(self._upcoming)
        building, following = shared.programs.prebuild(device, job), next_program(job)
        if building is None or following is None or following[1] != job.epoch:
            return
        period, epoch = following
        key = program_at(job.variant, period, epoch), device.shape
        if key in self._proved:
            return
        later = replace(job, height=period * job.variant.period)
        proof = shared.proofs.of(key[0], later, device.round_up(1))
        self._upcoming = _Upcoming(key, job, building, proof, deque(proof.spans), tries)

    def _abandon(self, upcoming: _Upcoming) -> None:
        """Stop proving the kernel; unload it after the launches in flight."""
        upcoming.abandoned = True
        if self._upcoming is upcoming:
            self._upcoming = None
        if upcoming.kernel is not None and not upcoming.in_flight:
            self._device.unload(upcoming.kernel)
            upcoming.kernel = None

    def _keep(self, key: _Key, kernel: Kernel) -> None:
        self._proved[key] = kernel
        self._last = None
        while len(self._proved) > KEPT_KERNELS:
            old, unused = self._proved.popitem(last=False)
            self._unreported.discard(old)
            self._device.unload(unused)

    def _build(self, job: Job, key: _Key) -> Kernel | None:
        """Build, load and prove a kernel; None if the newest job needs another one by now."""
        opened, device, shared = self._opened, self._device, self._opened.shared
        program = key[0]

        def moved_on() -> bool:
            newest = opened.slot.job
            return newest is None or program_of(newest) != program

        proof = shared.proofs.of(program, job, device.round_up(1))
        reason = ""
        for _ in range(TRIES):
            begun = opened.now()
            image = opened.wait_for_build(shared.programs.search_image(device, job), moved_on)
            if image is None:
                return None
            kernel: Kernel = device.load(image)
            try:
                prove_kernel(device, kernel, proof)
            except WrongResult as error:
                reason = str(error)
                opened.report_fault(reason)
                device.unload(kernel)
                shared.programs.discard(device, image)
                continue
            opened.report(KernelReady(opened.name, job.period, opened.now() - begun))
            self._was_wrong = False
            return kernel
        if self._was_wrong:
            # Two programs in a row: the dataset or the card may be at fault, so reopen it.
            raise WrongResult(reason)
        self._was_wrong = True
        while not (moved_on() or opened.slot.stopping):
            opened.rest(reason, moved_on)
        return None


def _is_built(building: Future[Image]) -> bool:
    return building.done() and not building.cancelled() and building.exception() is None

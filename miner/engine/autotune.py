"""Chooses the launch shape of a device while it mines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import lcm

from miner.codegen.launch_shape import shape_beside, shape_named
from miner.devices.device import Image, Kernel
from miner.devices.tuned_shapes import TunedShape
from miner.engine.datasets import Datasets
from miner.engine.kernels import Kernels, UpcomingProof
from miner.engine.opened_device import OpenedDevice
from miner.engine.programs import SearchProgram, program_of
from miner.engine.proof import prove_kernel
from miner.engine.shape_choice import choice, ratio_of
from miner.errors import BadValue, DeviceError, WrongResult
from miner.telemetry.events import Launched, ShapeChosen, ShapeLeftOut
from miner.work import Job

ROUNDS = 10
"""Rounds until the choice; each measures every shape once. `tune` has as many by default."""

ROUNDS_OF_PROGRAM = 2
"""Rounds with the program of one period."""

TURN_SECONDS = 5.0
"""Time for which the device searches in one turn."""

HOPELESS_ROUNDS = 3
"""A shape that was slower in each of this many rounds is left out."""


@dataclass(slots=True, eq=False)
class _Trial:
    """A shape, with its kernel for the present program."""

    name: str
    rounds: list[float] = field(default_factory=list)
    building: Future[Image] | None = None
    kernel: Kernel = None


class Autotune:
    """Lets the launch shapes of one device take turns at the search until one is chosen. `names`
    are the shapes to compare with the device's own, as `shape_beside` takes them.

    A turn searches the job as always, so its solutions are shares. Its kernel was built in the
    background and compared with the CPU before. A shape that the compiler, the driver or the CPU
    refuses is left out. The device's thread calls it: `open` after each opening of the device;
    `turn` encloses each search, for which it chooses the kernels.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.chosen: str | None = None
        """The fastest shape; None until it is known and used here."""
        self._names = names
        self._trials: list[_Trial] = []
        """The device's own shape first."""
        self._order: deque[_Trial] = deque()
        """The shapes whose turns of this round are left."""
        self._rates: dict[_Trial, float] = {}
        """Hashes per second so far in this round."""
        self._turn: _Trial | None = None
        self._stale: list[Kernel] = []
        """Kernels that are not used again, to be unloaded when no launch is in flight."""
        self._job: Job | None = None
        """The newest job that was searched."""
        self._program: SearchProgram | None = None
        """The program of that job."""
        self._rounds_left = 0
        """Rounds that may begin with this program."""
        self._tried, self._spent = 0, 0.0
        """Nonces tried and seconds of search in this turn."""

    def open(self, opened: OpenedDevice, datasets: Datasets, kernels: Kernels) -> None:
        """Use a device that has just been opened, in its own shape."""
        self._opened, self._device, self._choice = opened, opened.device, opened.choice
        self._datasets, self._kernels = datasets, kernels
        if not self._trials:
            own = opened.device.shape.split(1)
            others = [shape_beside(name, own).name for name in self._names]
            self._trials = [_Trial(name) for name in dict.fromkeys((own.name, *others))]
        for trial in self._trials:
            trial.building = trial.kernel = None
        self._job = self._program = self._turn = None
        self._stale.clear()
        self._drop_round()

    @property
    def granule(self) -> int:
        """The number of nonces in a launch is a multiple of this in each shape."""
        groups = (shape_named(trial.name).nonces_per_group for trial in self._trials)
        return lcm(self._device.round_up(1), *groups)

    @contextmanager
    def turn(self, job: Job) -> Iterator[None]:
        """Choose the shape of a search that begins with `job`, whose kernel and dataset are ready.
        No launch is in flight before and after the block."""
        self._begin(job)
        try:
            yield
        except DeviceError as error:
            self._fail(str(error))
            raise
        self._end()

    def measured(self, launch: Launched) -> None:
        """Record a launch of this turn."""
        self._tried += launch.tried
        self._spent += launch.seconds

    # Called by the search

    def ready(self, job: Job) -> Kernel | None:
        """Return the kernel that searches `job` in this turn; None: the turn is over, or nothing
        is prepared."""
        if job is not self._job and not self._follow(job):
            return None
        if self._turn is not None and self._spent >= TURN_SECONDS:
            return None
        if self._turn is None or self._turn is self._trials[0]:
            kernel = self._kernels.ready(job)
            begins = self._turn is None and kernel is not None and self._may_begin(job)
            return None if begins else kernel
        return self._turn.kernel if self._datasets.selected == job.epoch else None

    def next_proof(self) -> UpcomingProof | None:
        """Return the launch that proves the next period's kernel; only in the own shape."""
        own = self._turn is None or self._turn is self._trials[0]
        return self._kernels.next_proof() if own else None

    # Turns and rounds

    def _begin(self, job: Job) -> None:
        if job is not self._job:
            self._follow(job)
        self._tried, self._spent = 0, 0.0
        while self._stale:
            self._device.unload(self._stale.pop())
        if not self._order and self._may_begin(job):
            if self._choice.best is not None:
                self._adopt(self._choice.best, job)
                return
            first = len(self._trials[0].rounds) % len(self._trials)
            self._order.extend(self._trials[first:] + self._trials[:first])
            self._rounds_left -= 1
        while self._order and self._turn is None:
            trial = self._order.popleft()
            if trial is self._trials[0] or self._prepare(trial, job):
                self._turn = trial
        if self._turn is None and self._rates:  # the last shapes of the round were refused
            self._end_round()

    def _end(self) -> None:
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self._use_own_shape()
        if self._spent < TURN_SECONDS:
            self._drop_round()  # a pause, or another program
            return
        self._rates[turn] = self._tried / self._spent
        if not self._order:
            self._end_round()

    def _fail(self, reason: str) -> None:
        """Leave out the shape whose turn it was, unless it is the device's own. The device may be
        at fault, so that nothing is chosen if no other shape is left."""
        turn, self._turn = self._turn, None
        self._drop_round()
        if turn is not None and turn is not self._trials[0]:
            self._leave_out(turn, reason)  # first: on a broken device the next call fails too
            self._use_own_shape()

    def _may_begin(self, job: Job) -> bool:
        """Return whether a round, or the use of another device's choice, can begin: the next
        period's kernel and those that are due are built. Start to build these once that of the
        next period is ready."""
        if self.chosen or not self._kernels.is_ahead:
            return False
        builds = [self._build(trial, job) for trial in self._due()]
        return bool(builds) and all(one.done() and not one.cancelled() for one in builds)

    def _due(self) -> list[_Trial]:
        """Return the shapes beside the own one whose kernels are needed next."""
        if self._choice.best is not None:
            return [one for one in self._trials[1:] if one.name == self._choice.best.shape]
        others = self._trials[1:]
        return (
            others if others and self._rounds_left and self._choice.claim(self._opened.name) else []
        )

    def _build(self, trial: _Trial, job: Job) -> Future[Image]:
        """Return the build of the trial's kernel, which another device that shares it may have
        cancelled."""
        if trial.building is None or trial.building.cancelled():
            shape = shape_named(trial.name).split(self._device.shape.buffers)
            trial.building = self._opened.shared.programs.search_image(self._device, job, shape)
        return trial.building

    def _follow(self, job: Job) -> bool:
        """Record that `job` is searched now; return False if that ends the turn."""
        program = program_of(job)
        if program != self._program:
            if self._turn is not None:
                return False
            self._drop_round()
            self._program, self._rounds_left = program, ROUNDS_OF_PROGRAM
            for trial in self._trials:
                if trial.building is not None:
                    trial.building.cancel()  # the kernel of the new program must not wait for it
                self._retire(trial)
        self._job = job
        return True

    def _end_round(self) -> None:
        rates, own = self._rates, self._trials[0]
        self._drop_round()
        for trial in self._trials:
            trial.rounds.append(rates[trial])
        if len(own.rounds) >= HOPELESS_ROUNDS:
            for trial in self._trials[1:]:
                if ratio_of(trial, own).high < 1:
                    self._remove(trial)
        if len(own.rounds) >= ROUNDS or len(self._trials) == 1:
            self._choose()

    def _drop_round(self) -> None:
        self._order.clear()
        self._rates = {}

    def _choose(self) -> None:
        best = choice(self._trials)
        self._choice.best = best
        self._use(best)

    def _adopt(self, best: TunedShape, job: Job) -> None:
        """Use the shape that an equal device chose, if its kernel is right here too."""
        for trial in self._due():  # none if it is the own shape
            if self._prepare(trial, job):
                self._use(best)

    def _use(self, best: TunedShape) -> None:
        self.chosen = best.shape
        self._drop_round()
        for trial in self._trials[1:]:
            self._retire(trial)
        if best.shape != best.default:
            self._use_shape(best.shape)
        self._opened.report(
            ShapeChosen(
                self._opened.name, best.shape, best.default, best.ratio, best.low, best.high
            )
        )

    # Shapes

    def _prepare(self, trial: _Trial, job: Job) -> bool:
        """Use the shape of `trial` and prove its kernel; leave it out if that fails."""
        assert trial.building is not None
        device, shared = self._device, self._opened.shared
        try:
            image = trial.building.result()
            self._use_shape(trial.name)
            if trial.kernel is None:
                trial.kernel = device.load(image)
                proof = shared.proofs.of(program_of(job), job, device.round_up(1))
                prove_kernel(device, trial.kernel, proof)
            return True
        except WrongResult as error:
            shared.programs.discard(device, image)
            reason = str(error)
        except (BadValue, DeviceError) as error:
            reason = str(error)
        self._leave_out(trial, reason)
        if len(self._trials) == 1 and self._choice.best is None:
            self._choose()
        self._use_own_shape()
        return False

    def _leave_out(self, trial: _Trial, reason: str) -> None:
        self._opened.report(ShapeLeftOut(self._opened.name, trial.name, reason))
        self._remove(trial)

    def _remove(self, trial: _Trial) -> None:
        self._retire(trial)
        self._trials.remove(trial)
        self._rates.pop(trial, None)

    def _retire(self, trial: _Trial) -> None:
        """Have the trial's kernel unloaded before the next search; a broken device, which cannot
        unload it, is closed before that."""
        if trial.kernel is not None:
            self._stale.append(trial.kernel)
        trial.building = trial.kernel = None

    def _use_own_shape(self) -> None:
        self._use_shape(self._trials[0].name)

    def _use_shape(self, name: str) -> None:
        self._device.take_shape(shape_named(name))
        if self._datasets.selected is not None:
            self._device.select(self._datasets.selected)

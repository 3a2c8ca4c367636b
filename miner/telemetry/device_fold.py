"""Events of one device folded into its part of the snapshot."""

from __future__ import annotations

from collections import deque
from itertools import pairwise

from miner.telemetry.events import (
    DatasetBuilding,
    DeviceEvent,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    JobTaken,
    KernelReady,
    Launched,
    NoncesExhausted,
    ResultOverflow,
    SensorsRead,
)
from miner.telemetry.luck import Luck
from miner.telemetry.rates import DATASET_BUILDS, JOB_SWITCHES, KERNEL_BUILDS, Tried
from miner.telemetry.reading import Reading
from miner.telemetry.snapshot import DeviceSnapshot, DeviceState, Tally
from miner.work import DeviceInfo, Outcome, Verdict

LONGEST = 60.0
"""Seconds of readings that are kept."""


class Drawn:
    """The power that one device draws, as its sensor told it."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float | None]] = deque()

    def add(self, now: float, watts: float | None) -> None:
        """Note what was read `now`, in clock seconds; it holds until the next reading."""
        self._readings.append((now, watts))
        while len(self._readings) > 1 and self._readings[1][0] <= now - LONGEST:
            self._readings.popleft()

    def mean(self, now: float, seconds: float) -> float | None:
        """Return W over the `seconds` before `now`, at most a minute, as far as they were told;
        None where nothing is told now."""
        if not self._readings or self._readings[-1][1] is None:
            return None
        energy = known = 0.0
        for (at, watts), (until, _) in pairwise([*self._readings, (now, None)]):
            lasted = until - max(at, now - min(seconds, LONGEST))
            if watts is not None and lasted > 0:
                energy += watts * lasted
                known += lasted
        return energy / known if known else self._readings[-1][1]


_NEEDS_A_JOB = (DeviceState.SEARCHING, DeviceState.READY, DeviceState.EXHAUSTED)


class DeviceFold:
    """What is known of one device."""

    def __init__(self, info: DeviceInfo) -> None:
        self._info = info
        self._jobless = False
        self._state = DeviceState.STARTING
        self._doing = DeviceState.STARTING.value
        self._progress: float | None = None
        self._epoch: int | None = None
        """Of the dataset that it holds."""
        self._tried = Tried()
        self._expected = self._since = 0.0
        self._found = 0
        self._faults = 0
        self._last_fault: str | None = None
        self._paused: str | None = None
        self._reading = Reading()
        self._drawn = Drawn()
        self._last_share_at: float | None = None
        self._last_difficulty: float | None = None
        self._best_difficulty: float | None = None
        self._kernel_builds = KERNEL_BUILDS
        self._job_switches = JOB_SWITCHES
        self._dataset_builds = DATASET_BUILDS

    def wait(self, jobless: bool) -> None:
        """Note whether there is no job now; what still comes back of an older one is no search."""
        self._jobless = jobless
        if self._state is DeviceState.WAITING:
            self._is(DeviceState.READY)
        elif self._state in _NEEDS_A_JOB:
            self._is(self._state, self._doing)

    def found(self, difficulty: float) -> None:
        """Note a solution whose hash is as good as `difficulty` hashes cost."""
        self._found += 1
        self._since = 0.0
        self._last_difficulty = difficulty
        self._best_difficulty = max(difficulty, self._best_difficulty or 0.0)

    def answered(self, verdict: Verdict, wall: float) -> None:
        if verdict.outcome is Outcome.ACCEPTED:
            self._last_share_at = wall

    def fold(self, event: DeviceEvent, now: float) -> None:
        match event:
            case DatasetBuilding(_, epoch, done, spent):
                self._dataset(epoch, done, spent)
            case KernelReady(_, period, spent):
                self._kernel_builds = self._kernel_builds.counting(spent)
                self._is(DeviceState.READY, f"kernel of period {period} ready")
            case Launched(_, tried, seconds, expected):
                self._tried.add(now, tried, seconds)
                self._expected += expected
                self._since += expected
                self._is(DeviceState.SEARCHING)
            case JobTaken(_, spent):
                self._job_switches = self._job_switches.counting(spent)
                self._is(DeviceState.SEARCHING)
            case ResultOverflow():
                self._is(DeviceState.SEARCHING)
            case NoncesExhausted():
                self._is(DeviceState.EXHAUSTED, "resting: every nonce of this job was searched")
            case DeviceFault(_, reason):
                self._faults += 1
                self._last_fault = reason
            case DeviceResting(_, reason, None):
                self._is(DeviceState.PARKED, f"parked: {reason}")
            case DeviceResting(_, reason, _):
                self._is(DeviceState.RESTING, f"resting: {reason}")
            case DevicePaused(_, reason):
                self._paused = reason
            case DeviceHanging(_, reason):
                self._is(DeviceState.HUNG, f"hung: {reason}")
            case SensorsRead(_, reading):
                self._reading = reading
                self._drawn.add(now, reading.power)

    def snapshot(
        self, now: float, shares: Tally, light: tuple[int, str] | None = None
    ) -> DeviceSnapshot:
        """Return what is known `now`, in clock seconds; `light` is the epoch whose light cache is
        being built, with a sentence on how far."""
        state, doing = self._state, self._doing
        if light is not None and light[0] != self._epoch and state in _NEEDS_A_JOB:
            state, doing = DeviceState.BUILDING, f"waiting for the {light[1]}"
        if self._paused is not None and state not in (DeviceState.PARKED, DeviceState.HUNG):
            state, doing = DeviceState.PAUSED, f"paused: {self._paused}"
        since = self._tried.since
        mining_seconds = max(now - since, 0.0) if since is not None else 0.0
        return DeviceSnapshot(
            info=self._info,
            state=state,
            doing=doing,
            progress=self._progress,
            hashrate=self._tried.hashrate(now),
            mining_seconds=mining_seconds,
            tried=self._tried.total,
            found=self._found,
            shares=shares,
            faults=self._faults,
            last_fault=self._last_fault,
            paused=self._paused,
            reading=self._reading,
            drawn=self._drawn.mean(now, mining_seconds),
            luck=Luck(self._expected, self._found, self._since),
            last_share_at=self._last_share_at,
            last_difficulty=self._last_difficulty,
            best_difficulty=self._best_difficulty,
            kernel_builds=self._kernel_builds,
            job_switches=self._job_switches,
            dataset_builds=self._dataset_builds,
        )

    def _dataset(self, epoch: int, done: float, seconds: float) -> None:
        self._epoch = epoch if done >= 1 else None
        if done >= 1:
            self._dataset_builds = self._dataset_builds.counting(seconds)
            self._is(DeviceState.READY, f"dataset of epoch {epoch} ready")
        else:
            doing = f"building the dataset of epoch {epoch}: {done:.0%}"
            self._is(DeviceState.BUILDING, doing, done)

    def _is(self, state: DeviceState, doing: str = "", progress: float | None = None) -> None:
        # A driver that hung may come back, and nobody uses its device any more.
        over = self._state is DeviceState.HUNG
        if over or (self._state is DeviceState.PARKED and state is not DeviceState.HUNG):
            return
        if self._jobless and state in _NEEDS_A_JOB:
            state, doing = DeviceState.WAITING, ""
        self._state, self._doing, self._progress = state, doing or state.value, progress

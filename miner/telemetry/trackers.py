"""The state of each pool and each device, updated by events."""

from __future__ import annotations

from miner.telemetry import events
from miner.telemetry.device_snapshot import DeviceSnapshot, DeviceState, Reading
from miner.telemetry.luck import Luck
from miner.telemetry.rates import (
    DATASET_BUILDS,
    JOB_SWITCHES,
    KERNEL_BUILDS,
    ROUND_TRIPS,
    HashrateMeter,
    PowerMeter,
)
from miner.telemetry.snapshot import PoolSnapshot, PoolState
from miner.telemetry.tally import Tally
from miner.work import DeviceInfo, Outcome, Verdict


class PoolTracker:
    """Follows one pool by its events."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._state = PoolState.LOST
        self._reason = self._account = ""
        self._unverified = False
        self._connected_at: float | None = None
        self._logins = self._losses = 0
        self._latency: float | None = None
        self._round_trips = ROUND_TRIPS
        self._last_share_at: float | None = None
        self._work = 0.0

    def connecting(self, unverified: bool) -> None:
        """Note a new connection, whose certificate may be `unverified`."""
        self._state, self._unverified = PoolState.CONNECTING, unverified
        self._reason, self._connected_at = "", None

    def ready(self, now: float, account: str) -> None:
        """Note that the pool accepted the login of `account`, at clock second `now`."""
        self._account = account
        self._state, self._reason, self._connected_at = PoolState.CONNECTED, "", now
        self._logins += 1

    def lost(self, reason: str, *, left: bool = False) -> None:
        """Note that the connection ended; it counts as a loss unless we `left` it."""
        # The event also comes without a connection: when the miner gives up, or for a ban.
        self._losses += self._state is not PoolState.LOST and not left
        self._state, self._reason, self._connected_at = PoolState.LOST, reason, None

    def answered(self, verdict: Verdict, now: float) -> None:
        """Note the verdict on one of its shares, at clock second `now`."""
        if verdict.seconds is not None:
            self._latency = verdict.seconds
            self._round_trips = self._round_trips.with_duration(verdict.seconds)
        if verdict.outcome is Outcome.ACCEPTED:
            self._last_share_at = now
            self._work += verdict.solution.job.difficulty

    def snapshot(self, unix_zero: float, shares: Tally) -> PoolSnapshot:
        """Return the present state, with the pool's counts of `shares`; `unix_zero` is the UNIX
        time of clock second 0."""
        return PoolSnapshot(
            label=self._label, state=self._state, reason=self._reason, unverified=self._unverified,
            account=self._account,
            connected_at=unix(unix_zero, self._connected_at), logins=self._logins,
            losses=self._losses, latency=self._latency, round_trips=self._round_trips,
            shares=shares, last_share_at=unix(unix_zero, self._last_share_at), work=self._work,
        )  # fmt: skip


_NEEDS_A_JOB = (DeviceState.SEARCHING, DeviceState.READY, DeviceState.EXHAUSTED)


class DeviceTracker:
    """Follows one device by its events."""

    def __init__(self, info: DeviceInfo) -> None:
        self._info = info
        self._idle: str | None = None
        """Reason why nothing is mined; None while a job is mined."""
        self._state = DeviceState.STARTING
        self._doing = DeviceState.STARTING.value
        self._progress: float | None = None
        self._epoch: int | None = None
        """Epoch of the dataset in its memory."""
        self._hashrate = HashrateMeter()
        self._expected = self._effort = 0.0
        self._found = 0
        self._faults = 0
        self._last_fault: str | None = None
        self._paused: str | None = None
        self._reading = Reading()
        self._power = PowerMeter()
        self._last_share_at: float | None = None
        self._last_difficulty: float | None = None
        self._best_difficulty: float | None = None
        self._kernel_builds = KERNEL_BUILDS
        self._job_switches = JOB_SWITCHES
        self._last_job_switch: float | None = None
        self._dataset_builds = DATASET_BUILDS

    def set_idle(self, reason: str | None) -> None:
        """Note why there is nothing to mine (None: there is a job); launches of an old job may
        still end meanwhile."""
        self._idle = reason
        if self._state is DeviceState.WAITING:
            self._enter(DeviceState.READY)
        elif self._state in _NEEDS_A_JOB:
            self._enter(self._state, self._doing)

    def found(self, difficulty: float) -> None:
        """Count a solution whose hash reaches `difficulty`, in hashes."""
        self._found += 1
        self._effort = 0.0
        self._last_difficulty = difficulty
        self._best_difficulty = max(difficulty, self._best_difficulty or 0.0)

    def answered(self, verdict: Verdict, now: float) -> None:
        """Note the verdict on one of its solutions, at clock second `now`."""
        if verdict.outcome is Outcome.ACCEPTED:
            self._last_share_at = now

    def apply(self, event: events.DeviceEvent, now: float) -> None:
        """Apply an event of this device, at clock second `now`."""
        match event:
            case events.DatasetBuilding(_, epoch, done, seconds):
                self._dataset(epoch, done, seconds)
            case events.KernelReady(_, period, seconds):
                self._kernel_builds = self._kernel_builds.with_duration(seconds)
                self._enter(DeviceState.READY, f"kernel for period {period} ready")
            case events.Launched(_, tried, seconds, expected):
                self._hashrate.add(now, tried, seconds)
                self._expected += expected
                self._effort += expected
                self._enter(DeviceState.SEARCHING)
            case events.JobTaken(_, seconds):
                self._job_switches = self._job_switches.with_duration(seconds)
                self._last_job_switch = seconds
                self._enter(DeviceState.SEARCHING)
            case events.ResultOverflow():
                self._enter(DeviceState.SEARCHING)
            case events.NoncesExhausted():
                self._enter(DeviceState.EXHAUSTED, "waiting: every nonce of this job was searched")
            case events.DeviceFault(_, reason):
                self._faults += 1
                self._last_fault = reason
            case events.DeviceResting(_, reason, parked=True):
                self._enter(DeviceState.PARKED, f"parked: {reason}")
            case events.DeviceResting(_, reason):
                self._enter(DeviceState.RESTING, f"resting: {reason}")
            case events.EpochSkipped(_, _, reason, _):
                self._enter(DeviceState.RESTING, f"resting: {reason}")
            case events.DevicePaused(_, reason):
                self._paused = reason
            case events.DeviceHanging(_, reason):
                self._enter(DeviceState.HUNG, f"hung: {reason}")
            case events.SensorsRead(_, reading):
                self._reading = reading
                self._power.add(now, reading.power)

    def snapshot(
        self, now: float, unix_zero: float, shares: Tally, light: tuple[int, str] | None = None
    ) -> DeviceSnapshot:
        """Return the state at clock second `now`; `unix_zero` is the UNIX time of clock second 0.
        `light` is the epoch whose light cache is being built, and its progress as text."""
        state, doing = self._state, self._doing
        if light is not None and light[0] != self._epoch and state in _NEEDS_A_JOB:
            state, doing = DeviceState.BUILDING, f"waiting for the {light[1]}"
        if self._paused is not None and state not in (DeviceState.PARKED, DeviceState.HUNG):
            state, doing = DeviceState.PAUSED, f"paused: {self._paused}"
        since = self._hashrate.since
        mining_seconds = now - since if since is not None else 0.0
        return DeviceSnapshot(
            info=self._info, state=state, doing=doing, progress=self._progress,
            hashrate=self._hashrate.hashrate(now), mining_seconds=mining_seconds,
            tried=self._hashrate.total, found=self._found, shares=shares, faults=self._faults,
            last_fault=self._last_fault, paused=self._paused, reading=self._reading,
            mean_power=self._power.mean(now, mining_seconds), energy=self._power.energy,
            luck=Luck(self._expected, self._found, self._effort),
            last_share_at=unix(unix_zero, self._last_share_at),
            last_difficulty=self._last_difficulty, best_difficulty=self._best_difficulty,
            kernel_builds=self._kernel_builds, last_job_switch=self._last_job_switch,
            job_switches=self._job_switches, dataset_builds=self._dataset_builds,
        )  # fmt: skip

    def _dataset(self, epoch: int, done: float, seconds: float) -> None:
        self._epoch = epoch if done >= 1 else None
        if done >= 1:
            self._dataset_builds = self._dataset_builds.with_duration(seconds)
            self._enter(DeviceState.READY, f"dataset (DAG) of epoch {epoch} ready")
        else:
            doing = f"building the dataset (DAG) of epoch {epoch}: {done:.0%}"
            self._enter(DeviceState.BUILDING, doing, done)

    def _enter(self, state: DeviceState, doing: str = "", progress: float | None = None) -> None:
        # A hung driver call may return late; its device stays out of use.
        if self._state is DeviceState.HUNG:
            return
        if self._idle is not None and state in _NEEDS_A_JOB:
            state, doing = DeviceState.WAITING, self._idle
        self._state, self._doing, self._progress = state, doing or state.value, progress


def unix(zero: float, seconds: float | None) -> float | None:
    """Return clock second `seconds` as UNIX time; `zero` is the UNIX time of clock second 0."""
    return None if seconds is None else zero + seconds

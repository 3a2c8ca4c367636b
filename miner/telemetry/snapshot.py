"""All events folded into one `Snapshot`."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from miner.clock import Clock
from miner.telemetry.events import (
    DatasetBuilding,
    DeviceEvent,
    DeviceFault,
    DeviceResting,
    Event,
    KernelReady,
    Launched,
    LightCacheBuilding,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    ResultOverflow,
    ShareAnswered,
    ShareFound,
)
from miner.work import Job, Outcome

WINDOWS = (10.0, 60.0, 900.0)
"""Seconds over which a hashrate is shown."""

SLOT_SECONDS = 0.25
"""Launches that came back this close together are kept as one."""


@dataclass(frozen=True, slots=True)
class Hashrate:
    """Nonces really tried per second, over the last 10 seconds, minute and quarter of an hour."""

    ten_seconds: float = 0.0
    minute: float = 0.0
    quarter_hour: float = 0.0

    def __add__(self, other: Hashrate) -> Hashrate:
        return Hashrate(
            self.ten_seconds + other.ten_seconds,
            self.minute + other.minute,
            self.quarter_hour + other.quarter_hour,
        )


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device at one moment."""

    name: str
    state: str
    """What it does now, as words."""
    hashrate: Hashrate
    tried: int
    """Nonces."""
    found: int
    """Solutions that went to the pool."""
    accepted: int
    rejected: Mapping[Outcome, int]
    """Every other outcome that occurred."""
    faults: int
    last_fault: str
    parked: bool
    """It does nothing for the rest of this run."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole miner at one moment."""

    uptime: float
    """Seconds."""
    pool: str | None
    pool_state: str
    notice: str
    """The newest thing a pool wanted a person to read."""
    unverified: bool
    """The pool's certificate is not checked, because the user said so."""
    pool_seconds: float | None
    """From sending to the newest answer."""
    job: Job | None
    light: str
    """What happens to the light cache; empty when it is ready."""
    devices: tuple[DeviceSnapshot, ...]
    hashrate: Hashrate
    tried: int
    found: int
    accepted: int
    rejected: Mapping[Outcome, int]
    faults: int

    @property
    def height(self) -> int | None:
        return self.job.height if self.job else None

    @property
    def epoch(self) -> int | None:
        return self.job.epoch.number if self.job else None

    @property
    def period(self) -> int | None:
        return self.job.period if self.job else None

    @property
    def difficulty(self) -> float | None:
        """Hashes expected for one share."""
        return 2**256 / (self.job.target + 1) if self.job else None

    def device(self, name: str) -> DeviceSnapshot:
        """Return the device `name`; raises `KeyError` for an unknown one."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)


@dataclass(slots=True)
class _Device:
    state: str = "starting"
    since: float | None = None
    """Clock seconds at which its first launch began."""
    tried: int = 0
    found: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    faults: int = 0
    last_fault: str = ""
    parked: bool = False
    slots: deque[tuple[float, int]] = field(default_factory=deque)

    def launched(self, now: float, tried: int, seconds: float) -> None:
        self.tried += tried
        if self.since is None:
            self.since = now - seconds
        if self.slots and now - self.slots[-1][0] < SLOT_SECONDS:
            at, sum_ = self.slots.pop()
            self.slots.append((at, sum_ + tried))
        else:
            self.slots.append((now, tried))
        while self.slots[0][0] <= now - WINDOWS[-1]:
            self.slots.popleft()

    def hashrate(self, now: float) -> Hashrate:
        if self.since is None or now <= self.since:
            return Hashrate()
        age = now - self.since
        sums = [0, 0, 0]
        for at, tried in self.slots:
            for index, window in enumerate(WINDOWS):
                if at > now - window:
                    sums[index] += tried
        return Hashrate(*(s / min(w, age) for s, w in zip(sums, WINDOWS, strict=True)))


class Telemetry:
    """Folds events into a `Snapshot`; used on the event loop's thread only."""

    def __init__(self, clock: Clock, devices: Iterable[str] = ()) -> None:
        self._clock = clock
        self._started = clock.now()
        self._devices = {name: _Device() for name in devices}
        self._pool: str | None = None
        self._pool_state = ""
        self._notice = ""
        self._unverified = False
        self._pool_seconds: float | None = None
        self._job: Job | None = None
        self._light = ""
        self._callbacks: list[Callable[[Event], None]] = []

    def emit(self, event: Event) -> None:
        """Fold `event`, then tell everyone who subscribed."""
        self._fold(event)
        for callback in tuple(self._callbacks):
            callback(event)

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Have `callback` called with each event from now on; returns what ends that."""
        self._callbacks.append(callback)

        def unsubscribe() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return unsubscribe

    def snapshot(self) -> Snapshot:
        """Return what is known now."""
        now = self._clock.now()
        devices = tuple(self._seen(name, device, now) for name, device in self._devices.items())
        outcomes = sum((d.outcomes for d in self._devices.values()), Counter[Outcome]())
        return Snapshot(
            uptime=now - self._started,
            pool=self._pool,
            pool_state=self._pool_state,
            notice=self._notice,
            unverified=self._unverified,
            pool_seconds=self._pool_seconds,
            job=self._job,
            light=self._light,
            devices=devices,
            hashrate=sum((d.hashrate for d in devices), Hashrate()),
            tried=sum(d.tried for d in devices),
            found=sum(d.found for d in devices),
            accepted=outcomes[Outcome.ACCEPTED],
            rejected=_rejected(outcomes),
            faults=sum(d.faults for d in devices),
        )

    def _seen(self, name: str, device: _Device, now: float) -> DeviceSnapshot:
        return DeviceSnapshot(
            name=name,
            state=device.state,
            hashrate=device.hashrate(now),
            tried=device.tried,
            found=device.found,
            accepted=device.outcomes[Outcome.ACCEPTED],
            rejected=_rejected(device.outcomes),
            faults=device.faults,
            last_fault=device.last_fault,
            parked=device.parked,
        )

    def _device(self, name: str) -> _Device:
        return self._devices.setdefault(name, _Device())

    def _fold(self, event: Event) -> None:
        match event:
            case PoolConnecting(pool, unverified):
                self._pool, self._pool_state = pool, "connecting"
                self._unverified = unverified
            case PoolReady(pool):
                self._pool, self._pool_state = pool, "connected"
            case PoolLost(pool, reason, _):
                self._pool, self._pool_state = pool, f"lost: {reason}"
            case PoolNotice(_, text):
                self._notice = text
            case NewJob(job):
                self._job = job
                if job is None:
                    self._all_wait()
            case LightCacheBuilding(epoch, done):
                building = f"light cache of epoch {epoch}: {done:.0%}"
                self._light = "" if done >= 1 else building
            case ShareFound(solution):
                self._device(solution.device).found += 1
            case ShareAnswered(verdict):
                self._device(verdict.solution.device).outcomes[verdict.outcome] += 1
                if verdict.seconds is not None:
                    self._pool_seconds = verdict.seconds
            case _:
                self._fold_of_device(self._device(event.device), event)

    def _fold_of_device(self, device: _Device, event: DeviceEvent) -> None:
        match event:
            case DatasetBuilding(_, epoch, done):
                ready = f"dataset of epoch {epoch} ready"
                device.state = (
                    ready if done >= 1 else f"building the dataset of epoch {epoch}: {done:.0%}"
                )
            case KernelReady(_, period):
                device.state = f"kernel of period {period} ready"
            case Launched(_, tried, seconds):
                device.launched(self._clock.now(), tried, seconds)
                device.state = "searching"
            case ResultOverflow():
                device.state = "searching"
            case NoncesExhausted():
                device.state = "resting: every nonce of this job was searched"
            case DeviceFault(_, reason):
                device.faults += 1
                device.last_fault = reason
            case DeviceResting(_, reason, seconds):
                device.parked = seconds is None
                device.state = f"{'parked' if device.parked else 'resting'}: {reason}"

    def _all_wait(self) -> None:
        for device in self._devices.values():
            if device.state == "searching" or device.state.startswith("kernel"):
                device.state = "waiting for a job"


def _rejected(outcomes: Counter[Outcome]) -> Mapping[Outcome, int]:
    return {o: n for o, n in outcomes.items() if o is not Outcome.ACCEPTED and n}

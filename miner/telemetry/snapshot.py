"""The whole miner at one moment: the one value that every view is a rendering of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from miner.telemetry.events import Reading
from miner.telemetry.luck import Luck
from miner.telemetry.rates import Hashrate, Histogram
from miner.work import DeviceInfo, Job, Outcome

_STALE = (Outcome.STALE, Outcome.NOT_SENT)
_APART = (Outcome.ACCEPTED, Outcome.INVALID, Outcome.LOST, *_STALE)


class DeviceState(Enum):
    """What a device is at."""

    STARTING = "starting"
    BUILDING = "building the dataset"
    """Or waiting for the light cache that the dataset is built from."""
    READY = "ready"
    """Dataset or kernel is there, no launch has come back yet."""
    SEARCHING = "searching"
    WAITING = "waiting for a job"
    EXHAUSTED = "every nonce was searched"
    PAUSED = "paused"
    """By a person or because it is too hot."""
    RESTING = "resting after a failure"
    PARKED = "parked"
    """It does nothing for the rest of this run."""
    HUNG = "hung"


class PoolState(Enum):
    """How we stand with a pool."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Tally:
    """Shares by what became of them."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    """Those that occurred."""
    hardware: int = 0
    """Claims of the device that were not true; none of them was sent."""
    blocks: int = 0
    """Accepted ones that met the block's target, as far as the pool told it."""

    @property
    def accepted(self) -> int:
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def stale(self) -> int:
        """Too late: as the pool said, or as we saw and did not send them."""
        return sum(self.outcomes.get(outcome, 0) for outcome in _STALE)

    @property
    def invalid(self) -> int:
        """The pool calls them wrong."""
        return self.outcomes.get(Outcome.INVALID, 0)

    @property
    def lost(self) -> int:
        """Without an answer."""
        return self.outcomes.get(Outcome.LOST, 0)

    @property
    def rejected(self) -> int:
        """Refused for another reason: difficulty, duplicate, account."""
        return sum(n for outcome, n in self.outcomes.items() if outcome not in _APART)

    @property
    def answered(self) -> int:
        """All that had a verdict, hardware apart."""
        return sum(self.outcomes.values())

    @property
    def not_accepted(self) -> int:
        return self.answered - self.accepted


@dataclass(frozen=True, slots=True)
class BestShare:
    """One of the best shares of this run."""

    difficulty: float
    """Hashes that one as good costs on average."""
    at: float
    """UNIX seconds."""
    device: str
    pool: str
    height: int


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device at one moment."""

    info: DeviceInfo
    state: DeviceState
    doing: str
    """The state in words, with what it is about."""
    progress: float | None
    """Of the dataset that is being built, 0 to 1."""
    hashrate: Hashrate
    mining_seconds: float
    """Since its first launch began; a window of the hashrate is full when this is longer."""
    tried: int
    """Nonces."""
    found: int
    """Solutions proved."""
    shares: Tally
    faults: int
    """Everything that went wrong with it, untrue claims among them."""
    last_fault: str
    paused: str | None
    """Why it was told to pause."""
    reading: Reading
    drawn: float | None
    """W over the last minute, or since its first launch if that is shorter; None where its power
    is not told now."""
    luck: Luck
    last_share_at: float | None
    """UNIX seconds of its newest accepted share."""
    last_difficulty: float | None
    """That its newest share reached."""
    best_difficulty: float | None
    kernel_builds: Histogram
    """From wanting a period's kernel to having it proved, with the wait for its build."""
    job_switches: Histogram
    """From a job's arrival to its first launch."""
    dataset_builds: Histogram
    """From having an epoch's light cache to having its dataset proved."""

    @property
    def name(self) -> str:
        return self.info.name

    @property
    def kernels(self) -> int:
        """Kernels proved."""
        return self.kernel_builds.count

    @property
    def datasets(self) -> int:
        """Datasets proved."""
        return self.dataset_builds.count

    @property
    def parked(self) -> bool:
        """It does nothing for the rest of this run."""
        return self.state in (DeviceState.PARKED, DeviceState.HUNG)

    @property
    def efficiency(self) -> float | None:
        """Hashes per joule over the last minute; None where the power is not known."""
        return self.hashrate.minute / self.drawn if self.drawn else None


@dataclass(frozen=True, slots=True)
class PoolSnapshot:
    """One pool, or address of one, that was connected to in this run."""

    label: str
    """The address without credentials."""
    state: PoolState
    reason: str
    """Why it was lost."""
    unverified: bool
    """Its certificate is not checked, because the user said so."""
    connected_at: float | None
    """UNIX seconds of the accepted login that still holds."""
    logins: int
    losses: int
    latency: float | None
    """Seconds from sending the newest answered share to its answer."""
    round_trips: Histogram
    """From sending a share to its answer."""
    shares: Tally
    last_share_at: float | None
    """UNIX seconds of the newest accepted share."""
    work: float
    """Hashes that the accepted shares stand for, each at the difficulty that was asked."""

    @property
    def mean_latency(self) -> float | None:
        return self.round_trips.mean


@dataclass(frozen=True, slots=True)
class Timings:
    """How long things took, on all devices and with all pools."""

    share: Histogram
    kernel: Histogram
    job: Histogram
    dataset: Histogram


@dataclass(frozen=True, slots=True)
class About:
    """What does not change during a run."""

    rig: str = ""
    version: str = ""
    algorithm: str = ""
    """Name of the variant."""
    coin: str = ""
    """Its symbol; empty where only the variant was named."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole miner at one moment."""

    about: About
    at: float
    """UNIX seconds of this snapshot."""
    started_at: float
    """UNIX seconds, as the clock had it then: it stays the same if the clock is set."""
    uptime: float
    """Seconds."""
    pools: tuple[PoolSnapshot, ...]
    """In the order of their first connection."""
    active: str | None
    """Label of the pool that was connected to last."""
    notice: str
    """The newest thing a pool wanted a person to read."""
    job: Job | None
    job_at: float | None
    """UNIX seconds at which it came."""
    jobs: int
    epochs: int
    """Changes of the epoch."""
    light: str
    """What happens to the light cache; empty when it is ready."""
    devices: tuple[DeviceSnapshot, ...]
    hashrate: Hashrate
    tried: int
    found: int
    shares: Tally
    by_pool: Mapping[tuple[str, str], Tally]
    """By (device, pool)."""
    faults: int
    luck: Luck
    best: tuple[BestShare, ...]
    """The ten best shares, best first."""
    timings: Timings

    @property
    def pool(self) -> PoolSnapshot | None:
        """The pool that was connected to last."""
        return next((pool for pool in self.pools if pool.label == self.active), None)

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
        return self.job.difficulty if self.job else None

    @property
    def power(self) -> float | None:
        """W of all devices that tell it; None where none does."""
        known = [d.reading.power for d in self.devices if d.reading.power is not None]
        return sum(known) if known else None

    @property
    def efficiency(self) -> float | None:
        """Hashes per joule over the last minute; None unless every device tells its power."""
        drawn = [device.drawn for device in self.devices if device.drawn is not None]
        if len(drawn) < len(self.devices) or not sum(drawn):
            return None
        return self.hashrate.minute / sum(drawn)

    def device(self, name: str) -> DeviceSnapshot:
        """Return the device `name`; raises `KeyError` for an unknown one."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)

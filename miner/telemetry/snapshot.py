"""The whole miner at one moment: the one value that every view is a rendering of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from miner.telemetry.field_metadata import Metric, described
from miner.telemetry.luck import Luck
from miner.telemetry.rates import Hashrate, Histogram
from miner.telemetry.reading import Reading
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
    """One device at one moment.

    A described field appears in the API, the OpenAPI document and, by its arguments, in Prometheus
    and in the JSON log. Fields with `init=False` are computed from the others.
    """

    info: DeviceInfo
    state: DeviceState = field(
        metadata=described(
            "Current state",
            metric=Metric(
                "device_state", "1 for the current state of the device, 0 for the others", "state"
            ),
            log=True,
        )
    )
    doing: str = field(
        metadata=described("The state in words, with details", log=True, sentence=True)
    )
    progress: float | None = field(
        metadata=described(
            "Completed part of the dataset that is being built, 0 to 1",
            metric=Metric("device_dataset_progress_ratio"),
            log=True,
        )
    )
    paused: str | None = field(metadata=described("Why the device is paused", sentence=True))
    parked: bool = field(
        init=False, metadata=described("The device does nothing for the rest of this run")
    )
    hashrate: Hashrate = field(metadata=described("Nonces hashed per second", log=True))
    mining_seconds: float = field(
        metadata=described("Time since the first launch began", "seconds")
    )
    """A window of the hashrate is full when this is longer."""
    tried: int = field(metadata=described("Nonces hashed", metric=Metric("hashes_total")))
    found: int = field(
        metadata=described("Solutions proved on the CPU", metric=Metric("shares_found_total"))
    )
    shares: Tally = field(metadata=described("Shares by outcome", log=True))
    faults: int = field(
        metadata=described(
            "Failures of the device, hardware errors included",
            metric=Metric("device_faults_total"),
            log=True,
        )
    )
    last_fault: str | None = field(metadata=described("The newest failure", sentence=True))
    reading: Reading = field(metadata=described("Sensor values", log=True))
    efficiency: float | None = field(
        init=False, metadata=described("Hashes per joule over the last minute", log=True)
    )
    luck: Luck = field(metadata=described("Shares found compared with shares expected"))
    last_share_at: float | None = field(
        metadata=described(
            "UNIX time of the newest accepted share",
            "seconds",
            Metric("device_last_share_timestamp_seconds"),
        )
    )
    last_difficulty: float | None = field(
        metadata=described("Difficulty reached by the newest share, in hashes")
    )
    best_difficulty: float | None = field(
        metadata=described(
            "Difficulty reached by the best share, in hashes", metric=Metric("best_share_hashes")
        )
    )
    kernels: int = field(
        init=False,
        metadata=described("Kernels built and proved", metric=Metric("device_kernels_total")),
    )
    datasets: int = field(
        init=False,
        metadata=described("Datasets built and proved", metric=Metric("device_datasets_total")),
    )
    drawn: float | None
    """W, average over the last minute or since the first launch if that is shorter; None while the
    power is unknown."""
    kernel_builds: Histogram = field(
        metadata=described(
            "From requesting a period's kernel to its proof",
            metric=Metric("kernel_build_seconds"),
            api=False,
        )
    )
    """The wait for the build is included."""
    job_switches: Histogram = field(
        metadata=described(
            "From a job's arrival to its first launch on the device",
            metric=Metric("job_switch_seconds"),
            api=False,
        )
    )
    dataset_builds: Histogram = field(
        metadata=described(
            "From the epoch's finished light cache to the proof of its dataset",
            metric=Metric("dataset_build_seconds"),
            api=False,
        )
    )

    def __post_init__(self) -> None:
        computed = {
            "parked": self.state in (DeviceState.PARKED, DeviceState.HUNG),
            "efficiency": self.hashrate.minute / self.drawn if self.drawn else None,
            "kernels": self.kernel_builds.count,
            "datasets": self.dataset_builds.count,
        }
        for name, value in computed.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        return self.info.name


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

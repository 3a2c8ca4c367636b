"""The state of the whole miner at one time: the value that every view shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from miner.telemetry.field_metadata import Metric, described
from miner.telemetry.histogram import Histogram
from miner.telemetry.luck import Luck
from miner.telemetry.rates import Hashrate
from miner.telemetry.reading import Reading
from miner.work import DeviceInfo, Job, Outcome

_STALE = (Outcome.STALE, Outcome.NOT_SENT)
_NOT_REJECTED = (Outcome.ACCEPTED, Outcome.INVALID, Outcome.LOST, *_STALE)


class DeviceState(Enum):
    """State of a device; the value is its name for people."""

    STARTING = "starting"
    BUILDING = "building the dataset"
    """Or waiting for the light cache from which the dataset is built."""
    READY = "ready"
    """The dataset or the kernel is ready; no launch has ended yet."""
    SEARCHING = "searching"
    WAITING = "waiting for a job"
    EXHAUSTED = "every nonce was searched"
    PAUSED = "paused"
    """On request or by its heat limit."""
    RESTING = "resting after a failure"
    PARKED = "parked"
    """Given up for the rest of this run."""
    HUNG = "hung"


class PoolState(Enum):
    """State of the connection with a pool."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Tally:
    """Shares by outcome."""

    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    """Outcomes that occurred at least once."""
    hardware: int = 0
    """Hardware errors: candidates that the CPU refuted. They are not sent."""
    blocks: int = 0
    """Accepted shares that meet the block target, if the pool sends one."""

    @property
    def accepted(self) -> int:
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    @property
    def stale(self) -> int:
        """Too late, according to the pool or, if not sent, to the miner."""
        return sum(self.outcomes.get(outcome, 0) for outcome in _STALE)

    @property
    def invalid(self) -> int:
        """Wrong, according to the pool."""
        return self.outcomes.get(Outcome.INVALID, 0)

    @property
    def lost(self) -> int:
        """Not answered."""
        return self.outcomes.get(Outcome.LOST, 0)

    @property
    def rejected(self) -> int:
        """Refused for other reasons: difficulty, duplicate, account."""
        return sum(n for outcome, n in self.outcomes.items() if outcome not in _NOT_REJECTED)

    @property
    def answered(self) -> int:
        """Shares with a verdict, thus without hardware errors."""
        return sum(self.outcomes.values())

    @property
    def not_accepted(self) -> int:
        return self.answered - self.accepted


@dataclass(frozen=True, slots=True)
class BestShare:
    """One of the best shares of this run."""

    difficulty: float
    """Hashes that such a share costs on average."""
    at: float
    """UNIX seconds."""
    device: str
    pool: str
    height: int


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device at one time.

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
    """One pool (by address) of this run."""

    label: str
    """The address without credentials."""
    state: PoolState
    reason: str
    """Why it was lost."""
    unverified: bool
    """The settings switch the verification of its certificate off."""
    connected_at: float | None
    """UNIX seconds of the accepted login; None while not connected."""
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
    """Sum of the difficulties of the jobs of its accepted shares, in hashes."""

    @property
    def mean_latency(self) -> float | None:
        return self.round_trips.mean


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations over all devices and pools."""

    share: Histogram
    kernel: Histogram
    job: Histogram
    dataset: Histogram


@dataclass(frozen=True, slots=True)
class About:
    """Facts that do not change during a run."""

    rig: str = ""
    version: str = ""
    algorithm: str = ""
    """Name of the variant."""
    coin: str = ""
    """Its symbol; empty if the settings name only the variant."""
    panel_algorithm: str = ""
    """Name of the variant in farm panels; empty: as `algorithm`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole miner at one time."""

    about: About
    at: float
    """UNIX seconds of this snapshot."""
    started_at: float
    """UNIX seconds; unaffected when the clock is set later."""
    uptime: float
    """Seconds."""
    pools: tuple[PoolSnapshot, ...]
    """In the order of their first connection."""
    active: str | None
    """Label of the pool of the newest connection."""
    notice: str
    """The newest message of a pool to the user."""
    job: Job | None
    job_at: float | None
    """UNIX seconds of its arrival."""
    jobs: int
    epochs: int
    """Number of epoch changes."""
    light: str
    """Progress of the light cache as text; empty when it is ready."""
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
        """The pool of the newest connection."""
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
        """Hashes that a share costs on average."""
        return self.job.difficulty if self.job else None

    @property
    def power(self) -> float | None:
        """W of all devices whose power is known; None if none is."""
        known = [d.reading.power for d in self.devices if d.reading.power is not None]
        return sum(known) if known else None

    @property
    def efficiency(self) -> float | None:
        """Hashes per joule over the last minute; None unless the power of every device is known."""
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

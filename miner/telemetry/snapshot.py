"""The state of the whole miner at one time: the value that every view shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from miner.telemetry.device_snapshot import DeviceSnapshot
from miner.telemetry.luck import Luck
from miner.telemetry.rates import Hashrate, Histogram
from miner.telemetry.tally import Tally
from miner.work import Job


class PoolState(Enum):
    """State of the connection with a pool."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    LOST = "lost"


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
class PoolSnapshot:
    """One pool (by address) of this run."""

    label: str
    """The address without credentials."""
    state: PoolState
    reason: str
    """Why it was lost."""
    unverified: bool
    """The settings switch the verification of its certificate off."""
    account: str
    """The account of the newest login, its wallet shortened; empty: not known."""
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
class SettingsState:
    """The settings in use, and the newest attempt to reload them."""

    digest: str = ""
    """The first 12 hexadecimal digits of the settings file's SHA-256; empty without a file."""
    read_at: float | None = None
    """UNIX seconds at which the settings in use were read."""
    reload_failed: bool = False
    """The newest reload found a mistake."""
    pending: int = 0
    """Changed settings that only a restart applies."""


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
    devices_expected: int = 0
    """Devices that mine when none is absent or unusable; 0: those of the run."""
    devices_missing: tuple[str, ...] = ()
    """A sentence for each expected device that is absent or unusable since the start."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole miner at one time."""

    about: About
    at: float
    """UNIX seconds of this snapshot."""
    started_at: float
    """UNIX seconds. Like all times here, it moves with the clock when that is set."""
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
    """Nonces hashed."""
    found: int
    """Solutions proved on the CPU."""
    shares: Tally
    by_pool: Mapping[tuple[str, str], Tally]
    """Shares by (device, pool)."""
    faults: int
    luck: Luck
    best: tuple[BestShare, ...]
    """The ten best shares, best first."""
    timings: Timings
    loop_delays: Histogram
    """How late the event loop ran its timers."""
    settings: SettingsState = SettingsState()

    @property
    def pool(self) -> PoolSnapshot | None:
        """The pool of the newest connection."""
        return next((pool for pool in self.pools if pool.label == self.active), None)

    @property
    def devices_expected(self) -> int:
        """Devices that mine when none is absent, unusable, parked or hung."""
        return self.about.devices_expected or len(self.devices)

    @property
    def devices_present(self) -> int:
        """Devices that are neither parked nor hung."""
        return sum(not device.parked for device in self.devices)

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
        powers = [d.mean_power for d in self.devices if d.mean_power is not None]
        if len(powers) < len(self.devices) or not sum(powers):
            return None
        return self.hashrate.minute / sum(powers)

    def device(self, name: str) -> DeviceSnapshot:
        """Return the device `name`; raises `KeyError` for an unknown one."""
        for device in self.devices:
            if device.name == name:
                return device
        raise KeyError(name)

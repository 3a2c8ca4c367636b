"""What a run is told: the settings, with everything that they name looked up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from miner.api.api_server import ApiOptions
from miner.devices.registry import Listed
from miner.devices.selection import Tuning
from miner.net.dial import Timeouts
from miner.net.pool_url import PoolUrl
from miner.progpow.variant import Variant
from miner.sensors.heat import HeatLimits
from miner.telemetry import Level


@dataclass(frozen=True, slots=True)
class Live:
    """What may change while the miner runs."""

    pools: tuple[PoolUrl, ...]
    limits: Timeouts = field(default_factory=Timeouts)
    heat: Mapping[str, HeatLimits] = field(default_factory=dict)
    """By the device's name."""
    level: Level = Level.INFO
    """The least that is logged and shown."""


@dataclass(frozen=True, slots=True)
class Read:
    """The settings, read once more."""

    live: Live
    fixed: Mapping[str, object] = field(default_factory=dict)
    """What needs a new start to change, by its key."""
    secrets: Sequence[str] = field(default=(), repr=False)
    """As `Mining.secrets`, besides those known before."""
    wallets: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class LogPlan:
    """What is shown and written down."""

    console: Literal["auto", "plain", "live", "json"] = "plain"
    file: Path | None = None
    format: Literal["text", "json"] = "text"
    """Of the file."""
    max_bytes: int = 10 << 20
    keep: int = 5


@dataclass(frozen=True, slots=True)
class LedgerPlan:
    """Where shares are written down, and how many."""

    path: Path
    max_bytes: int = 64 << 20
    max_days: float = 90.0
    asked_for: bool = False
    """Whether somebody named the file: then the run does not begin without it."""


@dataclass(frozen=True, slots=True)
class Mining:
    """One run of the miner."""

    variant: Variant
    devices: Sequence[Listed]
    live: Live
    diff1: int | None = None
    """Target of difficulty 1; None: as the protocol has it."""
    shares: int | None = None
    """Accepted shares after which the run ends."""
    give_up: float | None = None
    """Seconds without any pool after which the run ends."""
    report_hashrate: bool = False
    """Tell pools that take such reports how fast we are."""
    record: Path | None = None
    """File that what pools say and are told is written to."""
    node: str | None = None
    """Kind of the coin's node, for solo mining."""
    rig: str = ""
    """Name of this machine in every view."""
    coin: str = ""
    """Symbol of the coin, where one was named."""
    tunings: Mapping[str, Tuning] = field(default_factory=dict)
    """By the device's name."""
    park_hung: bool = False
    """Let the others go on when a device hangs."""
    api: ApiOptions | None = None
    ethminer: Address | None = None
    sgminer: Address | None = None
    log: LogPlan = field(default_factory=LogPlan)
    ledger: LedgerPlan | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    """Texts that no view may show."""
    wallets: Sequence[str] = field(default=(), repr=False)
    """Texts that views may show in part."""
    files: Sequence[Path] = ()
    """The settings' own, and those that secrets were read from; strangers read of none."""
    notes: Sequence[tuple[str, str]] = ()
    """Topics and sentences: what a person should know before it begins."""
    read: Callable[[], Read] | None = field(default=None, repr=False)
    """Reads the settings once more; raises `UsageError`."""
    fixed: Mapping[str, object] = field(default_factory=dict, repr=False)
    """As `Read.fixed`, now."""

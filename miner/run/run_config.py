"""The configuration of a run: the settings with devices, pools and secrets resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from miner.api.api_server import ApiOptions
from miner.catalog import Coin
from miner.devices.selection import ListedDevice
from miner.devices.tuning import TemperatureLimits, Tuning
from miner.net.address import HostPort, PoolUrl, Timeouts
from miner.progpow.variant import Variant
from miner.settings.model import LedgerSettings, LogSettings
from miner.telemetry import Level


@dataclass(frozen=True, slots=True)
class LiveConfig:
    """The part that a reload can change while the miner runs."""

    pools: tuple[PoolUrl, ...]
    limits: Timeouts = field(default_factory=Timeouts)
    heat: Mapping[str, TemperatureLimits] = field(default_factory=dict)
    """By device name."""
    level: Level = Level.INFO
    """The lowest level that is logged and shown."""


@dataclass(frozen=True, slots=True)
class ReloadedConfig:
    """The result of reading the settings again."""

    live: LiveConfig
    fixed: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Settings that need a restart to change, by key."""
    secrets: Sequence[str] = field(default=(), repr=False)
    """Hidden in addition to those of `RunConfig`."""
    wallets: Sequence[str] = field(default=(), repr=False)
    digest: str = ""
    """Digest of the settings file, as in `RunConfig`."""
    private_files: Sequence[Path] = ()
    notes: Sequence[str] = ()
    """Sentences about the logins of the pools, for the user."""


class SettingsReloader(Protocol):
    """Loads the settings of a run again."""

    def reload(self) -> ReloadedConfig:
        """Return what is configured now; raises `UsageError`."""


@dataclass(frozen=True, slots=True)
class LogConfig:
    """Console and log file."""

    console: Literal["auto", "plain", "live", "json"] = "plain"
    file: Path | None = None
    format: Literal["text", "json"] = "text"
    """Format of the file."""
    max_bytes: int = LogSettings().max_megabytes << 20
    keep: int = LogSettings().keep


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """The share ledger and its bounds."""

    path: Path
    max_bytes: int = LedgerSettings().max_megabytes << 20
    max_days: float = LedgerSettings().max_days
    required: bool = False
    """The run does not start without it, because the user named its file."""


@dataclass(frozen=True, slots=True)
class RunConfig:
    """Everything that one run of the miner needs to know."""

    variant: Variant
    devices: Sequence[ListedDevice]
    live: LiveConfig
    diff1: int | None = None
    """Target of difficulty 1; None: the dialect's."""
    shares: int | None = None
    """Accepted shares after which the run ends."""
    give_up: float | None = None
    """Seconds without a login at any pool after which the run ends."""
    report_hashrate: bool = False
    """Send the hashrate to pools that accept reports."""
    record: Path | None = None
    """File to record the pool sessions in."""
    node_kind: str | None = None
    """Kind of the coin's node, for solo mining."""
    rig: str = ""
    """Name of this machine in every view."""
    coin: Coin | None = None
    """None if only a variant is configured."""
    tunings: Mapping[str, Tuning] = field(default_factory=dict)
    """By device name."""
    park_hung: bool = False
    """Keep mining on the other devices when one hangs."""
    api: ApiOptions | None = None
    address_file: Path | None = None
    """File to write the API's address to, or "off" without an API."""
    ethminer: HostPort | None = None
    sgminer: HostPort | None = None
    log: LogConfig = field(default_factory=LogConfig)
    ledger: LedgerConfig | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    """Texts that no view may show."""
    wallets: Sequence[str] = field(default=(), repr=False)
    """Texts of which views show only the ends."""
    private_files: Sequence[Path] = ()
    """The settings file and files with secrets; clients of the API do not see their paths."""
    devices_expected: int = 0
    """Devices that mine when none is absent or unusable; 0: `devices`."""
    devices_missing: tuple[str, ...] = ()
    """A sentence for each of them that does not mine."""
    notes: Sequence[tuple[str, str]] = ()
    """(topic, sentence) pairs to show before mining begins."""
    reloader: SettingsReloader | None = field(default=None, repr=False)
    """None without a settings file."""
    fixed: Mapping[str, object] = field(default_factory=dict, repr=False)
    """Settings that need a restart to change, by key, at the start."""
    digest: str = ""
    """The first 12 hexadecimal digits of the settings file's SHA-256; empty without a file."""

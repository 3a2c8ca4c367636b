"""What the user asked for, validated once."""

from miner.settings.listen_address import listen_address
from miner.settings.loading import Loaded, examine, load, load_settings
from miner.settings.model import (
    ApiSettings,
    DeviceSettings,
    LedgerSettings,
    LimitSettings,
    LogSettings,
    PoolSettings,
    Settings,
    TuneSettings,
)
from miner.settings.sources import COMMAND_LINE, Origin

__all__ = [
    "COMMAND_LINE",
    "ApiSettings",
    "DeviceSettings",
    "LedgerSettings",
    "LimitSettings",
    "Loaded",
    "LogSettings",
    "Origin",
    "PoolSettings",
    "Settings",
    "TuneSettings",
    "examine",
    "listen_address",
    "load",
    "load_settings",
]

"""The user's settings: a model, and the sources that it is loaded from."""

from miner.settings.listen_address import listen_address
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
from miner.settings.sources import Loaded, Origin, examine, load

__all__ = [
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
]

"""The user's settings: one model, loaded from a file, the environment and flags."""

from miner.settings.field_types import listen_address
from miner.settings.loading import Loaded, examine, load
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
from miner.settings.sources import Origin

__all__ = [
    "ApiSettings", "DeviceSettings", "LedgerSettings", "LimitSettings", "Loaded", "LogSettings",
    "Origin", "PoolSettings", "Settings", "TuneSettings", "examine", "listen_address", "load",
]  # fmt: skip

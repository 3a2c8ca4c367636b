"""What the user asked for, validated once."""

from miner.settings.model import (
    COMMAND_LINE,
    DeviceSettings,
    LimitSettings,
    PoolSettings,
    Settings,
    load_settings,
)

__all__ = [
    "COMMAND_LINE",
    "DeviceSettings",
    "LimitSettings",
    "PoolSettings",
    "Settings",
    "load_settings",
]

"""Events of the miner, and its state as one `Snapshot` for every view."""

from miner.telemetry.device_snapshot import DeviceSnapshot, DeviceState, Reading
from miner.telemetry.history import DeviceSample, History, Sample
from miner.telemetry.journal import Journal, JournalEntry, Level
from miner.telemetry.luck import Band, Luck
from miner.telemetry.rates import WINDOWS, Hashrate, Histogram
from miner.telemetry.snapshot import (
    About,
    BestShare,
    PoolSnapshot,
    PoolState,
    SettingsState,
    Snapshot,
    Timings,
)
from miner.telemetry.tally import Tally
from miner.telemetry.telemetry import Telemetry

__all__ = [
    "WINDOWS", "About", "Band", "BestShare", "DeviceSample", "DeviceSnapshot", "DeviceState",
    "Hashrate", "Histogram", "History", "Journal", "JournalEntry", "Level", "Luck", "PoolSnapshot",
    "PoolState", "Reading", "Sample", "SettingsState", "Snapshot", "Tally", "Telemetry", "Timings",
]  # fmt: skip

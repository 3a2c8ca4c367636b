"""Sensor values and state of one device, with the metadata from which all views show them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from miner.telemetry.field_metadata import Metric, described
from miner.telemetry.luck import Luck
from miner.telemetry.rates import Hashrate, Histogram
from miner.telemetry.tally import Tally
from miner.work import DeviceInfo


def _sensor(help: str, unit: str, metric: Metric | None = None, *, log: bool = False) -> Any:
    return described(help, unit, metric, log=log, default=None)


def _temperature(sensor: str) -> Metric:
    return Metric("device_temperature_celsius", "Temperature", "sensor", sensor)


def _clock(clock: str) -> Metric:
    return Metric("device_clock_hertz", "Clock", "clock", clock)


@dataclass(frozen=True, slots=True)
class Reading:
    """The readings of a device's sensors at one time; None, never 0, for an unknown value.

    A field added here appears in the API, the OpenAPI document and, by its arguments, in
    Prometheus and in the JSON log.
    """

    temperature: float | None = _sensor("Core temperature", "°C", _temperature("core"), log=True)
    hotspot_temperature: float | None = _sensor(
        "Hotspot temperature", "°C", _temperature("hotspot")
    )
    memory_temperature: float | None = _sensor(
        "Memory temperature", "°C", _temperature("memory"), log=True
    )
    power: float | None = _sensor("Power drawn", "W", Metric("device_power_watts"), log=True)
    power_limit: float | None = _sensor("Power limit", "W", Metric("device_power_limit_watts"))
    fan: float | None = _sensor(
        "Fan speed relative to its maximum", "percent", Metric("device_fan_ratio"), log=True
    )
    core_clock: float | None = _sensor("Core clock", "MHz", _clock("core"))
    memory_clock: float | None = _sensor("Memory clock", "MHz", _clock("memory"))
    memory_used: float | None = _sensor(
        "Device memory used by all processes", "bytes", Metric("device_memory_used_bytes")
    )
    utilization: float | None = _sensor(
        "Share of time in which the device is busy", "percent", Metric("device_utilization_ratio")
    )
    throttle: str | None = _sensor(
        "Why the device reduces its clocks, separated by commas",
        "",
        Metric("device_throttled", "1 for each reason why the device reduces its clocks", "reason"),
    )
    """None: it does not, or the driver does not report it."""


class DeviceState(Enum):
    """State of a device; the value is its name for people."""

    STARTING = "starting"
    BUILDING = "building the dataset (DAG)"
    """The dataset is being built, or the light cache that it is computed from."""
    READY = "ready"
    """The dataset or the kernel is ready; no launch has ended yet."""
    SEARCHING = "searching"
    WAITING = "waiting for a job"
    EXHAUSTED = "every nonce was searched"
    PAUSED = "paused"
    """It is paused on request or by its heat limit."""
    RESTING = "resting after a failure"
    PARKED = "parked"
    """It failed too often in a row, and is tried again later while others mine."""
    HUNG = "hung"


@dataclass(frozen=True, slots=True)
class DeviceSnapshot:
    """One device at one time.

    A described field appears in the API, the OpenAPI document and, by its arguments, in Prometheus
    and in the JSON log. Fields with `init=False` are computed from the others.
    """

    info: DeviceInfo
    mean_power: float | None
    """W, average over the last minute or since the first launch if that is shorter; None while the
    power is unknown."""
    state: DeviceState = described(
        "Current state",
        metric=Metric(
            "device_state", "1 for the current state of the device, 0 for the others", "state"
        ),
        log=True,
    )
    doing: str = described("The state in words, with details", log=True, sentence=True)
    progress: float | None = described(
        "Completed part of the dataset that is being built, 0 to 1",
        metric=Metric("device_dataset_progress_ratio"),
        log=True,
    )
    paused: str | None = described("Why the device is paused", sentence=True)
    parked: bool = described("The device is parked or hung", init=False)
    hashrate: Hashrate = described("Nonces hashed per second", log=True)
    mining_seconds: float = described("Time since the first launch began", "seconds")
    """A window of the hashrate is full when this is longer."""
    tried: int = described("Nonces hashed", metric=Metric("hashes_total"))
    found: int = described("Solutions proved on the CPU", metric=Metric("shares_found_total"))
    shares: Tally = described("Shares by outcome", log=True)
    faults: int = described(
        "Failures of the device, hardware errors included",
        metric=Metric("device_faults_total"),
        log=True,
    )
    last_fault: str | None = described("The newest failure", sentence=True)
    reading: Reading = described("Sensor values", log=True)
    energy: float | None = described(
        "Energy drawn", "J", Metric("device_energy_joules_total", "Energy drawn since the start")
    )
    """None before the first reading of the power."""
    efficiency: float | None = described(
        "Hashes per joule over the last minute", log=True, init=False
    )
    luck: Luck = described("Shares found compared with shares expected")
    last_share_at: float | None = described(
        "UNIX time of the newest accepted share",
        "seconds",
        Metric("device_last_share_timestamp_seconds"),
    )
    last_difficulty: float | None = described("Difficulty reached by the newest share, in hashes")
    best_difficulty: float | None = described(
        "Difficulty reached by the best share, in hashes", metric=Metric("best_share_hashes")
    )
    kernels: int = described(
        "Kernels built and proved", metric=Metric("device_kernels_total"), init=False
    )
    datasets: int = described(
        "Datasets built and proved", metric=Metric("device_datasets_total"), init=False
    )
    kernel_builds: Histogram = described(
        "From requesting a period's kernel to its proof",
        metric=Metric("kernel_build_seconds"),
        api=False,
    )
    """The wait for the build is included."""
    last_job_switch: float | None = described(
        "From the newest job's arrival until the device searched for it", "seconds", log=True
    )
    job_switches: Histogram = described(
        "From a job's arrival until the device searches for it",
        metric=Metric("job_switch_seconds"),
        api=False,
    )
    dataset_builds: Histogram = described(
        "From the epoch's finished light cache to the proof of its dataset",
        metric=Metric("dataset_build_seconds"),
        api=False,
    )

    def __post_init__(self) -> None:
        computed = {
            "parked": self.state in (DeviceState.PARKED, DeviceState.HUNG),
            "efficiency": self.hashrate.minute / self.mean_power if self.mean_power else None,
            "kernels": self.kernel_builds.count,
            "datasets": self.dataset_builds.count,
        }
        for name, value in computed.items():
            object.__setattr__(self, name, value)

    @property
    def name(self) -> str:
        return self.info.name

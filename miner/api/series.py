"""What Prometheus is told of a rig, of a device and of a pool: each metric's name and value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from miner.telemetry import (
    DeviceSnapshot,
    DeviceState,
    Histogram,
    PoolSnapshot,
    PoolState,
    Snapshot,
)

T = TypeVar("T")


@dataclass(frozen=True)
class Series(Generic[T]):
    """One metric: a counter where its name ends in `_total`, else a gauge."""

    name: str
    meaning: str
    value: Callable[[T], float | Mapping[str, float | None] | None]
    """Of one device, pool or snapshot; a mapping goes by the values of `label`, and None makes no
    series."""
    label: str = ""


@dataclass(frozen=True)
class Times(Generic[T]):
    """One histogram of seconds."""

    name: str
    meaning: str
    value: Callable[[T], Histogram]
    """Of one device or pool."""


OF_DEVICE: tuple[Series[DeviceSnapshot], ...] = (
    Series(
        "hashrate_hashes_per_second",
        "Nonces really tried per second over the window, or since the first launch if shorter.",
        lambda d: {
            "10s": d.hashrate.ten_seconds,
            "60s": d.hashrate.minute,
            "15m": d.hashrate.quarter_hour,
        },
        "window",
    ),
    Series("hashes_total", "Nonces really tried.", lambda d: d.tried),
    Series("shares_found_total", "Solutions proved on the CPU.", lambda d: d.found),
    Series(
        "shares_expected_total",
        "Shares that the hashes tried bring on average at the difficulties asked.",
        lambda d: d.luck.expected,
    ),
    Series(
        "device_effort_ratio",
        "Work of the device since its last share; 1 is what a share costs on average.",
        lambda d: d.luck.effort,
    ),
    Series(
        "best_share_hashes",
        "Hashes that a share as good as the best one found costs on average.",
        lambda d: d.best_difficulty,
    ),
    Series(
        "device_last_share_timestamp_seconds",
        "UNIX time of the newest accepted share.",
        lambda d: d.last_share_at,
    ),
    Series(
        "device_state",
        "1 for the state that the device is in, 0 for every other.",
        lambda d: {state.name.lower(): state is d.state for state in DeviceState},
        "state",
    ),
    Series(
        "device_faults_total",
        "Everything that went wrong with the device, untrue claims among it.",
        lambda d: d.faults,
    ),
    Series("device_kernels_total", "Kernels built and proved.", lambda d: d.kernels),
    Series("device_datasets_total", "Datasets built and proved.", lambda d: d.datasets),
    Series(
        "device_dataset_progress_ratio",
        "How much of the dataset being built is done.",
        lambda d: d.progress,
    ),
    Series(
        "device_temperature_celsius",
        "Temperature.",
        lambda d: {
            "core": d.reading.temperature,
            "hotspot": d.reading.hotspot_temperature,
            "memory": d.reading.memory_temperature,
        },
        "sensor",
    ),
    Series("device_power_watts", "Power drawn.", lambda d: d.reading.power),
    Series("device_power_limit_watts", "Most power allowed.", lambda d: d.reading.power_limit),
    Series(
        "device_fan_ratio",
        "Speed of the fan, 1 being its highest.",
        lambda d: _ratio(d.reading.fan),
    ),
    Series(
        "device_clock_hertz",
        "Clock.",
        lambda d: {
            "core": _hertz(d.reading.core_clock),
            "memory": _hertz(d.reading.memory_clock),
        },
        "clock",
    ),
    Series("device_memory_bytes", "Memory of the device.", lambda d: d.info.memory or None),
    Series("device_memory_used_bytes", "Memory in use, by all.", lambda d: d.reading.memory_used),
    Series(
        "device_utilization_ratio",
        "How much of the time the device was busy.",
        lambda d: _ratio(d.reading.utilization),
    ),
    Series(
        "device_throttled",
        "1 for each reason for which the device holds itself back; absent where it says none.",
        lambda d: dict.fromkeys(filter(None, d.reading.throttle.split(", ")), 1),
        "reason",
    ),
)

OF_POOL: tuple[Series[PoolSnapshot], ...] = (
    Series(
        "pool_connected",
        "1 while the pool holds our login.",
        lambda p: p.state is PoolState.CONNECTED,
    ),
    Series(
        "pool_unverified",
        "1 where the certificate is not checked because the user said so.",
        lambda p: p.unverified,
    ),
    Series("pool_logins_total", "Logins accepted.", lambda p: p.logins),
    Series("pool_losses_total", "Connections lost or not made.", lambda p: p.losses),
    Series(
        "pool_latency_seconds",
        "Time from sending the newest answered share to its answer.",
        lambda p: p.latency,
    ),
    Series(
        "pool_last_share_timestamp_seconds",
        "UNIX time of the newest accepted share.",
        lambda p: p.last_share_at,
    ),
    Series(
        "pool_accepted_work_hashes_total",
        "Hashes that the accepted shares stand for, each at the difficulty that was asked.",
        lambda p: p.work,
    ),
)

OF_RIG: tuple[Series[Snapshot], ...] = (
    Series("start_time_seconds", "UNIX time at which the miner started.", lambda s: s.started_at),
    Series("job_known", "1 while there is a job to work on.", lambda s: s.job is not None),
    Series("job_timestamp_seconds", "UNIX time at which the job came.", lambda s: s.job_at),
    Series("jobs_total", "Jobs received.", lambda s: s.jobs),
    Series("epoch_changes_total", "Changes of the epoch.", lambda s: s.epochs),
    Series("difficulty_hashes", "Hashes expected for one share.", lambda s: s.difficulty),
    Series("height", "Height of the job's block.", lambda s: s.height),
    Series("epoch", "Number of the job's epoch.", lambda s: s.epoch),
    Series("period", "Number of the job's period.", lambda s: s.period),
    Series(
        "effort_ratio",
        "Work of all devices since the last share; 1 is what a share costs on average.",
        lambda s: s.luck.effort,
    ),
    Series(
        "luck_band_shares",
        "Shares found that 95 % of all such runs would lie between, both bounds included.",
        lambda s: {"low": s.luck.band.low, "high": s.luck.band.high},
        "bound",
    ),
)


TIMES_OF_POOL: tuple[Times[PoolSnapshot], ...] = (
    Times(
        "share_round_trip_seconds", "From sending a share to its answer.", lambda p: p.round_trips
    ),
)

TIMES_OF_DEVICE: tuple[Times[DeviceSnapshot], ...] = (
    Times(
        "kernel_build_seconds",
        "From wanting a period's kernel to its proof.",
        lambda d: d.kernel_builds,
    ),
    Times(
        "job_switch_seconds",
        "From a job's arrival to its first launch on the device.",
        lambda d: d.job_switches,
    ),
    Times(
        "dataset_build_seconds",
        "From having an epoch's light cache to the proof of its dataset.",
        lambda d: d.dataset_builds,
    ),
)


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _hertz(megahertz: float | None) -> float | None:
    return None if megahertz is None else megahertz * 1e6

"""The metrics for Prometheus: name, help text and value of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from enum import Enum
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_type_hints

from miner.telemetry import DeviceSnapshot, Histogram, PoolSnapshot, PoolState, Snapshot
from miner.telemetry.field_metadata import Metric, descriptions, label_of

T = TypeVar("T")

Value = float | Histogram | None


@dataclass(frozen=True)
class Series(Generic[T]):
    """One metric: a histogram, a counter if its name ends in `_total`, else a gauge."""

    name: str
    """Without the prefix progpow_miner_."""
    help: str
    """A sentence."""
    value: Callable[[T], Value | Mapping[str, Value]]
    """Returns the value for one device, pool or snapshot, or a mapping from the values of `label`
    to values; a value that is None has no series."""
    label: str = ""
    histogram: bool = False
    """Of seconds; `value` returns a `Histogram`."""


@dataclass(frozen=True)
class _MetricField:
    """A described field of `DeviceSnapshot`, or of a dataclass inside, that has a metric."""

    read: Callable[[DeviceSnapshot], Any]
    kind: Any
    """Type of its values."""
    members: Sequence[tuple[Enum, str]]
    """Members of an enum with their labels; empty for other values."""
    help: str
    unit: str
    metric: Metric

    def values(self, device: DeviceSnapshot) -> Iterator[tuple[str, Value]]:
        """Yield (value of the label, value in the base unit) of `device`."""
        value = self.read(device)
        if self.members:
            for member, label in self.members:
                yield label, member is value
        elif isinstance(value, str):
            for item in value.split(", "):
                yield item, 1
        elif value is not None:
            yield self.metric.value, _in_base_unit(value, self.unit)


def _in_base_unit(value: Any, unit: str) -> Value:
    if unit == "percent":
        value /= 100
    elif unit == "MHz":
        value *= 1e6
    found: Value = value
    return found


def _metric_fields(source: type[Any], prefix: str = "") -> Iterator[_MetricField]:
    hints = get_type_hints(source)
    for name, field in descriptions(source):
        path, kind = prefix + name, hints[name]
        if field.metric is not None:
            help = field.metric.help or field.help
            is_enum = isinstance(kind, type) and issubclass(kind, Enum)
            members = [(member, label_of(member)) for member in (kind if is_enum else ())]
            read = attrgetter(path)
            yield _MetricField(read, kind, members, f"{help}.", field.unit, field.metric)
        elif is_dataclass(kind):
            assert isinstance(kind, type)
            yield from _metric_fields(kind, f"{path}.")


class _DeviceValues:
    """Reads the fields that share one metric from a device's snapshot."""

    def __init__(self, members: list[_MetricField]) -> None:
        self._members = members

    def __call__(self, device: DeviceSnapshot) -> Mapping[str, Value]:
        return dict(value for member in self._members for value in member.values(device))


def _device_series() -> Iterator[Series[DeviceSnapshot]]:
    sharing: dict[str, list[_MetricField]] = defaultdict(list)
    for field in _metric_fields(DeviceSnapshot):
        sharing[field.metric.name].append(field)
    for name, members in sharing.items():
        first = members[0]
        histogram = first.kind is Histogram
        yield Series(name, first.help, _DeviceValues(members), first.metric.label, histogram)


OF_DEVICE: tuple[Series[DeviceSnapshot], ...] = (
    *_device_series(),
    Series("device_memory_bytes", "Memory of the device.", lambda d: d.info.memory or None),
)

OF_POOL: tuple[Series[PoolSnapshot], ...] = (
    Series(
        "pool_connected", "1 while logged in to the pool.", lambda p: p.state is PoolState.CONNECTED
    ),
    Series(
        "pool_unverified",
        "1 if the settings switch off the check of the certificate.",
        lambda p: p.unverified,
    ),
    Series("pool_logins_total", "Logins accepted.", lambda p: p.logins),
    Series("pool_losses_total", "Connections lost or failed.", lambda p: p.losses),
    Series(
        "pool_latency_seconds",
        "Time from sending the last answered share to its answer.",
        lambda p: p.latency,
    ),
    Series(
        "pool_last_share_timestamp_seconds",
        "UNIX time of the newest accepted share.",
        lambda p: p.last_share_at,
    ),
    Series(
        "pool_accepted_work_hashes_total",
        "Sum of the requested difficulties of the accepted shares.",
        lambda p: p.work,
    ),
    Series(
        "share_round_trip_seconds",
        "From sending a share to its answer.",
        lambda p: p.round_trips,
        histogram=True,
    ),
)

OF_RIG: tuple[Series[Snapshot], ...] = (
    Series("start_time_seconds", "UNIX time at which the miner started.", lambda s: s.started_at),
    Series(
        "devices_expected",
        "Devices that mine when none is absent, unusable, parked or hung.",
        lambda s: s.devices_expected,
    ),
    Series(
        "devices_present",
        "Expected devices that are present: neither absent, unusable, parked nor hung.",
        lambda s: s.devices_present,
    ),
    Series("job_known", "1 while there is a job.", lambda s: s.job is not None),
    Series("job_timestamp_seconds", "UNIX time at which the job arrived.", lambda s: s.job_at),
    Series(
        "settings_hash",
        "1 for the first 12 hexadecimal digits of the settings file's SHA-256.",
        lambda s: {s.settings.digest: 1} if s.settings.digest else {},
        "hash",
    ),
    Series(
        "settings_read_timestamp_seconds",
        "UNIX time at which the settings in use were read.",
        lambda s: s.settings.read_at,
    ),
    Series(
        "settings_reload_failed",
        "1 if the newest reload found a mistake in the settings.",
        lambda s: s.settings.reload_failed,
    ),
    Series(
        "settings_pending",
        "Changed settings that only a restart applies.",
        lambda s: s.settings.pending,
    ),
    Series("jobs_total", "Jobs received.", lambda s: s.jobs),
    Series("epoch_changes_total", "Changes of the epoch.", lambda s: s.epochs),
    Series("difficulty_hashes", "Average number of hashes for one share.", lambda s: s.difficulty),
    Series("height", "Height of the job's block.", lambda s: s.height),
    Series("epoch", "Number of the job's epoch.", lambda s: s.epoch),
    Series("period", "Number of the job's period.", lambda s: s.period),
    Series(
        "effort_ratio",
        "Work of all devices since the last share; 1 is the average cost of a share.",
        lambda s: s.luck.effort,
    ),
    Series(
        "event_loop_delay_seconds",
        "How late the miner's event loop runs what is due, measured four times a second.",
        lambda s: s.loop_delays,
        histogram=True,
    ),
    Series(
        "luck_band_shares",
        "Bounds, both included, of the shares found by 95 % of all runs with as many hashes.",
        lambda s: {"low": s.luck.band.low, "high": s.luck.band.high},
        "bound",
    ),
)

LEAN = frozenset(
    {
        "start_time_seconds", "devices_expected", "devices_present", "job_known", "settings_hash",
        "settings_read_timestamp_seconds", "settings_reload_failed", "settings_pending",
        "device_state", "hashrate_hashes_per_second", "hashes_total", "shares_found_total",
        "shares_expected_total", "device_faults_total", "device_temperature_celsius",
        "device_power_watts", "device_energy_joules_total", "device_throttled", "shares_total",
        "pool_connected", "pool_losses_total", "pool_accepted_work_hashes_total",
    }
)  # fmt: skip
"""Names of the metrics that alerts, recording rules and the board's overview need."""

LEAN_WINDOW = "60s"
"""The only window of the hashrate among them."""

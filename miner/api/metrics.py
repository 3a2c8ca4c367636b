"""The metrics of a snapshot in the text formats of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Generic, Protocol

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.utils import floatToGoString

from miner.api.metric_series import (
    LEAN,
    LEAN_WINDOW,
    OF_DEVICE,
    OF_POOL,
    OF_RIG,
    Series,
    T,
    Value,
)
from miner.telemetry import Histogram, Snapshot, Tally
from miner.work import DeviceInfo, Outcome

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""Of `metrics`."""

_encode_openmetrics, _OPENMETRICS_TYPE = choose_encoder("application/openmetrics-text")

_PREFIX = "progpow_miner"
_UNITS = (
    "hashes_per_second", "hashes", "shares", "seconds", "celsius", "watts", "joules", "hertz",
    "bytes", "ratio",
)  # fmt: skip


def metrics(snapshot: Snapshot, lean: bool = False) -> bytes:
    """Return the metrics of the snapshot and of this process in the text format 0.0.4, UTF-8.

    With `lean` those of `LEAN` only, with fewer series each.
    """
    return generate_latest(_registry(snapshot, lean))


def open_metrics(snapshot: Snapshot, lean: bool = False) -> bytes:
    """Return the same in the OpenMetrics format."""
    return _encode_openmetrics(_registry(snapshot, lean))


class Renderer(Protocol):
    """`metrics` or `open_metrics`."""

    def __call__(self, snapshot: Snapshot, lean: bool, /) -> bytes:
        """Return the metrics of the snapshot as text."""


def exposition(accept: str) -> tuple[Renderer, str]:
    """Return (renderer, content type) for a request's header `accept`: OpenMetrics if it is
    listed there, else the text format 0.0.4."""
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if "application/openmetrics-text" in wanted:
        return open_metrics, _OPENMETRICS_TYPE
    return metrics, CONTENT_TYPE


def _registry(snapshot: Snapshot, lean: bool) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(snapshot, lean))
    if not lean:
        ProcessCollector(registry=registry)
    return registry


def device_labels(devices: Iterable[DeviceInfo]) -> dict[str, str]:
    """Return the label of each device by its name: its PCI address, or its name if it has none or
    an earlier device has the same."""
    infos = list(devices)
    taken = {info.name for info in infos}
    labels = {}
    for info in infos:
        label = info.pci if info.pci and info.pci not in taken else info.name
        taken.add(label)
        labels[info.name] = label
    return labels


class SnapshotCollector:
    """Collects the metrics of one snapshot; unknown values have no series.

    The `lean` ones have one window of the hashrate, the current state of each device, and the
    outcomes that occurred besides accepted.
    """

    def __init__(self, snapshot: Snapshot, lean: bool = False) -> None:
        self._snapshot, self._lean = snapshot, lean
        self._algorithm = snapshot.about.algorithm
        self._names = device_labels(device.info for device in snapshot.devices)

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the registry."""
        snapshot, algorithm, about = self._snapshot, self._algorithm, self._snapshot.about
        values = {
            "rig": about.rig, "version": about.version, "algorithm": algorithm, "coin": about.coin,
        }  # fmt: skip
        yield InfoMetricFamily(_PREFIX, "The miner.", {k: _text(v) for k, v in values.items()})
        for of_rig in self._chosen(OF_RIG):
            yield _family(of_rig, ["algorithm"], [([algorithm], snapshot)])
        yield self._device_info()
        devices = [(self._device(d.name, d.info.uuid), d) for d in snapshot.devices]
        for of_device in self._chosen(OF_DEVICE):
            yield _family(of_device, ["device", "uuid", "algorithm"], devices)
        yield self._shares()
        pools = [([pool.label, algorithm], pool) for pool in snapshot.pools]
        for of_pool in self._chosen(OF_POOL):
            yield _family(of_pool, ["pool", "algorithm"], pools)

    def _chosen(self, every: Iterable[Series[T]]) -> Iterator[Series[T]]:
        for series in every:
            if not self._lean:
                yield series
            elif series.name in LEAN:
                yield replace(series, value=_LeanValues(series.value)) if series.label else series

    def _device(self, name: str, uuid: str | None) -> list[str]:
        return [self._names.get(name, name), uuid or "", self._algorithm]

    def _device_info(self) -> Metric:
        labels = ["device", "uuid", "algorithm"]
        family = InfoMetricFamily(f"{_PREFIX}_device", "The device.", labels=labels)
        for info in (device.info for device in self._snapshot.devices):
            details = {
                "name": info.name, "model": info.model, "backend": info.backend,
                "kind": info.kind, "vendor": info.vendor, "driver": info.driver,
            }  # fmt: skip
            values = [_text(value) for value in self._device(info.name, info.uuid)]
            family.add_metric(values, {k: _text(v) for k, v in details.items()})
        return family

    def _shares(self) -> Metric:
        """Return the counts by device, pool and outcome, with the zeros that `rate` needs."""
        snapshot = self._snapshot
        uuids = {device.name: device.info.uuid for device in snapshot.devices}
        zeros = {(name, pool.label): Tally() for name in uuids for pool in snapshot.pools}
        series = Series[int]("shares_total", "Shares by outcome.", lambda n: n)
        rows = [
            ([*self._device(name, uuids.get(name)), pool, outcome], count)
            for (name, pool), tally in {**zeros, **snapshot.by_pool}.items()
            for outcome, count in _outcomes(tally).items()
            if count or not self._lean or outcome == Outcome.ACCEPTED.value
        ]
        return _family(series, ["device", "uuid", "algorithm", "pool", "outcome"], rows)


class _LeanValues(Generic[T]):
    """The values of a metric with a label, without other windows and without zeros."""

    def __init__(self, values: Callable[[T], Value | Mapping[str, Value]]) -> None:
        self._values = values

    def __call__(self, subject: T) -> Mapping[str, Value]:
        found = self._values(subject)
        assert isinstance(found, Mapping)
        if LEAN_WINDOW in found:
            return {LEAN_WINDOW: found[LEAN_WINDOW]}
        return {label: value for label, value in found.items() if value}


def _family(
    series: Series[T], labels: Sequence[str], rows: Iterable[tuple[Sequence[str], T]]
) -> Metric:
    name = f"{_PREFIX}_{series.name}"
    bare = name.removesuffix("_total")
    unit = next((unit for unit in _UNITS if bare.endswith(f"_{unit}")), "")
    kind: type[GaugeMetricFamily | CounterMetricFamily | HistogramMetricFamily]
    if series.histogram:
        kind = HistogramMetricFamily
    else:
        kind = GaugeMetricFamily if bare == name else CounterMetricFamily
    names = [*labels, series.label] if series.label else labels
    family = kind(bare, series.help, labels=names, unit=unit)
    for values, subject in rows:
        found = series.value(subject)
        for part, value in (found if isinstance(found, Mapping) else {"": found}).items():
            own = [_text(each) for each in ([*values, part] if series.label else values)]
            if isinstance(family, HistogramMetricFamily):
                assert isinstance(value, Histogram)
                bounds = [*map(floatToGoString, value.bounds), "+Inf"]
                buckets = list(zip(bounds, accumulate(value.counts), strict=True))
                family.add_metric(own, buckets, value.total)
            elif value is not None:
                assert not isinstance(value, Histogram)
                family.add_metric(own, float(value))
    return family


def _outcomes(tally: Tally) -> dict[str, int]:
    counts = {outcome.value: tally.outcomes.get(outcome, 0) for outcome in Outcome}
    return {**counts, "hardware": tally.hardware}


def _text(value: str) -> str:
    """Replace surrogates: names of devices and hosts may have bytes that are not UTF-8."""
    return value.encode("utf-8", "replace").decode("utf-8")

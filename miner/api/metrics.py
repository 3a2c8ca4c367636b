"""The metrics of a snapshot in the text formats of Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from math import isfinite, isnan
from typing import Generic

from prometheus_client import CollectorRegistry, ProcessCollector
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
    return _Text(False).of(snapshot, lean) + generate_latest(_of_process(lean))


def open_metrics(snapshot: Snapshot, lean: bool = False) -> bytes:
    """Return the same in the OpenMetrics format."""
    return _Text(True).of(snapshot, lean) + _encode_openmetrics(_of_process(lean))


def exposition(accept: str) -> tuple[Callable[[Snapshot, bool], bytes], str]:
    """Return (renderer, content type) for a request's header `accept`: OpenMetrics if it is
    listed there, else the text format 0.0.4."""
    wanted = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    if "application/openmetrics-text" in wanted:
        return open_metrics, _OPENMETRICS_TYPE
    return metrics, CONTENT_TYPE


@cache
def _of_process(lean: bool) -> CollectorRegistry:
    """Return the metrics of this process; none with `lean`."""
    registry = CollectorRegistry()
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


class _Text:
    """The metrics of one snapshot as text; unknown values have no series.

    The library's families take 9 µs for each series, and twelve cards have 1,200. So the lines are
    written here: the labels once for each device, the rest by one format for each line.
    """

    def __init__(self, openmetrics: bool) -> None:
        self._openmetrics = openmetrics
        self._parts: list[str] = []

    def of(self, snapshot: Snapshot, lean: bool) -> bytes:
        """Return every metric of `snapshot`. The `lean` ones have one window of the hashrate, the
        current state of each device, and the outcomes that occurred besides accepted."""
        about, algorithm = snapshot.about, snapshot.about.algorithm
        facts = {"coin": about.coin, "rig": about.rig, "version": about.version}
        self._add_info("", "The miner.", [_labels(algorithm=algorithm, **facts)])
        for of_rig in _chosen(OF_RIG, lean):
            self._add(of_rig, [(_labels(algorithm=algorithm), snapshot)])
        names = device_labels(device.info for device in snapshot.devices)
        uuids = {device.name: device.info.uuid or "" for device in snapshot.devices}

        def labels_of(name: str) -> str:
            known = {"device": names.get(name, name), "uuid": uuids.get(name, "")}
            return _labels(algorithm=algorithm, **known)

        devices = [(labels_of(device.name), device) for device in snapshot.devices]
        self._add_info(
            "_device", "The device.", [f"{own},{_details(device.info)}" for own, device in devices]
        )
        for of_device in _chosen(OF_DEVICE, lean):
            self._add(of_device, devices)
        # With the zeros that `rate` needs.
        zeros = {(name, pool.label): Tally() for name in uuids for pool in snapshot.pools}
        outcomes = _lean_outcomes if lean else _outcomes
        self._add(
            Series("shares_total", "Shares by outcome.", outcomes, "outcome"),
            [
                (f"{labels_of(name)},{_labels(pool=pool)}", tally)
                for (name, pool), tally in {**zeros, **snapshot.by_pool}.items()
            ],
        )
        pools = [(_labels(algorithm=algorithm, pool=p.label), p) for p in snapshot.pools]
        for of_pool in _chosen(OF_POOL, lean):
            self._add(of_pool, pools)
        return "".join(self._parts).encode()

    def _add_info(self, part: str, help: str, labels: Iterable[str]) -> None:
        self._parts.append(_head(f"{_PREFIX}{part}", help, "info", self._openmetrics))
        self._parts += [f"{_PREFIX}{part}_info{{{each}}} 1\n" for each in labels]

    def _add(self, series: Series[T], rows: Iterable[tuple[str, T]]) -> None:
        """Add the samples of `series`; each row has the labels as text, and the subject."""
        name, write = f"{_PREFIX}_{series.name}", self._parts.append
        bare = name.removesuffix("_total")
        kind = "histogram" if series.histogram else "gauge" if bare == name else "counter"
        write(_head(bare, series.help, kind, self._openmetrics))
        for labels, subject in rows:
            found = series.value(subject)
            for part, value in found.items() if isinstance(found, Mapping) else (("", found),):
                own = f'{labels},{series.label}="{_escaped(part)}"' if series.label else labels
                if isinstance(value, Histogram):
                    self._add_histogram(name, own, value)
                elif value is not None:
                    write(f"{name}{{{own}}} {_number(value)}\n")

    def _add_histogram(self, name: str, labels: str, histogram: Histogram) -> None:
        count = 0
        for bound, counted in zip(_bounds(histogram.bounds), histogram.counts, strict=True):
            count += counted
            self._parts.append(f'{name}_bucket{{{labels},le="{bound}"}} {count}\n')
        total = _number(histogram.total)
        self._parts.append(f"{name}_count{{{labels}}} {count}\n{name}_sum{{{labels}}} {total}\n")


@cache
def _head(name: str, help: str, kind: str, openmetrics: bool) -> str:
    """Return the lines before the samples of the metric `name`, without the suffix of its kind."""
    if not openmetrics:
        full = name + {"counter": "_total", "info": "_info"}.get(kind, "")
        return f"# HELP {full} {help}\n# TYPE {full} {'gauge' if kind == 'info' else kind}\n"
    unit = next((unit for unit in _UNITS if name.endswith(f"_{unit}")), "")
    text = f"# HELP {name} {help}\n# TYPE {name} {kind}\n"
    return f"{text}# UNIT {name} {unit}\n" if unit else text


@cache
def _bounds(bounds: tuple[float, ...]) -> tuple[str, ...]:
    return (*map(floatToGoString, bounds), "+Inf")


def _number(value: float) -> str:
    # Counts are shorter as integers; a bool is 0 or 1.
    if isinstance(value, int):
        return str(int(value))
    if isfinite(value):
        return repr(value)
    return "NaN" if isnan(value) else "+Inf" if value > 0 else "-Inf"


def _labels(**values: str) -> str:
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in values.items())


def _escaped(value: str) -> str:
    """Escape a label's value. Surrogates are replaced: names of devices and hosts may have bytes
    that are not UTF-8."""
    if value.isalnum():
        return value
    text = value.encode("utf-8", "replace").decode("utf-8")
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def _details(info: DeviceInfo) -> str:
    return _labels(
        name=info.name, model=info.model, backend=info.backend, kind=info.kind,
        vendor=info.vendor, driver=info.driver,
    )  # fmt: skip


def _outcomes(tally: Tally) -> Mapping[str, int]:
    counts = {outcome.value: tally.outcomes.get(outcome, 0) for outcome in Outcome}
    return {**counts, "hardware": tally.hardware}


def _lean_outcomes(tally: Tally) -> Mapping[str, int]:
    accepted = Outcome.ACCEPTED.value
    return {name: n for name, n in _outcomes(tally).items() if n or name == accepted}


def _chosen(every: Iterable[Series[T]], lean: bool) -> Iterator[Series[T]]:
    for series in every:
        if not lean:
            yield series
        elif series.name in LEAN:
            yield replace(series, value=_LeanValues(series.value)) if series.label else series


class _LeanValues(Generic[T]):
    """The values of a metric with a label, without other windows and other members of an enum."""

    def __init__(self, values: Callable[[T], Value | Mapping[str, Value]]) -> None:
        self._values = values

    def __call__(self, subject: T) -> Mapping[str, Value]:
        found = self._values(subject)
        assert isinstance(found, Mapping)
        if LEAN_WINDOW in found:
            return {LEAN_WINDOW: found[LEAN_WINDOW]}
        return {label: value for label, value in found.items() if value is not False}

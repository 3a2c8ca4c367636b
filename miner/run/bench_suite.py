"""The suite of `bench`: repeated measurements at three heights, and comparing two of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from statistics import harmonic_mean
from typing import Any

from miner.errors import ConfigError
from miner.resources import read_text
from miner.run.bench_device import BenchDevice, BenchKernel
from miner.telemetry import Reading
from miner.telemetry.measurements import Interval, mean_reading

ROW_BYTES = 256
"""Bytes of a dataset entry; a hash reads one in each loop."""

SAME = ("variant", "epoch", "shape", "source_sha256", "model", "driver", "version")
"""Members that two reports should have in common, so that their ratio has one cause."""


@dataclass(frozen=True, slots=True)
class SuitePlan:
    """The number and the durations of the suite's measurements."""

    heights: Sequence[int]
    repetitions: int
    seconds: float
    """Duration of one measurement at one height."""
    warm_up: float
    """Seconds of search at each height before; clocks and temperatures settle."""


@dataclass(slots=True)
class _HeightFigures:
    kernel: BenchKernel
    rates: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)


def run_suite(
    bench: BenchDevice,
    plan: SuitePlan,
    read: Callable[[], Reading],
    progress: Callable[[str], None],
    memory_limit: float | None = None,
) -> dict[str, Any]:
    """Measure the device's present shape; return hashrates (H/s) with their intervals, means of
    the sensors, hashes per joule, and the share of `memory_limit` (bytes per second) that is used,
    each where it is known: for every height and for all together.

    Each kernel is compared with the CPU first. The heights take turns in every repetition.
    """
    progress("building and checking the programs")
    parts = [_HeightFigures(bench.kernel(height)) for height in plan.heights]
    progress(f"warming up for {plan.warm_up * len(parts):g} s")
    for part in parts:
        part.kernel.rates(plan.warm_up)
    for number in range(plan.repetitions):
        progress(f"repetition {number + 1} of {plan.repetitions}")
        for part in parts:
            part.rates.append(harmonic_mean(part.kernel.rates(plan.seconds)))
            part.readings.append(read())
    together = [harmonic_mean(rates) for rates in zip(*(p.rates for p in parts), strict=True)]
    row_bytes = bench.variant.dag_loops * ROW_BYTES
    limit = memory_limit / row_bytes if memory_limit else None
    return {
        "heights": {
            str(part.kernel.job.height): _figures(part.rates, part.readings, limit)
            for part in parts
        },
        "all": _figures(together, [r for part in parts for r in part.readings], limit),
        "repetitions": plan.repetitions,
        "seconds": plan.seconds,
        "warm_up": plan.warm_up,
        "shape": bench.device.shape.name,
        "source_sha256": parts[0].kernel.source.sha256,
    }


def _figures(
    rates: Sequence[float], readings: Sequence[Reading], limit: float | None
) -> dict[str, Any]:
    rate, sensors = Interval.of(rates), mean_reading(readings)
    figures: dict[str, Any] = {"hashrate": rate.as_json(), "sensors": sensors}
    if sensors.get("power"):
        figures["hashes_per_joule"] = rate.median / sensors["power"]
    if limit:
        figures["share_of_memory_limit"] = rate.median / limit
    return figures


def memory_limit_in(path: Path) -> float:
    """Return the bytes per second of the fastest random reads of rows in a report of
    benchmarks/limits.py; raises `ConfigError` for any other file."""
    try:
        return max(float(row["GB/s"]) for row in _json(path)["rows"]) * 1e9
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: is not a report of benchmarks/limits.py --json") from error


def suite_in(path: Path) -> dict[str, Any]:
    """Return the report in a file; raises `ConfigError` for one that is not of the suite."""
    report = _json(path)
    try:
        for part in (*report["heights"].values(), report["all"]):
            _interval(part)
        report.get("device", {}).keys()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path}: is not a report of `bench --suite --json`; make one to compare"
        ) from error
    return report


def _json(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(read_text(path, str(path)))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: is not JSON: {error}") from error
    return report if isinstance(report, dict) else {}


def _interval(part: Mapping[str, Any]) -> Interval:
    interval = Interval(**{name: float(value) for name, value in part["hashrate"].items()})
    if not 0 < interval.low <= interval.median <= interval.high < inf:
        raise ValueError("the interval is out of order")
    return interval


@dataclass(frozen=True, slots=True)
class Compared:
    """The second report relative to the first one."""

    ratios: dict[str, Interval]
    """By height, and "all"."""
    differences: list[str]
    """A sentence for each of `SAME` that differs."""

    @property
    def is_slower(self) -> bool:
        """Whether all heights together are slower within the whole interval."""
        return self.ratios["all"].high < 1


def compare_suites(before: Mapping[str, Any], after: Mapping[str, Any]) -> Compared:
    """Compare two reports at the heights that both have. The bounds of a ratio are those of the
    hashrates divided crosswise, so it lies between them with at least 90 % probability."""
    ratios = {}
    for height in [*(h for h in before["heights"] if h in after["heights"]), "all"]:
        if height == "all":
            old, new = _interval(before["all"]), _interval(after["all"])
        else:
            old, new = (_interval(one["heights"][height]) for one in (before, after))
        ratios[height] = Interval(new.median / old.median, new.low / old.high, new.high / old.low)
    return Compared(ratios, list(_differences(before, after)))


def _differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    if set(before["heights"]) != set(after["heights"]):
        yield 'the heights differ, so "all" is of different programs'
    for name in SAME:
        old, new = (one.get(name, one.get("device", {}).get(name)) for one in (before, after))
        if old != new:
            yield f"{name.replace('_', ' ')}: {old} before, {new} after"

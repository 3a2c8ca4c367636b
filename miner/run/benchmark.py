"""Benchmark, self-test and choice of the launch shape of a device, on real epochs."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

from miner import __version__
from miner.clock import SystemClock
from miner.codegen.launch_shape import shape_beside, shape_named
from miner.devices.crash_record import CrashRecord
from miner.devices.device import Device, OpenableDevice
from miner.devices.driver_history import crashed_shapes
from miner.devices.selection import ListedDevice
from miner.devices.trial_results import TrialResults
from miner.devices.tuned_shapes import ChosenBy, TunedShapes, shapes_to_try
from miner.errors import ConfigError, MinerError, OutOfMemory
from miner.formatting import format_bytes
from miner.progpow.variant import Variant
from miner.run.bench_device import BenchDevice
from miner.run.bench_suite import SuitePlan, run_suite
from miner.run.shape_trials import HEIGHTS, ShapeTrials
from miner.sensors.sensors import open_sensors
from miner.telemetry import Reading
from miner.verify import Verifier
from miner.work import DeviceInfo

Progress = Callable[[str], None]
"""Receives a sentence at each step."""


def measure(
    listed: ListedDevice,
    variant: Variant,
    height: int,
    seconds: float,
    shape: str | None,
    progress: Progress,
) -> dict[str, Any]:
    """Return the object that `bench --json` prints: hashrates in H/s, times in seconds, and what
    they were measured on."""
    with _bench_device(listed, variant, height, progress, shape) as bench:
        proved = bench.kernel(height)
        progress(f"searching for {seconds:g} s")
        rates = proved.rates(seconds)
        shape_name = bench.device.shape.name
    epoch = bench.epoch
    ordered = sorted(rates)
    return {
        "variant": variant.name,
        "height": height,
        "epoch": epoch.number,
        "period": variant.period_at(height),
        "hashrate": {
            "median": statistics.median(rates),
            "p10": ordered[len(ordered) // 10],
            "p90": ordered[len(ordered) * 9 // 10],
            "launches": len(rates),
        },
        "build_seconds": proved.build_seconds,
        "dataset_seconds": bench.dataset_seconds,
        "dataset_bytes": epoch.dataset_bytes,
        "shape": shape_name,
        "source_sha256": proved.source.sha256,
        **_measured_on(listed.info),
    }


def measure_suite(
    listed: ListedDevice,
    variant: Variant,
    height: int,
    shape: str | None,
    plan: SuitePlan,
    memory_limit: float | None,
    progress: Progress,
) -> dict[str, Any]:
    """Return the object that `bench --suite --json` prints, on the dataset of `height`."""
    info = listed.info
    with _bench_device(listed, variant, height, progress, shape) as bench, _sensors(info) as read:
        report = run_suite(bench, plan, read, progress, memory_limit)
        return {
            "variant": variant.name,
            "epoch": bench.epoch.number,
            "dataset_bytes": bench.epoch.dataset_bytes,
            **report,
            **_measured_on(info),
        }


def tune_device(
    listed: ListedDevice,
    variant: Variant,
    height: int,
    shapes: Sequence[str] | None,
    rounds: int,
    seconds: float,
    by: ChosenBy,
    progress: Progress,
    kept_in: TunedShapes | None,
) -> dict[str, Any]:
    """Return the object that `tune --json` prints for one device: the hashrate of each of `shapes`
    relative to the device's own, and the choice, which is kept in `kept_in`. Shapes whose trial
    ended an earlier process are left out.

    Without `shapes`: those that may suit the device. Raises `ConfigError` for a device that has
    no launch shapes, and as `ShapeTrials.compare`.
    """
    info = listed.info
    names = list(shapes or shapes_to_try(info, listed.backend))
    for name in names:
        shape_beside(name, listed.backend.shape_for(info))
    if listed.backend.dialect is None:
        raise ConfigError(f"{info.name} interprets programs, so it has no launch shape to choose")
    crashed = crashed_shapes(TrialResults(), info, variant, names)
    for name, reason in crashed.items():
        progress(f"{name} is left out: {reason}")
    names = [name for name in names if name not in crashed]
    with (
        closing(CrashRecord()) as record,
        _bench_device(record.watched(listed, variant), variant, height, progress) as bench,
        _sensors(info) as read,
    ):
        report = ShapeTrials(bench, read, progress).compare(names, rounds, seconds, by)
    if kept_in is not None:
        kept_in.put(info, listed.backend, variant, report.chosen)
    return {
        "variant": variant.name,
        "epoch": bench.epoch.number,
        "heights": list(HEIGHTS),
        "rounds": rounds,
        "shapes": report.rows,
        "left_out": crashed | report.left_out,
        "chosen": asdict(report.chosen),
        "kept": kept_in is not None,
        **_measured_on(info),
    }


@contextmanager
def _bench_device(
    listed: OpenableDevice,
    variant: Variant,
    height: int,
    progress: Progress,
    shape: str | None = None,
) -> Iterator[BenchDevice]:
    """Open the device with the dataset of `height`, and close it at the end."""
    verifier = Verifier()
    epoch = variant.epoch_at(height)
    progress(f"light cache of epoch {epoch.number}: {format_bytes(epoch.light_bytes)}")
    verifier.light_cache(epoch)
    device = listed.open()
    try:
        if shape:
            device.take_shape(shape_named(shape))
        progress(f"dataset of epoch {epoch.number}: {format_bytes(epoch.dataset_bytes)}")
        yield BenchDevice(device, variant, height, verifier)
    finally:
        device.close()


@contextmanager
def _sensors(info: DeviceInfo) -> Iterator[Callable[[], Reading]]:
    """Open the sensors of a device; give a function that reads them."""
    sensors = open_sensors([info], SystemClock())
    try:
        yield lambda: sensors.read()[info.name]
    finally:
        sensors.close()


def _measured_on(info: DeviceInfo) -> dict[str, Any]:
    return {
        "device": {"name": info.name, "model": info.model, "driver": info.driver},
        "host": {"machine": platform.machine(), "system": platform.platform()},
        "version": __version__,
    }


def selftest_real(
    device: Device, variant: Variant, heights: Sequence[int]
) -> Iterator[tuple[str, bool | None]]:
    """Yield (sentence, passed) for the epochs of `heights`, or without any the first two;
    `passed` is None if an epoch does not fit into memory."""
    verifier = Verifier()
    for height in heights or (0, variant.spans[0].length):
        name = f"height {height}"
        try:
            epoch = variant.epoch_at(height)
            name += f", epoch {epoch.number}, {format_bytes(epoch.dataset_bytes)}"
            BenchDevice(device, variant, height, verifier).kernel(height)
        except OutOfMemory as error:
            yield f"skipped {name}: {error}", None
        except MinerError as error:
            yield f"FAILED {name}: {error}", False
        else:
            yield f"right at {name}", True

"""Comparing the launch shapes of a device by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import fmean, harmonic_mean
from typing import Any

from miner.codegen.launch_shape import shape_beside, shape_named
from miner.devices.tuned_shapes import ChosenBy, TunedShape
from miner.engine.shape_choice import MeasuredShape, choice, ratio_of
from miner.errors import BadValue, DeviceError
from miner.run.bench_device import BenchDevice, BenchKernel
from miner.telemetry import Reading
from miner.telemetry.measurements import Interval, mean_reading

HEIGHTS = (937863, 1234567, 1006647)
"""Heights whose programs are light, average and heavy for KawPow; for other variants any three."""


@dataclass(frozen=True, slots=True)
class Rounds:
    """One figure of a shape in each round."""

    name: str
    rounds: Sequence[float]


@dataclass(slots=True)
class ShapeTrial:
    """One shape: a kernel for each height, and what was measured."""

    name: str
    kernels: list[BenchKernel]
    rounds: list[float] = field(default_factory=list)
    """Hashes per second in each round, the harmonic mean of the heights."""
    efficiencies: list[float] = field(default_factory=list)
    """Hashes per joule in each round in which the power was known."""
    readings: list[Reading] = field(default_factory=list)

    def take_turn(self, seconds: float, read: Callable[[], Reading]) -> None:
        """Search at every height, and read the sensors at the end of each."""
        rates, readings = [], []
        for kernel in self.kernels:
            rates.append(harmonic_mean(kernel.rates(seconds, fewest=2)))
            readings.append(read())
        rate, watts = harmonic_mean(rates), [one.power for one in readings if one.power]
        self.rounds.append(rate)
        if len(watts) == len(readings):
            self.efficiencies.append(rate / fmean(watts))
        self.readings += readings

    @property
    def by_efficiency(self) -> Rounds:
        """Hashes per joule in each round, for a choice by efficiency."""
        return Rounds(self.name, self.efficiencies)


@dataclass(frozen=True, slots=True)
class ShapeReport:
    """The result of comparing shapes on one device."""

    default: str
    chosen: TunedShape
    rows: list[dict[str, Any]]
    """For each shape that was measured: hashrate in H/s and ratio to the default, both with their
    intervals, and the sensors' means; with a power sensor also hashes per joule and their ratio to
    the default's."""
    left_out: dict[str, str]
    """Reasons by shape."""


class ShapeTrials:
    """Compares launch shapes on one device.

    `read` returns the device's sensors; `progress` receives a sentence at each step.
    """

    def __init__(
        self,
        bench: BenchDevice,
        read: Callable[[], Reading],
        progress: Callable[[str], None],
        heights: Sequence[int] = HEIGHTS,
    ) -> None:
        self._bench, self._read, self._progress = bench, read, progress
        self._heights = heights

    def compare(
        self,
        names: Sequence[str],
        rounds: int,
        seconds: float,
        by: ChosenBy = ChosenBy.HASHRATE,
    ) -> ShapeReport:
        """Measure the device's own shape and `names`, as `shape_beside` takes them, in turns of
        `seconds` at each height.

        Each kernel is compared with the CPU before; a shape that does not compile or is wrong is
        left out. Raises `DeviceError` where that is the device's own shape, and where the power
        that the shape is to be chosen by is unknown.
        """
        own = self._bench.device.shape.split(1)
        left_out: dict[str, str] = {}
        trials = [self._proved(own.name)]
        for name in dict.fromkeys(shape_beside(name, own).name for name in names):
            if name == own.name:
                continue
            try:
                trials.append(self._proved(name))
            except (BadValue, DeviceError) as error:
                left_out[name] = str(error)
                self._progress(f"{name} is left out: {error}")
        self._read()  # from here on, a counter of energy has the power since the last reading
        for number in range(rounds):
            self._progress(f"round {number + 1} of {rounds}")
            first = number % len(trials)  # so that none always runs after the same other one
            for trial in trials[first:] + trials[:first]:
                trial.take_turn(seconds, self._read)
                if by == ChosenBy.EFFICIENCY and len(trial.efficiencies) < len(trial.rounds):
                    raise DeviceError(
                        f"{self._bench.device.info.name}: no sensor reports its power, so no "
                        "launch shape can be chosen by efficiency; choose by hashrate"
                    )
        measured: Sequence[MeasuredShape] = trials
        if by == ChosenBy.EFFICIENCY:
            measured = [trial.by_efficiency for trial in trials]
        rows = [_row(trial, trials[0]) for trial in trials]
        return ShapeReport(own.name, choice(measured, by), rows, left_out)

    def _proved(self, name: str) -> ShapeTrial:
        self._progress(f"building and checking {name}")
        shape = shape_named(name)
        return ShapeTrial(name, [self._bench.kernel(height, shape) for height in self._heights])


def _row(trial: ShapeTrial, default: ShapeTrial) -> dict[str, Any]:
    rate, sensors = Interval.of(trial.rounds), mean_reading(trial.readings)
    row: dict[str, Any] = {
        "shape": trial.name,
        "hashrate": rate.as_json(),
        "ratio": ratio_of(trial, default).as_json(),
        "build_seconds": fmean(kernel.build_seconds for kernel in trial.kernels),
        "sensors": sensors,
    }
    if sensors.get("power"):
        row["hashes_per_joule"] = rate.median / sensors["power"]
    if len(trial.efficiencies) == len(default.efficiencies) == len(trial.rounds):
        ratio = ratio_of(trial.by_efficiency, default.by_efficiency)
        row["efficiency_ratio"] = ratio.as_json()
    return row

"""The choice of a launch shape by measurements, for one device or for equal ones."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

from miner.devices.tuned_shapes import ChosenBy, TunedShape
from miner.telemetry.measurements import Interval


class MeasuredShape(Protocol):
    """A launch shape and what it is chosen by."""

    @property
    def name(self) -> str: ...

    @property
    def rounds(self) -> Sequence[float]:
        """Hashes per second, or per joule, in each round."""


def choice(trials: Sequence[MeasuredShape], by: ChosenBy = ChosenBy.HASHRATE) -> TunedShape:
    """Return the best shape: the first one, the default, unless the whole interval of the ratio
    of another is above 1."""
    default = trials[0]
    best = TunedShape(default.name, default.name, 1.0, 1.0, 1.0, by)
    for trial in trials[1:]:
        ratio = ratio_of(trial, default)
        if ratio.low > 1 and ratio.median > best.ratio:
            best = TunedShape(trial.name, default.name, ratio.median, ratio.low, ratio.high, by)
    return best


def ratio_of(trial: MeasuredShape, default: MeasuredShape) -> Interval:
    """Return the ratio of their rounds."""
    pairs = zip(trial.rounds, default.rounds, strict=True)
    return Interval.of([rate / other for rate, other in pairs])


class ShapeChoice:
    """The choice of equal devices, of which one compares the shapes; any thread may call it."""

    def __init__(self) -> None:
        self.best: TunedShape | None = None
        """None until it is known; written by the device that compares."""
        self._lock = threading.Lock()
        self._compares: str | None = None
        """Name of the device that compares."""

    def claim(self, device: str) -> bool:
        """Return whether `device` compares the shapes: the first one that asks does."""
        with self._lock:
            if self._compares is None:
                self._compares = device
            return self._compares == device

    def release(self, device: str) -> None:
        """Have another device compare the shapes if `device`, which does not search now, did."""
        with self._lock:
            if self._compares == device:
                self._compares = None

"""Comparing launch shapes: exactness first, turns, intervals, the choice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from miner.codegen.launch_shape import LaunchShape, shape_named
from miner.devices.tuned_shapes import ChosenBy, TunedShape
from miner.errors import BuildFailed, DeviceError, WrongResult
from miner.run import bench_device
from miner.run.bench_device import BenchDevice
from miner.run.shape_trials import ShapeReport, ShapeTrials
from miner.telemetry import Reading
from miner.work import Job, NonceRange
from tests.fakes.device import (
    LONG,
    PROVER,
    DeviceScript,
    FakeDevice,
    FakeImage,
    FakePending,
    Ticks,
    info_of,
    search_source,
)

VARIANT = LONG


@dataclass
class Speeds:
    """Hashes per second of each shape; shapes that do not compile or are wrong."""

    by_shape: dict[str, float]
    noise: float = 0.0
    uncompilable: set[str] = field(default_factory=set)
    wrong: set[str] = field(default_factory=set)
    turns: list[str] = field(default_factory=list)


class ShapedDevice(FakeDevice):
    """A device whose speed depends on its launch shape."""

    def __init__(self, speeds: Speeds) -> None:
        super().__init__(info_of(), DeviceScript(), Ticks())
        self.speeds, self.random = speeds, Random(1)

    def take_shape(self, shape: LaunchShape) -> None:
        self.shape = shape

    def build(self, source):  # type: ignore[no-untyped-def]
        if self.shape.name in self.speeds.uncompilable:
            raise BuildFailed(f"{self.info.name}: it does not compile")
        image = super().build(source)
        if source.entry == "search":
            image.wrong = self.shape.name in self.speeds.wrong
        return image

    def launch(self, kernel: FakeImage, job: Job, span: NonceRange) -> FakePending:
        if job.target == 2**256 - 1:
            assert not self.speeds.turns, "a kernel was proved after the measurement began"
        else:
            self.speeds.turns.append(self.shape.name)
        pending = super().launch(kernel, job, span)
        speed = self.speeds.by_shape[self.shape.name]
        speed *= 1 + self.random.uniform(-self.speeds.noise, self.speeds.noise)
        return _Timed(pending, self.clock, span.count / speed)


class _Timed:
    def __init__(self, pending: FakePending, clock: Ticks, seconds: float) -> None:
        self._pending, self._clock, self._seconds = pending, clock, seconds

    def wait(self):  # type: ignore[no-untyped-def]
        before = self._clock.seconds
        result = self._pending.wait()
        self._clock.seconds = before + self._seconds
        return result


@pytest.fixture(autouse=True)
def _fake_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_device, "search_source", search_source)


def compared(
    speeds: Speeds,
    *names: str,
    rounds: int = 8,
    read: Callable[[], Reading] = Reading,
    by: ChosenBy = ChosenBy.HASHRATE,
) -> ShapeReport:
    device = ShapedDevice(speeds)
    device.take_shape(shape_named("gpu"))
    bench = BenchDevice(device, VARIANT, 0, PROVER, device.clock)
    return ShapeTrials(bench, read, lambda _: None, (1, 2)).compare(names, rounds, 0.05, by)


def test_the_fastest_shape_is_chosen() -> None:
    report = compared(
        Speeds({"gpu": 4000, "gpu-128": 4400, "gpu-amd": 4200}, 0.01), "gpu-128", "gpu-amd"
    )
    assert report.default == report.chosen.default == "gpu"
    assert report.chosen.shape == "gpu-128"
    assert report.chosen.ratio == pytest.approx(1.1, rel=0.02)
    assert report.chosen.low <= report.chosen.ratio <= report.chosen.high
    assert [row["shape"] for row in report.rows] == ["gpu", "gpu-128", "gpu-amd"]


def test_a_shape_that_is_not_clearly_faster_does_not_replace_the_default() -> None:
    report = compared(Speeds({"gpu": 4000, "gpu-128": 4010}, noise=0.2), "gpu-128")
    assert report.chosen == TunedShape("gpu", "gpu", 1.0, 1.0, 1.0)


def test_shapes_that_fail_are_left_out_with_their_reasons() -> None:
    speeds = Speeds(
        {"gpu": 4000, "gpu-128": 9000, "gpu-amd": 9000}, 0, {"gpu-amd"}, wrong={"gpu-128"}
    )
    report = compared(speeds, "gpu", "gpu-128", "gpu-amd")
    assert report.chosen.shape == "gpu"
    assert "is wrong for nonce" in report.left_out["gpu-128"]
    assert "does not compile" in report.left_out["gpu-amd"]
    assert set(speeds.turns) == {"gpu"}


def test_a_default_shape_that_is_wrong_fails_the_comparison() -> None:
    with pytest.raises(WrongResult):
        compared(Speeds({"gpu": 4000}, wrong={"gpu"}))


def test_the_shapes_take_turns_and_begin_in_turn() -> None:
    speeds = Speeds({"gpu": 4000, "gpu-128": 4000})
    compared(speeds, "gpu-128", rounds=2)
    turns = [speeds.turns[0]]
    turns += [b for a, b in zip(speeds.turns, speeds.turns[1:], strict=False) if a != b]
    assert turns == ["gpu", "gpu-128", "gpu"]


def test_hashes_per_joule_are_reported_where_the_power_is_known() -> None:
    speeds = Speeds({"gpu": 4000})
    (row,) = compared(speeds, read=lambda: Reading(power=200.0)).rows
    assert row["hashes_per_joule"] == pytest.approx(row["hashrate"]["median"] / 200)
    assert row["sensors"] == {"power": 200}
    assert row["efficiency_ratio"] == {"median": 1, "low": 1, "high": 1}
    (row,) = compared(Speeds({"gpu": 4000})).rows
    assert not {"hashes_per_joule", "efficiency_ratio"} & set(row)


@dataclass
class Meter:
    """A counter of energy on a device that takes another power in each shape: it reports the
    power since its last reading, so none at the first one."""

    speeds: Speeds
    watts: dict[str, float]
    read: bool = False

    def __call__(self) -> Reading:
        first, self.read = not self.read, True
        return Reading(power=None if first else self.watts[self.speeds.turns[-1]])


def test_the_shape_with_the_most_hashes_per_joule_is_chosen_on_request() -> None:
    hashrates, watts = {"gpu": 4000.0, "gpu@1": 3900.0, "gpu-128": 4400.0}, {
        "gpu": 200.0, "gpu@1": 150.0, "gpu-128": 250.0
    }  # fmt: skip
    chosen = {}
    for by in ChosenBy:
        speeds = Speeds(hashrates, 0.01)
        report = compared(speeds, "@1", "gpu-128", read=Meter(speeds, watts), by=by)
        chosen[by] = report.chosen
        assert [row["shape"] for row in report.rows] == ["gpu", "gpu@1", "gpu-128"]
        ratios = [row["efficiency_ratio"]["median"] for row in report.rows]
        assert ratios == pytest.approx([1, 26 / 20, 44 / 50], rel=0.02)
    assert chosen[ChosenBy.HASHRATE].shape == "gpu-128"
    efficient = chosen[ChosenBy.EFFICIENCY]
    assert (efficient.shape, efficient.default, efficient.by) == ("gpu@1", "gpu", "efficiency")
    assert efficient.ratio == pytest.approx(1.3, rel=0.02)
    assert 1 < efficient.low <= efficient.ratio <= efficient.high


def test_no_shape_is_chosen_by_an_efficiency_that_is_unknown() -> None:
    speeds = Speeds({"gpu": 4000})
    with pytest.raises(DeviceError, match=r"^fake:0: no sensor reports its power, .* by hashrate$"):
        compared(speeds, by=ChosenBy.EFFICIENCY)
    assert len(speeds.turns) < 20, "the first round shows it"

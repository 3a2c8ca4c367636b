"""The suite of `bench`: its figures, and comparing two reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from miner.errors import ConfigError, WrongResult
from miner.run import bench_device
from miner.run.bench_device import BenchDevice
from miner.run.bench_suite import (
    SuitePlan,
    compare_suites,
    memory_limit_in,
    run_suite,
    suite_in,
)
from miner.telemetry import Reading
from tests.cli.running import run
from tests.fakes.device import LONG, PROVER, DeviceScript, Ticks, fake_device, search_source

PLAN = SuitePlan((1, 2, 7501), repetitions=6, seconds=0.05, warm_up=0.05)
SPEED = 2000.0
"""Hashes per second of the fake device."""
LIMIT = 4 * SPEED * LONG.dag_loops * 256


def suite(
    script: DeviceScript | None = None, limit: float | None = None, **reading: float
) -> dict[str, Any]:
    clock = Ticks()
    device = fake_device(script, clock=clock)
    bench = BenchDevice(device, LONG, 0, PROVER, clock)
    return run_suite(bench, PLAN, lambda: Reading(**reading), lambda _: None, limit)


@pytest.fixture(autouse=True)
def _fake_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_device, "search_source", search_source)


def test_every_height_and_all_together_have_their_hashrate() -> None:
    report = suite()
    assert list(report["heights"]) == ["1", "2", "7501"]
    for part in (*report["heights"].values(), report["all"]):
        assert part["hashrate"] == pytest.approx({"median": SPEED, "low": SPEED, "high": SPEED})
        assert part["sensors"] == {}
        assert not {"hashes_per_joule", "share_of_memory_limit"} & set(part)


def test_sensors_and_the_memory_limit_give_further_figures() -> None:
    everything = suite(limit=LIMIT, power=50.0, core_clock=1500.0)["all"]
    assert everything["sensors"] == {"power": 50, "core_clock": 1500}
    assert everything["hashes_per_joule"] == pytest.approx(SPEED / 50)
    assert everything["share_of_memory_limit"] == pytest.approx(1 / 4)


def test_a_wrong_kernel_is_not_measured() -> None:
    script = DeviceScript(wrong_kernels=1)
    with pytest.raises(WrongResult):
        suite(script)
    assert script.launched == []


def report_of(factor: float, **changes: object) -> dict[str, Any]:
    rate = {"median": 100 * factor, "low": 99 * factor, "high": 101 * factor}
    parts = {height: {"hashrate": rate} for height in ("1", "2")}
    device = {"model": "A card", "driver": "1"}
    return {"heights": parts, "all": {"hashrate": rate}, "device": device, **changes}


def test_reports_are_compared_height_by_height() -> None:
    compared = compare_suites(report_of(1), report_of(1.1))
    assert list(compared.ratios) == ["1", "2", "all"]
    ratio = compared.ratios["all"]
    assert ratio.median == pytest.approx(1.1)
    assert ratio.low == pytest.approx(1.1 * 99 / 101)
    assert ratio.high == pytest.approx(1.1 * 101 / 99)
    assert compared.differences == []


@pytest.mark.parametrize(("factor", "slower"), [(1.1, False), (0.99, False), (0.9, True)])
def test_slower_means_within_the_whole_interval(factor: float, slower: bool) -> None:
    assert compare_suites(report_of(1), report_of(factor)).is_slower is slower


def test_what_else_differs_is_named() -> None:
    other = report_of(1, shape="gpu-128", device={"model": "A card", "driver": "2"})
    del other["heights"]["2"]
    assert compare_suites(report_of(1, shape="gpu"), other).differences == [
        'the heights differ, so "all" is of different programs',
        "shape: gpu before, gpu-128 after",
        "driver: 1 before, 2 after",
    ]


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"hashrate": {"median": 1}}', '{"heights": {}, "all": {}}',
             '{"heights": {}, "all": {"hashrate": {"median": 0, "low": 0, "high": 0}}}',
             '{"heights": {}, "all": {"hashrate": {"median": 1, "low": 1, "high": Infinity}}}',
             '{"heights":{},"device":1,"all": {"hashrate": {"median": 1, "low": 1, "high":1}}}'],
)  # fmt: skip
def test_other_files_are_refused_in_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"report\.json: is not "):
        suite_in(path)
    with pytest.raises(ConfigError, match=r"report\.json: is not "):
        memory_limit_in(path)


def test_the_memory_limit_is_that_of_the_fastest_reads(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"rows": [{"warps": 8, "GB/s": 300}, {"warps": 16, "GB/s": 420}]}))
    assert memory_limit_in(path) == 420e9


def test_the_command_compares_and_reports_a_loss_by_its_exit_code(tmp_path: Path) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(json.dumps(report_of(1)))
    after.write_text(json.dumps(report_of(0.9)))
    ran = run("bench", "--compare", str(before), str(after))
    assert ran.code == 1
    assert "all  0.900 (0.882 to 0.918)" in ran.out
    assert ran.err.count("\n") == 1
    ran = run("bench", "--compare", str(after), str(before), "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["ratios"]["all"]["median"] == pytest.approx(1 / 0.9)
    assert run("bench", "--compare", str(before), str(tmp_path / "none.json")).code == 2

"""The command `tune`: on the CPU by OpenCL, and for a rig of several cards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from miner.devices import selection, tuned_shapes
from miner.devices.cuda import CUDA
from miner.devices.selection import ChosenDevices, ListedDevice, find_devices
from miner.devices.trial_results import TrialResults
from miner.devices.tuned_shapes import ChosenBy, TunedShape, TunedShapes
from miner.run import benchmark
from miner.telemetry import Reading
from miner.verify import chosen_variant
from tests.cli.running import run, toy_file
from tests.fakes.rig import ZERO


def test_the_measured_choice_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, missing = find_devices("opencl")
    cpu = next((one for one in found if one.info.kind == "cpu"), None)
    if cpu is None:
        pytest.skip("; ".join(missing) or "OpenCL shows no CPU")
    toy = str(toy_file(tmp_path))
    store, variant = TunedShapes(tmp_path / "shapes"), chosen_variant(toy)
    monkeypatch.setattr(tuned_shapes, "TunedShapes", lambda: store)
    options = ("--shapes", "cpu,gpu-subgroups/3", "--rounds", "6", "--seconds", "0.1", "--json")
    assert run("tune", "-a", toy, "-d", cpu.info.name, *options).code == 2, "an unknown shape"
    assert store.get(cpu.info, cpu.backend, variant) is None

    results, key = TrialResults(), ("shape", (*cpu.info.alike, variant.name), "cpu-1")
    results.keep("loading a kernel", *key, until_boot=False)
    options = ("--shapes", "cpu,cpu-1", "--by", "efficiency", *options[2:])
    sensors = SimpleNamespace(read=lambda: {cpu.info.name: Reading(power=65.0)}, close=lambda: None)
    monkeypatch.setattr(benchmark, "open_sensors", lambda *_: sensors)
    ran = run("tune", "-a", toy, "-d", cpu.info.name, *options)
    results.keep(None, *key)  # the tests share one cache
    assert ran.code == 0, ran.err
    (report,) = json.loads(ran.out)
    assert [row["shape"] for row in report["shapes"]] == ["cpu"]
    assert "ended the miner while loading a kernel" in report["left_out"]["cpu-1"]
    assert report["kept"] is True
    assert report["chosen"]["by"] == "efficiency"
    kept = TunedShape("cpu", "cpu", 1.0, 1.0, 1.0, ChosenBy.EFFICIENCY)
    assert store.get(cpu.info, cpu.backend, variant) == kept


RATE = {"median": 2e6, "low": 1.9e6, "high": 2.1e6}
RATIO = {"median": 1.1, "low": 1.05, "high": 1.2}


def test_one_card_of_each_model_is_measured_and_a_dry_run_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    twin, other = replace(ZERO, name="cuda:1"), replace(ZERO, name="cuda:2", model="RTX 4070")
    devices = [ListedDevice(info, CUDA) for info in (ZERO, twin, other)]
    chosen = ChosenDevices(devices, [], [], [], 3)
    monkeypatch.setattr(selection, "choose_devices", lambda *_, **__: chosen)
    stores = []

    def tuned(listed: ListedDevice, *arguments: object) -> dict[str, object]:
        stores.append(arguments[-1])
        row = {
            "shape": "gpu-128", "hashrate": RATE, "ratio": RATIO, "hashes_per_joule": 10_000,
            "efficiency_ratio": RATIO,
        }  # fmt: skip
        return {
            "shapes": [row], "chosen": {"shape": "gpu-128", "by": arguments[-3]},
            "kept": arguments[-1] is not None, "device": {"name": listed.info.name},
        }  # fmt: skip

    monkeypatch.setattr(benchmark, "tune_device", tuned)
    lines = run("tune", "-a", "kawpow", "--dry-run").out.splitlines()
    assert stores == [None, None]
    assert [line for line in lines if "fastest" in line] == [
        "cuda:0: gpu-128 is the fastest; not kept",
        "cuda:2: gpu-128 is the fastest; not kept",
    ]
    assert (
        lines[1]
        == "  gpu-128           2.00 MH/s  1.100 (1.050 to 1.200)  10 kH/W  1.100 (1.050 to 1.200)"
    )
    assert "`mine` uses it from now on" in run("tune", "-a", "kawpow").out
    assert None not in stores[2:]
    lines = run("tune", "-a", "kawpow", "--by", "efficiency").out.splitlines()
    assert lines[-1] == "cuda:2: gpu-128 is the most efficient; `mine` uses it from now on"
    assert run("tune", "-a", "kawpow", "--by", "power").code == 2

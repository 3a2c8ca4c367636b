"""The script for the first run on a card, where it works without one."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from miner.devices.selection import find_devices
from miner.work import Outcome
from tests.fakes.variants import KAWPOW
from tests.ledger.ledger_rig import LedgerRig

CHECKOUT = Path(__file__).parents[2]
SCRIPT = "benchmarks/first-run-on-a-gpu.sh"


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=CHECKOUT, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_the_script_is_valid_and_executable() -> None:
    done = run("bash", "-n", SCRIPT)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(CHECKOUT / SCRIPT, os.X_OK)


def test_it_lists_each_part() -> None:
    done = run("bash", SCRIPT, "--list")
    assert done.returncode == 0
    numbers = [int(line.split()[0]) for line in done.stdout.splitlines()]
    written = re.findall(r"^part_(\d+)\(\)", (CHECKOUT / SCRIPT).read_text(), re.MULTILINE)
    assert numbers == [int(number) for number in written] == list(range(1, 10))


@pytest.mark.parametrize("part", ["0", "10", "one", "-1"])
def test_an_unknown_part_is_refused(part: str) -> None:
    done = run("bash", SCRIPT, "1", part)
    assert done.returncode == 2
    assert f"unknown part '{part}'" in done.stderr


def test_a_python_without_the_miner_is_refused() -> None:
    done = run("bash", SCRIPT, "1", PYTHON="/bin/false")
    assert done.returncode == 2
    assert "'/bin/false' cannot import miner" in done.stderr


def test_a_part_that_fails_keeps_its_report(tmp_path: Path) -> None:
    done = run("bash", SCRIPT, "5", PYTHON=sys.executable, DEVICE="ref", RESULTS=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OpenCL does not list ref" in done.stdout
    code = "import sys; print('some words'); sys.exit(3)"
    out = tmp_path / "report.json"
    done = run(
        sys.executable, "benchmarks/gpu.py", "run", "--out", str(out), "--device", "ref",
        "--limit", "60", "--", sys.executable, "-c", code,
    )  # fmt: skip
    assert done.returncode == 3
    report = json.loads(out.read_text())
    assert (report["exit code"], report["output"]) == (3, ["some words"])
    assert report["device"]["name"] == "ref"


def test_the_first_failure_ends_a_part(tmp_path: Path) -> None:
    done = run("bash", SCRIPT, "4", PYTHON=sys.executable, DEVICE="no:1", RESULTS=str(tmp_path))
    assert done.returncode == 1
    assert "failed parts: 4" in done.stdout
    assert done.stdout.count("$ ") == 1, "the other heights are not measured"


def test_periods_are_searched_and_compared_with_the_reference() -> None:
    name = next((f.info.name for f in find_devices("opencl")[0]), None)
    if name is None:
        pytest.skip("no OpenCL device found")
    done = run(sys.executable, "benchmarks/gpu.py", "periods", name, "--count", "2")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["periods"] == 2


@pytest.mark.parametrize(
    ("outcomes", "accepted", "good"),
    [
        ([(7499, "accepted"), (7501, "accepted"), (7501, "stale")], [0, 1], True),
        ([(7499, "accepted"), (7499, "accepted")], [0], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "invalid")], [0, 1], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "low_difficulty")], [0, 1], False),
        ([(7499, "accepted"), (7501, "accepted"), (7501, "hardware")], [0, 1], False),
    ],
)
def test_a_run_is_good_when_each_epoch_has_accepted_shares_and_none_is_wrong(
    tmp_path: Path, outcomes: list[tuple[int, str]], accepted: list[int], good: bool
) -> None:
    rig = LedgerRig(tmp_path / "ledger.sqlite")
    for height, outcome in outcomes:
        job = rig.job(height=height, epoch=KAWPOW.epoch_at(height))
        if outcome == "hardware":
            rig.refuted(job=job)
        else:
            rig.finished(Outcome(outcome), job=job)
    rig.ledger.close()
    done = run(sys.executable, "benchmarks/gpu.py", "judge", str(rig.path), "--epochs", "2")
    assert done.returncode == (not good), done.stderr
    report = json.loads(done.stdout)
    assert (report["epochs with accepted shares"], report["good"]) == (accepted, good)
    assert sum(row["shares"] for row in report["shares"]) == len(outcomes)


def test_a_missing_ledger_is_an_error(tmp_path: Path) -> None:
    done = run(sys.executable, "benchmarks/gpu.py", "judge", str(tmp_path / "none.sqlite"))
    assert done.returncode == 1
    assert "none.sqlite" in done.stderr

"""The RaveOS package, with a substitute for RaveOS's module."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.harness.child import captured
from tests.packaging.conftest import (
    CHECKOUT,
    ON_THE_REFERENCE_DEVICE,
    Answers,
    free_port,
    lines_until,
)

RAVINOS = """
import json, os
def get_config():
    with open(os.environ["TASK"]) as file:
        return json.load(file)
get_stats = get_config
def run(line):
    if "STARTED" in os.environ:
        os.execv("/bin/sh", ["sh", "-c", "exec " + line])
    print(line)
def set_stats(stats):
    print(json.dumps(stats))
"""

TASK: dict[str, Any] = {
    "coins": [
        {
            "algo": "kawpow",
            "pools": [
                {"url": "a.example:1", "user": 'W"].rig', "password": "x", "pool_type": 1},
                {"url": "b.example:2", "user": "other", "password": "", "pool_type": 2},
                {"url": "stratum+tcp://c.example:3", "user": "w", "pool_type": 8},
                {"url": "d.example:4", "user": "w", "pool_type": 0x88},
            ],
        }
    ],
    "args": "--shares 3 --rig 'a b'",
    "api_port": 5001,
    "log_file": "/var/log/miner.log",
    "mpus": [{"id": 0, "pci": "01:00.0"}, {"id": 1, "pci": "0a:00.0"}],
    "user_config": "give_up = 600",
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """The package, unpacked without file modes, with this Python instead of its own."""
    root = tmp_path_factory.mktemp("rave")
    (archive,) = (built / "raveos").iterdir()
    with zipfile.ZipFile(archive) as packed:
        names = [n for n in packed.namelist() if not n.startswith("python/")]
        packed.extractall(root, names)
    python = root / "python/bin/progpow-miner"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    (root / "ravinos.py").write_text(RAVINOS, encoding="utf-8")
    return root


def script(root: Path, name: str, given: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    task = root / "task.json"
    task.write_text(json.dumps(given), encoding="utf-8")
    return captured(
        [sys.executable, root / "RAVINOS" / name],
        env={"PYTHONPATH": str(root), "TASK": str(task), "PATH": "/usr/bin:/bin"},
        cwd=root,
    )


@pytest.mark.parametrize("name", ["start.py", "stats.py"])
def test_the_scripts_run_on_an_old_python(name: str) -> None:
    source = (CHECKOUT / "packaging/raveos/RAVINOS" / name).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 5))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)]


def test_a_task_becomes_settings_and_a_command_line(unpacked: Path, tmp_path: Path) -> None:
    done = script(
        unpacked, "start.py", {**TASK, "miner_dir": str(unpacked), "work_dir": str(tmp_path)}
    )
    config = tmp_path / "progpow-miner.toml"
    assert done.stdout == (
        f"{unpacked}/progpow-miner mine --config {config} --shares 3 --rig 'a b'\n"
    )
    assert tomllib.loads(config.read_text(encoding="utf-8")) == {
        "variant": "kawpow",
        "give_up": 600,
        "api": {"listen": "127.0.0.1:5001", "panels": True},
        "log": {"console": "plain", "file": "/var/log/miner.log"},
        "devices": {"use": ["01:00.0", "0a:00.0"]},
        "pools": [
            {"url": "stratum+tcp://a.example:1", "user": 'W"].rig', "password": "x"},
            {"url": "stratum+tls://b.example:2", "user": "other"},
            {"url": "stratum+tcp://c.example:3", "user": "w"},
            {"url": "stratum+tls://d.example:4", "user": "w"},
        ],
    }
    assert (unpacked / "progpow-miner").stat().st_mode & 0o111


def test_two_coins_are_rejected(unpacked: Path) -> None:
    done = script(unpacked, "start.py", {**TASK, "coins": TASK["coins"] * 2})
    assert done.returncode == 2
    assert done.stdout == ""
    assert "one coin at a time" in done.stderr


def test_http_with_tls_becomes_https(unpacked: Path, tmp_path: Path) -> None:
    pools = [{"url": f"node.example:{kind}", "pool_type": kind} for kind in (4, 6, 12)]
    task = {**TASK, "coins": [{"algo": "kawpow", "pools": pools}], "miner_dir": str(unpacked)}
    assert script(unpacked, "start.py", {**task, "work_dir": str(tmp_path)}).returncode == 0
    found = tomllib.loads((tmp_path / "progpow-miner.toml").read_text(encoding="utf-8"))
    assert [pool["url"] for pool in found["pools"]] == [
        "http://node.example:4", "https://node.example:6", "https://node.example:12",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"args": "--rig 'a"}, "the task's arguments cannot be read: No closing quotation"),
        ({"api_port": "none"}, "RaveOS's task cannot be read: invalid literal"),
        ({"coins": ["RVN"]}, "RaveOS's task cannot be read: "),
        ({"mpus": [7]}, "RaveOS's task cannot be read: "),
    ],
)
def test_an_invalid_task_is_reported(
    unpacked: Path, tmp_path: Path, wrong: dict[str, Any], sentence: str
) -> None:
    task = {**TASK, "miner_dir": str(unpacked), "work_dir": str(tmp_path), **wrong}
    done = script(unpacked, "start.py", task)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"progpow-miner: {sentence}")
    assert len(done.stderr.splitlines()) == 1
    shown = json.loads(script(unpacked, "stats.py", ASKED).stdout)["errors"]
    assert [f"{error}\n" for error in shown] == [done.stderr], "the panel shows the reason"
    script(unpacked, "start.py", {**TASK, "miner_dir": str(unpacked), "work_dir": str(tmp_path)})
    (error,) = json.loads(script(unpacked, "stats.py", ASKED).stdout)["errors"]
    assert "does not answer" in error


ASKED: dict[str, Any] = {
    "api_port": 1,
    "mpu": [{"id": 0, "pci_id": 10, "temp": 60}, {"id": 1, "pci_id": 1}],
    "errors": [],
}


def test_statistics_per_device(unpacked: Path, miner: Answers) -> None:
    miner.give(
        "/mmpos",
        {
            "busid": [1, None, 10],
            "hash": [1.5, 9, 2],
            "units": "khs",
            "air": [3, 1, 2],
            "shares": {"accepted": [1, 0, 2], "invalid": [1, 0, 0], "rejected": [0, 0, 2]},
        },
    )
    done = script(unpacked, "stats.py", {**ASKED, "api_port": miner.port})
    found = json.loads(done.stdout)
    assert found["shares"] == {"accepted": 3, "invalid": 1, "rejected": 2}
    first, second = found["mpu"]
    assert (first["hash_rate1"], first["temp"]) == (2000.0, 60)
    assert first["shares"] == {"accepted": 2, "invalid": 0, "rejected": 2}
    assert (second["hash_rate1"], second["shares"]["accepted"]) == (1500.0, 1)
    assert found["errors"] == []


def test_a_bus_may_be_text_or_missing(unpacked: Path, miner: Answers) -> None:
    miner.give("/mmpos", {"busid": [None, 10], "hash": [9, 2], "units": "khs", "air": [0, 0, 0]})
    mpus = [{"id": 0, "pci_id": "10"}, {"id": 1}]
    found = json.loads(
        script(unpacked, "stats.py", {**ASKED, "mpu": mpus, "api_port": miner.port}).stdout
    )
    assert [mpu["hash_rate1"] for mpu in found["mpu"]] == [2000.0, 0.0]


def test_the_default_port(unpacked: Path) -> None:
    done = script(unpacked, "stats.py", {"mpu": []})
    assert "errors" in json.loads(done.stdout) or "shares" in json.loads(done.stdout)


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"busid": [1], "hash": [], "units": "khs"}'])
def test_no_answer_is_reported_in_the_statistics(
    unpacked: Path, miner: Answers, answer: bytes
) -> None:
    miner.by_path["/mmpos"] = answer
    done = script(unpacked, "stats.py", {**ASKED, "api_port": miner.port})
    found = json.loads(done.stdout)
    assert found["mpu"] == ASKED["mpu"]
    (error,) = found["errors"]
    assert error.startswith("progpow-miner does not answer: ")


def test_the_miner_starts_reports_and_stops_in_order(
    unpacked: Path, tmp_path: Path, pool_url: str
) -> None:
    """With the real miner on the reference device and the test pool."""
    port, log = free_port(), tmp_path / "miner.log"
    pools = [{"url": pool_url, "user": "an-account.rig", "password": "x"}]
    task = {
        "coins": [{"algo": "kawpow", "pools": pools}],
        "miner_dir": str(unpacked), "work_dir": str(tmp_path), "api_port": port,
        "log_file": str(log), "mpus": [], "user_config": ON_THE_REFERENCE_DEVICE,
    }  # fmt: skip
    given = tmp_path / "task.json"
    given.write_text(json.dumps(task), encoding="utf-8")
    miner = subprocess.Popen(
        [sys.executable, unpacked / "RAVINOS/start.py"],
        env={"PYTHONPATH": str(unpacked), "TASK": str(given), "STARTED": "1", "HOME": str(tmp_path),
             "PATH": "/usr/bin:/bin", "NUMBA_CACHE_DIR": os.environ["NUMBA_CACHE_DIR"]},
        cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        assert miner.stdout
        printed = lines_until(miner.stdout, "accepted 1")
        found = json.loads(script(unpacked, "stats.py", {"api_port": port, "mpu": []}).stdout)
        assert found["shares"]["accepted"] >= 1, printed
        assert "errors" not in found
        miner.send_signal(signal.SIGTERM)
        rest, _ = miner.communicate(timeout=60)
        assert miner.returncode == 0, rest
        assert "\x1b" not in printed + rest, "RaveOS records the output as text"
        assert "shares accepted" in log.read_text(encoding="utf-8")
    finally:
        miner.kill()
        miner.wait()

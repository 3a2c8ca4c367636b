"""The mmpOS package, used as its agent does."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from tests.harness.child import captured
from tests.packaging.conftest import CHECKOUT, Answers, free_port, lines_until

AIR = {
    "busid": [10, "cpu"],
    "hash": [1.5, 0.5],
    "units": "khs",
    "air": [3, 0, 1],
    "miner_name": "progpow-miner",
    "miner_version": "1",
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory, built: Path) -> Path:
    """The package as mmpOS unpacks it, with this Python in place of its own, and in place of the
    miner a script that prints its arguments."""
    root = tmp_path_factory.mktemp("mmp")
    (archive,) = (built / "mmpos").iterdir()
    with tarfile.open(archive) as packed:
        members = [m for m in packed.getmembers() if "/python" not in m.name]
        packed.extractall(root, members, filter="tar")
    package = (root / "progpow-miner").rename(root / "custom-1a2b3")
    python = package / "python/bin/progpow-miner"
    python.parent.mkdir(parents=True)
    # A script, not a link: a virtual environment's Python finds its packages by its own path.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    (package / "progpow-miner").write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n", encoding="utf-8")
    return package


def run(package: Path, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return captured([package / script, *arguments], cwd="/")


def test_arguments_become_settings_and_others_are_passed_on(unpacked: Path) -> None:
    done = run(
        unpacked, "mmp-launch.sh", "--coin", "RVN", "--pool", "stratum+tcp://a.example:1", "--user",
        'W"."rig', "--password", "s e\"c'r\\et", "--api-port", "5001", "-d", "opencl:0.0", "a b\nc",
    )  # fmt: skip
    config = unpacked / "config.toml"
    assert done.stdout.split("\n", 5) == [
        "mine", "--config", str(config), "-d", "opencl:0.0", "a b\nc\n",
    ]  # fmt: skip
    found = tomllib.loads(config.read_text(encoding="utf-8"))
    assert found == {
        "coin": "RVN",
        "api": {"listen": "127.0.0.1:5001", "panels": True},
        "log": {"console": "plain"},
        "pools": [
            {"url": "stratum+tcp://a.example:1", "user": 'W"."rig', "password": "s e\"c'r\\et"}
        ],
    }
    assert config.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("flag", ["--coin", "--algo"])
def test_a_name_that_is_not_a_coin_is_a_variant(unpacked: Path, flag: str) -> None:
    done = run(unpacked, "mmp-launch.sh", flag, "kawpow", "--pool", "a:1", "--api-port", "0")
    assert done.returncode == 0, done.stderr
    found = tomllib.loads((unpacked / "config.toml").read_text(encoding="utf-8"))
    assert found["variant"] == "kawpow"
    assert found["api"]["listen"] == "127.0.0.1:4067"


def test_a_missing_pool_is_reported(unpacked: Path) -> None:
    done = run(unpacked, "mmp-launch.sh", "--coin", "RVN")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("progpow-miner: no pool is named")


@pytest.mark.parametrize(
    "words",
    [("--password", "-xy"), ("--password=-xy",), ("--password", "a", "--password=-xy")],
)
def test_a_password_may_begin_with_a_dash(unpacked: Path, words: tuple[str, ...]) -> None:
    done = run(unpacked, "mmp-launch.sh", "--coin", "RVN", "--pool", "a:1", *words, "--", "-d")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[3:] == ["--", "-d"]
    found = tomllib.loads((unpacked / "config.toml").read_text(encoding="utf-8"))
    assert found["pools"] == [{"url": "a:1", "password": "-xy"}]


def test_a_flag_without_a_value_is_reported(unpacked: Path) -> None:
    done = run(unpacked, "mmp-launch.sh", "--coin", "RVN", "--pool", "a:1", "--user")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "progpow-miner: --user: its value is missing\n"


def test_the_agent_gets_the_statistics(unpacked: Path, miner: Answers) -> None:
    run(unpacked, "mmp-launch.sh", "--coin", "RVN", "--pool", "a:1", "--api-port", str(miner.port))
    miner.give("/mmpos", AIR)
    done = run(unpacked, "mmp-stats.sh", "2", "/var/log/mmp/miner.log")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == AIR


def test_no_devices_when_the_miner_is_down(unpacked: Path, miner: Answers) -> None:
    from miner import __version__

    run(unpacked, "mmp-launch.sh", "--coin", "RVN", "--pool", "a:1", "--api-port", str(miner.port))
    done = run(unpacked, "mmp-stats.sh", "2", "/var/log/mmp/miner.log")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["busid"], found["hash"], found["air"]) == ([], [], [0, 0, 0])
    assert (found["miner_name"], found["miner_version"]) == ("progpow-miner", __version__)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_the_miner_starts_reports_and_stops_in_order(
    unpacked: Path, tmp_path: Path, pool_url: str, stop: signal.Signals
) -> None:
    """With the real miner on the reference device and the test pool."""
    package = shutil.copytree(unpacked, tmp_path / "progpow-miner")
    shutil.copy(CHECKOUT / "packaging/farm/progpow-miner", package)
    miner = subprocess.Popen(
        [package / "mmp-launch.sh", "--coin", "RVN", "--pool", pool_url, "--user", "an-account.rig",
         "--password", "x", "--api-port", str(free_port()), "--backend", "ref", "-d", "ref"],
        cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        assert miner.stdout
        printed = lines_until(miner.stdout, "accepted 1")
        found = json.loads(run(package, "mmp-stats.sh", "1", "/var/log/mmp/miner.log").stdout)
        assert (found["busid"], found["miner_name"]) == (["cpu"], "progpow-miner"), printed
        assert found["hash"][0] > 0
        assert found["air"][0] >= 1
        miner.send_signal(stop)
        rest, _ = miner.communicate(timeout=60)
        assert miner.returncode == 0, rest
        assert "shares accepted" in rest
        assert "\x1b" not in printed + rest, "mmpOS records the output as text"
    finally:
        miner.kill()
        miner.wait()

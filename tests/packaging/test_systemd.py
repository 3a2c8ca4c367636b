"""The systemd unit."""

from __future__ import annotations

import re
import shutil
from collections import defaultdict
from pathlib import Path

import pytest

from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
UNIT = CHECKOUT / "packaging/systemd/progpow-miner.service"
ANALYZE = shutil.which("systemd-analyze")


def keys(text: str) -> dict[str, list[str]]:
    """Return all values of each key, in order."""
    found = defaultdict(list)
    for line in text.splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            found[key].append(value)
    return dict(found)


KEYS = keys(UNIT.read_text(encoding="utf-8"))


def test_start_and_stop() -> None:
    (start,) = KEYS["ExecStart"]
    assert start.endswith("/bin/progpow-miner mine --config ${CONFIGURATION_DIRECTORY}/config.toml")
    assert KEYS["ExecReload"] == ["kill -HUP $MAINPID"]
    assert KEYS["KillSignal"] == ["SIGTERM"]
    assert KEYS["KillMode"] == ["mixed"], "only the miner gets the signal, not its children"


def test_restart_depends_on_the_exit_code() -> None:
    assert KEYS["Restart"] == ["on-failure"]
    codes = [int(code) for code in KEYS["RestartPreventExitStatus"][0].split()]
    told = (CHECKOUT / "docs/exit-codes.md").read_text(encoding="utf-8")
    assert codes == [2], "a pool may refuse for a while, and --give-up ends with 4 in an outage"
    for code in codes:
        assert re.search(rf"^\| {code} \|", told, re.MULTILINE)
    assert KEYS["SuccessExitStatus"] == ["130"]
    assert KEYS["StartLimitIntervalSec"] == ["0"], "a driver may load many minutes late"


def test_only_its_own_folders_are_writable() -> None:
    assert KEYS["DynamicUser"] == ["yes"]
    assert KEYS["ProtectSystem"] == ["strict"]
    assert KEYS["CacheDirectory"] == KEYS["StateDirectory"] == ["progpow-miner"]
    environment = dict(value.split("=", 1) for value in KEYS["Environment"])
    assert environment["PROGPOW_MINER_CACHE"] == "%C/progpow-miner"
    assert environment["PROGPOW_MINER_STATE"] == "%S/progpow-miner"


def test_gpus_stay_accessible() -> None:
    assert KEYS["SupplementaryGroups"] == ["video render"]
    assert not {"PrivateDevices", "DevicePolicy", "MemoryDenyWriteExecute"} & set(KEYS)


def test_root_creates_the_nvidia_device_nodes() -> None:
    """The driver would use a setuid program, which NoNewPrivileges prevents. "+" means as root, "-"
    ignores failures."""
    assert KEYS["NoNewPrivileges"] == ["yes"]
    module, cards = KEYS["ExecStartPre"]
    assert module.split() == ["+-/usr/bin/nvidia-modprobe", "-u", "-c=0"]
    assert cards.split() == ["+-/usr/bin/nvidia-smi", "-L"]


@pytest.mark.skipif(ANALYZE is None, reason="systemd-analyze is not installed here")
def test_systemd_analyze(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/progpow-miner/bin/progpow-miner", "/bin/true"))
    assert ANALYZE is not None
    done = captured([ANALYZE, "verify", unit])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # In tenths: 0 is fully isolated, 100 is unrestricted.
    asked = [ANALYZE, "security", "--offline=yes", "--threshold=40", unit]
    done = captured(asked)
    assert done.returncode == 0, done.stdout

"""A farm system's configuration becomes settings; no text of it can inject anything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.harness.child import captured

CHECKOUT = Path(__file__).parents[2]
FARM = CHECKOUT / "packaging/farm"
SHEET = {
    "CUSTOM_ALGO": "kawpow",
    "CUSTOM_URL": "stratum+tcp://a.example:3333",
    "CUSTOM_TEMPLATE": "wallet.rig1",
    "CUSTOM_PASS": "",
}


def run_hive_config(tmp_path: Path, **sheet: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    path = tmp_path / "config.toml"
    environment = {**SHEET, **sheet, "CUSTOM_CONFIG_FILENAME": str(path)}
    done = captured([sys.executable, "-I", "-X", "utf8", FARM, "hive-config"], env=environment)
    return done, path


def settings(tmp_path: Path, **sheet: str) -> dict[str, Any]:
    done, path = run_hive_config(tmp_path, **sheet)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def test_a_plain_sheet(tmp_path: Path) -> None:
    assert settings(tmp_path, CUSTOM_LOG_BASENAME="/var/log/m", WORKER_NAME="rig1") == {
        "variant": "kawpow",
        "rig": "rig1",
        "api": {"listen": "127.0.0.1:4067", "panels": True},
        "log": {"console": "plain", "file": "/var/log/m/miner.log"},
        "pools": [{"url": "stratum+tcp://a.example:3333", "user": "wallet.rig1"}],
    }


@pytest.mark.parametrize(
    "text",
    [
        "quote\" and '",
        '"\n[api]\nlisten = "0.0.0.0:1"\n#',
        "back\\slash \\u0041 \\",
        "$(id) `id` ${HOME} ; | & > * ? [a]",
        "\x01\x1f\x7f\x80\u2028\ufeff",
        "three \"\"\" and '''",
        "äöü 漢字 🚀",
        "# no comment",
        "%WAL%.%WORKER_NAME%",
    ],
)
def test_wallet_and_password_are_kept_literally(tmp_path: Path, text: str) -> None:
    found = settings(tmp_path, CUSTOM_TEMPLATE=text, CUSTOM_PASS=text)
    (pool,) = found["pools"]
    assert (pool["user"], pool["password"]) == (text.strip(), text.strip())
    assert found["api"]["listen"] == "127.0.0.1:4067"


def test_text_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    done, path = run_hive_config(tmp_path, CUSTOM_TEMPLATE=os.fsdecode(b"\xff"))
    assert done.returncode == 2
    assert done.stderr == ("progpow-miner: the farm's settings are not UTF-8 text\n")
    assert not path.exists()


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_extra_settings_of_windows_editors_are_read(tmp_path: Path, end: str) -> None:
    found = settings(tmp_path, CUSTOM_USER_CONFIG=f"\ufeffgive_up = 9{end}shares = 8{end}")
    assert (found["give_up"], found["shares"]) == (9, 8)


def test_several_pools_keep_their_order(tmp_path: Path) -> None:
    found = settings(tmp_path, CUSTOM_URL="a:1\n  b:2\tc:3, d:4 ", CUSTOM_PASS="p")
    assert [p["url"] for p in found["pools"]] == ["a:1", "b:2", "c:3", "d:4"]
    assert {(p["user"], p["password"]) for p in found["pools"]} == {("wallet.rig1", "p")}


def test_extra_settings_override_and_add(tmp_path: Path) -> None:
    own = """
        coin = "RVN"
        give_up = 600.5
        [api]
        listen = "127.0.0.1:5000"
        [devices]
        use = ["01:00.0"]
        [[devices.tune]]
        match = "*3070*"
        launch_seconds = 0.2
        [pool]
        tls_insecure = true
        [[pools]]
        url = "http://127.0.0.1:8766"
        "odd key" = {a = 1, b = [true, "x"]}
    """
    found = settings(tmp_path, CUSTOM_USER_CONFIG=own)
    assert "variant" not in found
    assert (found["coin"], found["give_up"]) == ("RVN", 600.5)
    assert found["api"] == {"listen": "127.0.0.1:5000", "panels": True}
    assert found["devices"] == {
        "use": ["01:00.0"],
        "tune": [{"match": "*3070*", "launch_seconds": 0.2}],
    }
    first, second = found["pools"]
    assert first["tls_insecure"] is True
    assert second == {"url": "http://127.0.0.1:8766", "odd key": {"a": 1, "b": [True, "x"]}}


@pytest.mark.parametrize(
    ("sheet", "sentence"),
    [
        ({"CUSTOM_ALGO": ""}, "no algorithm is chosen"),
        ({"CUSTOM_URL": " \n "}, "no pool is named"),
        ({"CUSTOM_USER_CONFIG": "-d 0,1"}, "are lines of a settings file, not flags"),
        ({"CUSTOM_USER_CONFIG": "use = "}, "are not valid TOML"),
        ({"CUSTOM_USER_CONFIG": "pool = 1"}, "[pool] is one table"),
        (
            {"CUSTOM_USER_CONFIG": f"a = {'1' * 5000}"},
            "extra settings: a number has too many digits",
        ),
        (
            {"CUSTOM_USER_CONFIG": f"{'a.' * 3000}a = 1"},
            "extra settings: lists or tables are nested",
        ),
        (
            {"CUSTOM_USER_CONFIG": "\na = \u201cx\u201d"},
            "line 2: are not valid TOML: write straight qu",
        ),
        (
            {"CUSTOM_USER_CONFIG": "a\u00a0= 1"},
            "it contains the invisible character U+00A0; type the",
        ),
        (
            {"CUSTOM_TEMPLATE": '"w.rig"'},
            "the user of the pool is in quotes, which would become part",
        ),
        (
            {"CUSTOM_URL": "'h:1'"},
            "the url of the pool is in quotes, which would become part of the",
        ),
        (
            {"CUSTOM_PASS": "\u201cx\u201d"},
            "the password of the pool is in quotes, which would become",
        ),
    ],
)
def test_an_invalid_sheet_leaves_no_settings(
    tmp_path: Path, sheet: dict[str, str], sentence: str
) -> None:
    (tmp_path / "config.toml").write_text("of the last sheet", encoding="utf-8")
    done, path = run_hive_config(tmp_path, **sheet)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not path.exists(), "the last sheet's wallet would be mined for"


def test_settings_that_cannot_be_written_are_reported_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "config.toml").mkdir()
    done, path = run_hive_config(tmp_path)
    assert done.returncode == 2
    assert done.stderr == f"progpow-miner: {path}: Is a directory\n"


def test_only_the_owner_can_read_the_settings(tmp_path: Path) -> None:
    _, path = run_hive_config(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_written_settings_are_valid(tmp_path: Path) -> None:
    from miner.settings.loading import load

    done, path = run_hive_config(
        tmp_path,
        CUSTOM_URL="stratum+tcp://a.example:1 stratum+ssl://b.example:2",
        CUSTOM_LOG_BASENAME="/var/log/m",
        WORKER_NAME="rig1",
        CUSTOM_USER_CONFIG='[devices]\nbackend = "ref"',
    )
    assert done.returncode == 0
    loaded = load(path, {}).settings
    assert loaded.api.panels
    assert [p.url for p in loaded.pools] == [
        "stratum+tcp://a.example:1",
        "stratum+ssl://b.example:2",
    ]


@pytest.mark.parametrize("text", ["[api]\nlisten = 5", "api = 5", f"a = {'[' * 9000}", "a", "\0"])
def test_the_default_address_is_asked_where_the_settings_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.syspath_prepend(FARM)
    import sheet

    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    os.mkfifo(tmp_path / "fifo")
    for name in ("config.toml", "fifo", "none"):
        assert sheet.listen_of(tmp_path / name) == sheet.DEFAULT_LISTEN


def test_a_deeply_nested_task_is_refused_in_one_sentence(tmp_path: Path) -> None:
    done = captured(
        [sys.executable, "-I", "-X", "utf8", FARM, "raveos-config", tmp_path / "config.toml"],
        input="[" * 100_000,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("progpow-miner: RaveOS's task cannot be read: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("listen", "host"),
    [
        ("0.0.0.0:1", "127.0.0.1"),
        ("[::]:1", "::1"),
        ("[fe80::1]:1", "fe80::1"),
        ("10.0.0.5:1", "10.0.0.5"),
    ],
)
def test_requests_go_to_the_listen_address(
    monkeypatch: pytest.MonkeyPatch, listen: str, host: str
) -> None:
    monkeypatch.syspath_prepend(FARM)
    import endpoint

    asked: list[str] = []

    def refuse(host: str, port: int, timeout: float) -> NoReturn:
        asked.append(host)
        raise OSError("refused")

    monkeypatch.setattr(socket, "create_connection", lambda address, *a: refuse(*address, 1.0))
    assert endpoint.answer(listen, "/hiveos") is None
    assert asked == [host]

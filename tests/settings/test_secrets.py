"""Secrets are read from keys or files and never shown."""

from __future__ import annotations

import os
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.devices import registry
from miner.errors import ConfigError
from miner.safe_text import HIDDEN, shortened_user, without_login
from miner.settings.loading import load
from miner.settings.model import ApiSettings
from miner.settings.secrets import api_token, secret_file_warnings
from tests.cli.running import run

CANARY = "Canary7hatMustNotSing"
FILE = f"""\
variant = "kawpow"

[[pools]]
url = "stratum+tcp://127.0.0.1:9"
user = "{CANARY}Wallet.rig1"
password = "{CANARY}"
proxy = "socks5://me:{CANARY}@127.0.0.1:9"

[[pools]]
url = "stratum+tcp://{CANARY}Other:{CANARY}@127.0.0.1:9/{CANARY}"

[[pools]]
url = "http://me:{CANARY}@127.0.0.1:9/{CANARY}"

[api]
token = "{CANARY}"
listen = "127.0.0.1:4067"

[log]
level = "info"
"""


def commands(path: Path) -> list[list[str | Path]]:
    return [["check", path], ["show", path], ["show", "--json", "-c", path]]


def check_and_show_output(path: Path) -> str:
    output_text = ""
    for arguments in commands(path):
        ran = run("config", *arguments)
        assert "Traceback" not in ran.err
        output_text += ran.out + ran.err
    return output_text


def test_no_secret_in_the_output_for_a_valid_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(FILE)
    output_text = check_and_show_output(path)
    assert f"{path}: ok: kawpow, 3 pools, first stratum+tcp://127.0.0.1:9" in output_text
    assert 'user = "Canar…llet.rig1"' in output_text
    assert f'token = "{HIDDEN}"' in output_text
    assert 'proxy = "socks5://127.0.0.1:9"' in output_text
    assert 'url = "http://127.0.0.1:9"' in output_text
    assert CANARY not in output_text


@st.composite
def broken_files(draw: st.DrawFn) -> str:
    """The file with a part removed and another text inserted, anywhere."""
    at = draw(st.integers(0, len(FILE)))
    until = min(len(FILE), at + draw(st.integers(0, 12)))
    signs = st.sampled_from([*"\"'=[]{}#\n.,/@: x5-", "\n[[pools]]\n", "true", "\x00", '"""'])
    return FILE[:at] + draw(signs) + FILE[until:]


@given(broken_files())
@settings(max_examples=150)
def test_no_secret_in_the_output_for_any_invalid_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "rig.toml"
    path.write_text(text)
    assert CANARY not in check_and_show_output(path)


@pytest.mark.parametrize(
    "name",
    ["POOL_PASSWORD", "POOL_2_PASSWORD", "API_TOKEN", "POOL_USER", "POOL_PROXY", "POOL_2_URL"],
)
@pytest.mark.parametrize("other", ["PROGPOW_MINER_SHARES", "PROGPOW_MINER_NOPE", "PROGPOW_OTHER"])
def test_no_secret_of_the_environment_in_the_output(tmp_path: Path, name: str, other: str) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(FILE.replace(CANARY, "short"))
    with patch.dict(os.environ, {f"PROGPOW_MINER_{name}": f"{CANARY}Wallet", other: "x"}):
        output_text = check_and_show_output(path)
    assert "PROGPOW_MINER_" in output_text
    assert CANARY not in output_text


def test_no_secret_in_the_output_of_mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "BACKENDS", {"ref": registry.BACKENDS["ref"]})
    path = tmp_path / "rig.toml"
    for old, new in (("level", "levl"), ("127.0.0.1:9", "h"), ("socks5", "x"), ("kawpow", "nope")):
        path.write_text(FILE.replace(old, new))
        ran = run("mine", "-c", path)
        assert ran.code == 2
        assert CANARY not in ran.out + ran.err


def test_the_token_is_read_from_its_file_or_key(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-the-file\nnot this\n")
    assert api_token(ApiSettings()) is None
    assert api_token(ApiSettings.model_validate({"token": " t "})) == "t"
    assert api_token(ApiSettings(token_file=tmp_path / "token")) == "from-the-file"
    (tmp_path / "token").write_text("\N{ZERO WIDTH NO-BREAK SPACE}marked\n", encoding="utf-8")
    assert api_token(ApiSettings(token_file=tmp_path / "token")) == "marked"
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match=r"^token file .*/token: its first line is empty$"):
        api_token(ApiSettings(token_file=tmp_path / "token"))


def test_a_token_file_is_checked_like_a_token(tmp_path: Path) -> None:
    path = tmp_path / "token"
    at_home = ApiSettings(token_file=path)
    path.write_text("two words")
    with pytest.raises(ConfigError, match=r"^token file .*/token: the token must be printable"):
        api_token(at_home)
    path.write_text("fifteenletters!")
    assert api_token(at_home) == "fifteenletters!"
    reached = ApiSettings(token_file=path, ethminer="0.0.0.0:1")
    with pytest.raises(ConfigError, match=r"^token file .*/token: the token has 15 characters, "):
        api_token(reached)
    path.write_text("sixteen letters!".replace(" ", "_"))
    assert api_token(reached) == "sixteen_letters!"


def test_a_world_readable_secret_file_is_reported_once(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    pool = f'[[pools]]\nurl = "h:1"\nuser = "w"\npassword_file = "{secret}"\n'
    path = tmp_path / "rig.toml"
    path.write_text(f'variant = "v"\n{pool}{pool}[api]\ntoken_file = "/nonexistent/token"\n')
    secret.chmod(0o644)
    (note,) = secret_file_warnings(load(path).settings)
    assert note == f"password file {secret}: every user of this machine can read it; chmod 600 it"
    secret.chmod(0o640)
    assert secret_file_warnings(load(path).settings) == []


def test_the_bits_of_a_secret_file_mean_nothing_on_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    path = tmp_path / "rig.toml"
    pool = f'[[pools]]\nurl = "h:1"\nuser = "w"\npassword_file = "{secret}"\n'
    path.write_text(f'variant = "v"\n{pool}')
    settings = load(path).settings
    monkeypatch.setattr("sys.platform", "win32")
    assert secret_file_warnings(settings) == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("stratum+tcp://h:1", "stratum+tcp://h:1"),
        ("h.example:1", "h.example:1"),
        ("zano://w:p@[::1]:1/path", "zano://[::1]:1"),
        ("socks5://u:p@tor:9050/", "socks5://tor:9050"),
        ("w:1/p@h:1", HIDDEN),
        ("stratum://secret://h", HIDDEN),
        ("a secret", HIDDEN),
        ("x y://h:1", HIDDEN),
    ],
)
def test_of_an_address_only_host_and_port_are_shown(url: str, shown: str) -> None:
    assert without_login(url) == shown


@pytest.mark.parametrize(
    ("user", "shown"),
    [
        ("RVNwallet123456789abc", "RVNwa…9abc"),
        ("RVNwallet123456789abc.rig1", "RVNwa…9abc.rig1"),
        ("account.rig1", "account.rig1"),
        ("me@mail.example", "me@mail.example"),
    ],
)
def test_a_wallet_is_cut_down(user: str, shown: str) -> None:
    assert shortened_user(user) == shown

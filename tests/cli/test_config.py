"""The command `config`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from miner.settings.field_types import PLACEHOLDER
from miner.settings.settings_page import json_schema, new_file, reference_page
from tests.cli.running import run, settings_file

FILE = 'variant = "kawpow"\n\n[[pools]]\nurl = "127.0.0.1:9"\nuser = "w"\n'


def test_init_writes_a_file_but_does_not_overwrite_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("config", "init")
    path = tmp_path / "progpow-miner.toml"
    assert (ran.code, path.read_text(encoding="utf-8")) == (0, new_file())
    path.write_text("mine")
    ran = run("config", "init")
    assert (ran.code, path.read_text()) == (2, "mine")
    assert ran.err == ("progpow-miner: progpow-miner.toml: exists already; --force overwrites it\n")
    assert run("config", "init", "--force").code == 0
    assert path.read_text(encoding="utf-8") == new_file()
    assert run("config", "init", tmp_path / "none" / "x").code == 2


@pytest.mark.parametrize("force", [(), ("--force",)])
@pytest.mark.parametrize("file", ["", " ", "."])
def test_init_needs_a_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, force: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("config", "init", file, *force)
    assert (ran.code, ran.out) == (2, "")
    sentence = f"{file!r} is not a file name; name one, such as progpow-miner.toml"
    assert ran.err == f"progpow-miner: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_init_prints_the_file() -> None:
    assert run("config", "init", "-").out == new_file()


def test_check_accepts_a_new_file_once_the_wallet_is_set(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    assert run("config", "init", path).code == 0
    ran = run("config", "check", path)
    assert (ran.code, ran.out) == (2, "")
    assert f"pools[1].user: is still the placeholder {PLACEHOLDER}" in ran.err
    path.write_text(path.read_text(encoding="utf-8").replace(PLACEHOLDER, "RWallet.rig1"))
    ran = run("config", "check", path)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines() == [
        "note: pools[1] has an example address; replace it with your pool's",
        (f"{path}: ok: RVN, pool stratum+tcp://pool.example:3333, every usable GPU, API on "
        "127.0.0.1:4067"),
    ]  # fmt: skip


def test_check_reports_each_mistake_on_its_own_line(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "shares = 0\n" + FILE + "[log]\nlevel = 'x'\n[ledgr]\n")
    ran = run("config", "check", "-c", path)
    assert (ran.code, ran.out) == (2, "")
    places = [line.removeprefix(f"{path}: ").split(":")[0] for line in ran.err.splitlines()]
    assert places == ["line 9", "line 1", "line 8"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("shares = 0\n" + FILE + "proxy = 'tor:9050'\n[api]\ntoken_file = '/no'\n", [1, 7, 9]),
        ("shares = 0\n" + FILE.replace("kawpow", "kawpwo") + "[log]\nfile = '/'\n", [1, 2, 8]),
        (FILE.replace('"w"', "5").replace("kawpow", "kawpwo") + "[log]\nfile = '/'\n", [5, 1, 7]),
        (FILE.replace('"kawpow"', "5") + "proxy = 'tor:9050'\n", [1, 6]),
        (FILE + "[devices]\ntemperature_stop = 'x'\ntemperature_start = 70\n", [7]),
    ],
)
def test_check_reports_mistakes_of_form_and_of_meaning_together(
    tmp_path: Path, text: str, lines: list[int]
) -> None:
    path = settings_file(tmp_path, text)
    ran = run("config", "check", path)
    assert ran.code == 2
    assert [line.split(":")[1] for line in ran.err.splitlines()] == [f" line {n}" for n in lines]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"kawpow"', '"kawpwo"', "line 1: variant: variant 'kawpwo' is not known (did you mean"),
        ('variant = "kawpow"', 'coin = "RVNN"', "line 1: coin: coin 'RVNN' is not known"),
        ('"kawpow"', '"none.toml"', "line 1: variant: none.toml: cannot be read"),
        ('"127.0.0.1:9"', '"h"', "line 4: pools[1].url: pool 'h' has no port; write host:port"),
        ('"127.0.0.1:9"', '"strtum://h:1"', "line 4: pools[1].url: unknown scheme strtum://"),
        ('"w"', '"w"\nprotocol = "kawpw"', "line 6: pools[1].protocol: protocol 'kawpw' is not k"),
        (
            '"w"',
            '"w"\nprotocol = "node"',
            "line 4: pools[1].url: protocol 'node' does not run over",
        ),
        (
            '"w"',
            '"w"\nproxy = "tor:9050"',
            "line 6: pools[1].proxy: a proxy is written as socks5:",
        ),
        ('"w"', '"w"\ntls_fingerprint = "ab"', "line 6: pools[1].tls_fingerprint: a TLS fingerp"),
        ('"w"', '"w"\npassword_file = "/no"', "line 6: pools[1].password_file: password file /no"),
        ('"w"', '"w"\ntls_ca_file = "/no.pem"', "line 6: pools[1].tls_ca_file: CA file /no.pem: "),
        ('"w"', '"w"\n[log]\nfile = "~nobody-here/l"', "line 7: log.file: file ~nobody-here/l: "),
        ('"w"', '"w"\n[log]\nfile = "/"', "line 7: log.file: /: is a folder; name a file in it"),
        ('"w"', '"w"\n[ledger]\nfile = "/"', "line 7: ledger.file: /: is a folder; name a file in"),
        ('"w"', '"w"\n[api]\naddress_file = "/"', "line 7: api.address_file: /: is a folder; name"),
        (
            '"w"',
            '"w"\ncookie_file = "~nobody-here/c"',
            "line 6: pools[1].cookie_file: cookie file ",
        ),
        ('"w"', '"w"\n[api]\ntoken_file = "/no"', "line 7: api.token_file: token file /no: cannot"),
    ],
)
def test_check_finds_mistakes_beyond_the_model(
    tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    path = settings_file(tmp_path, FILE.replace(old, new))
    ran = run("config", "check", path)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"{path}: {sentence}")


def test_check_rejects_a_node_for_a_coin_without_node_support(tmp_path: Path) -> None:
    text = FILE.replace('variant = "kawpow"', 'coin = "zano"')
    path = settings_file(tmp_path, text.replace("127", "http://127"))
    assert "line 4: pools[1].url: " in run("config", "check", path).err


def test_check_includes_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(tmp_path, FILE)
    monkeypatch.setenv("PROGPOW_MINER_LOG_LEVL", "debug")
    ran = run("config", "check", path)
    assert (ran.code, ran.err) == (
        2,
        (
            "environment PROGPOW_MINER_LOG_LEVL: unknown setting (did you mean "
            "PROGPOW_MINER_LOG_LEVEL?)\n"
        ),
    )


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("config", "check").code == 2
    path = settings_file(tmp_path, FILE + "[devices]\nuse = ['0', '*3070*']\n[api]\nlisten = ''\n")
    monkeypatch.setenv("PROGPOW_MINER_CONFIG", str(path))
    assert run("config", "check").out == (
        f"{path}: ok: kawpow, pool 127.0.0.1:9, devices 0, *3070*, no API\n"
    )
    assert "# environment PROGPOW_MINER_CONFIG is set" in run("config", "show").out
    assert run("config", "check", path, "-c", path).code == 2


def test_check_notes_a_world_readable_secret_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    path = settings_file(tmp_path, FILE + f'password_file = "{secret}"\n')
    ran = run("config", "check", path)
    assert ran.code == 0
    assert f"note: password file {secret}: every user of this machine can read it" in ran.out


def test_check_notes_a_world_readable_settings_file_with_a_secret(tmp_path: Path) -> None:
    for line, words in (("password = 'hunter2'", "a password"), ("[api]\ntoken = 't'", "a token")):
        path = settings_file(tmp_path, FILE + line)
        path.chmod(0o644)
        assert f"note: {path}: it holds {words} and every user" in run("config", "check", path).out
        path.chmod(0o600)
        assert "note: " not in run("config", "check", path).out
    path = settings_file(tmp_path, FILE + "password = 'x'")
    path.chmod(0o644)
    assert "note: " not in run("config", "check", path).out


def test_show_prints_toml_with_origins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings_file(tmp_path, FILE + "[[devices.tune]]\nmatch = '*'\n")
    monkeypatch.setenv("PROGPOW_MINER_RIG", "rig-7")
    monkeypatch.setenv("PROGPOW_MINER_POOL_PASSWORD", "hunter2")
    ran = run("config", "show", "-c", path)
    assert ran.code == 0
    shown = tomllib.loads(ran.out)
    assert shown["rig"] == "rig-7"
    assert shown["devices"]["tune"] == [{"match": "*"}]
    rows = {line.partition(" = ")[0]: line.partition("  # ")[2] for line in ran.out.splitlines()}
    assert rows["variant"] == f"file {path} line 1"
    assert rows["match"] == f"file {path} line 7"
    assert rows["rig"] == "environment PROGPOW_MINER_RIG"
    assert rows["console"] == "default"
    assert ran.out.endswith("PASSWORD is set: password of pools for which none is set\n")
    assert "hunter2" not in ran.out


def test_show_prints_json(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE)
    shown = json.loads(run("config", "show", path, "--json").out)
    assert shown["settings"]["pools"][0]["password"] == "(hidden)"
    assert shown["settings"]["log"]["keep"] == 5
    assert shown["sources"] == {
        "variant": f"file {path} line 1",
        "pools[1].url": f"file {path} line 4",
        "pools[1].user": f"file {path} line 5",
    }


def test_show_rejects_invalid_settings(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + "urll = 1\n")
    ran = run("config", "show", path)
    assert (ran.code, ran.out) == (2, "")
    assert f"{path}: line 6: pools[1].urll: unknown key" in ran.err


def test_schema_and_reference() -> None:
    assert json.loads(run("config", "schema").out) == json_schema()
    assert run("config", "reference").out == reference_page()


def test_check_rejects_a_start_temperature_without_a_stop(tmp_path: Path) -> None:
    text = FILE + "[devices]\non_hang = 'exit'\ntemperature_start = 70\n"
    ran = run("config", "check", settings_file(tmp_path, text))
    assert ran.code == 2
    assert ran.err.endswith(
        ": line 8: devices.temperature_start: needs a temperature_stop above it\n"
    )
    assert ran.err.count("\n") == 1
    ran = run("config", "check", settings_file(tmp_path, text + "[[devices.tune]]\nmatch = '*'\n"
              "temperature_stop = 80\nmemory_temperature_start = 70\n"))  # fmt: skip
    assert ran.code == 2
    assert ran.err.endswith(
        ": line 12: devices.tune[1].memory_temperature_start: needs a memory_temperature_stop "
        "above it\n"
    )


def test_check_does_not_read_the_system_certificates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(
        "miner.run.check_settings.tls_context", lambda url: asked.append(url.ca_file)
    )
    text = FILE + "tls_ca_file = 'mine.pem'\n[[pools]]\nurl = 'stratum+tls://h:1'\nuser = 'w'\n"
    assert run("config", "check", settings_file(tmp_path, text)).code == 0
    assert asked == ["mine.pem"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("worker", "aäb"), ("user", "wé"), ("password", "pöq"), ("url", "h")],
)
def test_check_reports_a_login_mistake_at_its_key(tmp_path: Path, key: str, value: str) -> None:
    values = {"url": "h:1", "user": "w", "worker": "rig", "password": "p"} | {key: value}
    lines = [f'{name} = "{text}"' for name, text in values.items()]
    path = settings_file(tmp_path, "\n".join(['variant = "kawpow"', "[[pools]]", *lines]))
    ran = run("config", "check", path)
    line = 3 + list(values).index(key)
    assert ran.code == 2
    assert ran.err.startswith(f"{path}: line {line}: pools[1].{key}: pool ")
    assert ran.err.count("\n") == 1


def test_init_leaves_no_part_of_a_file_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("miner.settings.settings_page.new_file", full)
    ran = run("config", "init", tmp_path / "x")
    assert (ran.code, list(tmp_path.iterdir())) == (2, [])
    assert ran.err.endswith("x: cannot be written: No space left on device\n")


def test_settings_of_an_api_that_is_off_are_noted(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + '[api]\nlisten = "off"\npanels = true\n')
    assert (
        "note: [api] panels has no effect, since listen is off" in run("config", "check", path).out
    )

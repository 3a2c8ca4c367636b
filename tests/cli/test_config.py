"""`config`: a new file, what is wrong with one, what is in effect; and what `mine` makes of it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from miner.devices import registry
from miner.run import mining as run_module
from miner.run.mining import RunConfig
from miner.settings.model import PLACEHOLDER
from miner.settings.settings_page import json_schema, new_file, reference_page
from tests.cli.running import run

FILE = 'variant = "kawpow"\n\n[[pools]]\nurl = "127.0.0.1:9"\nuser = "w"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "rig.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_new_file_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_a_new_file_needs_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, force: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("config", "init", file, *force)
    assert (ran.code, ran.out) == (2, "")
    sentence = f"{file!r} is not a file name; name one, such as progpow-miner.toml"
    assert ran.err == f"progpow-miner: {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_may_be_printed() -> None:
    assert run("config", "init", "-").out == new_file()


def test_a_new_file_passes_the_check_once_there_is_a_wallet(tmp_path: Path) -> None:
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
        (f"{path}: ok: RVN, pool stratum+tcp://pool.example:3333, every usable device, API on "
        "127.0.0.1:4067"),
    ]  # fmt: skip


def test_every_mistake_has_a_line_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "shares = 0\n" + FILE + "[log]\nlevel = 'x'\n[ledgr]\n")
    ran = run("config", "check", "-c", path)
    assert (ran.code, ran.out) == (2, "")
    places = [line.removeprefix(f"{path}: ").split(":")[0] for line in ran.err.splitlines()]
    assert places == ["line 9", "line 1", "line 8"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"kawpow"', '"kawpwo"', "line 1: variant: variant 'kawpwo' is not known (did you mean"),
        ('variant = "kawpow"', 'coin = "RVNN"', "line 1: coin: coin 'RVNN' is not known"),
        ('"kawpow"', '"none.toml"', "line 1: variant: none.toml: cannot be read"),
        ('"127.0.0.1:9"', '"h"', "line 4: pools[1].url: pool 'h' has no port; write host:port"),
        ('"127.0.0.1:9"', '"strtum://h:1"', "line 4: pools[1].url: unknown scheme strtum://"),
        ('"w"', '"w"\nprotocol = "kawpw"', "line 6: pools[1].protocol: protocol 'kawpw' is not k"),
        ('"w"', '"w"\nprotocol = "node"', "line 4: pools[1].url: protocol 'node' is not spoken ov"),
        ('"w"', '"w"\nproxy = "tor:9050"', "line 6: pools[1].proxy: a proxy is written as socks5:"),
        ('"w"', '"w"\ntls_fingerprint = "ab"', "line 6: pools[1].tls_fingerprint: a TLS fingerp"),
        ('"w"', '"w"\npassword_file = "/no"', "line 6: pools[1].password_file: password file /no"),
        ('"w"', '"w"\ntls_ca_file = "/no.pem"', "line 6: pools[1].tls_ca_file: CA file /no.pem: "),
        ('"w"', '"w"\n[log]\nfile = "~nobody-here/l"', "line 7: log.file: file ~nobody-here/l: "),
        ('"w"', '"w"\n[api]\ntoken_file = "/no"', "line 7: api.token_file: token file /no: cannot"),
    ],
)
def test_what_can_be_known_offline(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    path = written(tmp_path, FILE.replace(old, new))
    ran = run("config", "check", path)
    assert ran.code == 2
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith(f"{path}: {sentence}")


def test_a_coin_that_is_mined_over_stratum_only(tmp_path: Path) -> None:
    text = FILE.replace('variant = "kawpow"', 'coin = "zano"')
    path = written(tmp_path, text.replace("127", "http://127"))
    assert "line 4: pools[1].url: " in run("config", "check", path).err


def test_the_check_sees_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, FILE)
    monkeypatch.setenv("PROGPOW_MINER_LOG_LEVL", "debug")
    ran = run("config", "check", path)
    assert (ran.code, ran.err) == (
        2,
        (
            "environment PROGPOW_MINER_LOG_LEVL: unknown setting (did you mean "
            "PROGPOW_MINER_LOG_LEVEL?)\n"
        ),
    )


def test_the_file_may_be_named_by_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("config", "check").code == 2
    path = written(tmp_path, FILE + "[devices]\nuse = ['0', '*3070*']\n[api]\nlisten = ''\n")
    monkeypatch.setenv("PROGPOW_MINER_CONFIG", str(path))
    assert run("config", "check").out == (
        f"{path}: ok: kawpow, pool 127.0.0.1:9, devices 0, *3070*, no API\n"
    )
    assert "# environment PROGPOW_MINER_CONFIG is set" in run("config", "show").out
    assert run("config", "check", path, "-c", path).code == 2


def test_a_secret_that_everybody_may_read_is_a_note(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o644)
    path = written(tmp_path, FILE + f'password_file = "{secret}"\n')
    ran = run("config", "check", path)
    assert ran.code == 0
    assert f"note: password file {secret}: every user of this machine can read it" in ran.out


def test_a_settings_file_with_a_secret_that_everybody_may_read_is_a_note(tmp_path: Path) -> None:
    for line, words in (("password = 'hunter2'", "a password"), ("[api]\ntoken = 't'", "a token")):
        path = written(tmp_path, FILE + line)
        path.chmod(0o644)
        assert f"note: {path}: it holds {words} and every user" in run("config", "check", path).out
        path.chmod(0o600)
        assert "note" not in run("config", "check", path).out
    path = written(tmp_path, FILE + "password = 'x'")
    path.chmod(0o644)
    assert "note" not in run("config", "check", path).out


def test_what_is_in_effect_is_toml_with_its_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, FILE + "[[devices.tune]]\nmatch = '*'\n")
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
    assert ran.out.endswith("PASSWORD is set: password of pools without one of their own\n")
    assert "hunter2" not in ran.out


def test_what_is_in_effect_as_json(tmp_path: Path) -> None:
    path = written(tmp_path, FILE)
    shown = json.loads(run("config", "show", path, "--json").out)
    assert shown["settings"]["pools"][0]["password"] == "(hidden)"
    assert shown["settings"]["log"]["keep"] == 5
    assert shown["sources"] == {
        "variant": f"file {path} line 1",
        "pools[1].url": f"file {path} line 4",
        "pools[1].user": f"file {path} line 5",
    }


def test_wrong_settings_are_not_shown(tmp_path: Path) -> None:
    path = written(tmp_path, FILE + "urll = 1\n")
    ran = run("config", "show", path)
    assert (ran.code, ran.out) == (2, "")
    assert f"{path}: line 6: pools[1].urll: unknown key" in ran.err


def test_schema_and_reference_are_printed() -> None:
    assert json.loads(run("config", "schema").out) == json_schema()
    assert run("config", "reference").out == reference_page()


class Told:
    """Stands for the run: keeps what it was told."""

    mining: RunConfig

    async def mine(self, mining: RunConfig, *_: Any, **__: Any) -> int:
        self.mining = mining
        return 0


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    seen = Told()
    monkeypatch.setattr(run_module, "mine", seen.mine)
    monkeypatch.setattr(registry, "BACKENDS", {"ref": registry.BACKENDS["ref"]})
    return seen


def test_mining_by_the_environment_alone(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in {
        "COIN": "RVN", "POOL_URL": "stratum+tcp://h:1", "POOL_USER": "w", "POOL_WORKER": "r",
        "POOL_2_URL": "v@b:2", "POOL_PASSWORD": "secret", "SHARES": "3", "DEVICES_USE": "ref",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"PROGPOW_MINER_{name}", text)
    assert run("mine").code == 0
    assert [(p.host, p.user, p.password) for p in told.mining.live.pools] == [
        ("h", "w.r", "secret"), ("b", "v", "secret"),
    ]  # fmt: skip
    assert told.mining.shares == 3
    assert run("mine", "-o", "c:1", "-u", "x", "--shares", "4").code == 0
    assert ([p.host for p in told.mining.live.pools], told.mining.shares) == (["c"], 4)


def test_mining_by_a_file_that_the_environment_names(
    told: Told, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CONFIG", str(written(tmp_path, "shares = 7\n" + FILE)))
    assert run("mine", "-d", "0").code == 0
    assert told.mining.shares == 7


def test_a_block_that_matches_no_device_is_noted(told: Told, tmp_path: Path) -> None:
    path = written(tmp_path, FILE + "[[devices.tune]]\nmatch = '*3070*'\n")
    assert run("mine", "-c", path).code == 0
    note = "[[devices.tune]] '*3070*' matches none of the devices"
    assert ("note", note) in told.mining.notes


def test_tuning_that_contradicts_itself_mines_nothing(told: Told, tmp_path: Path) -> None:
    text = "[devices]\ntemperature_stop = 60\n[[devices.tune]]\nmatch = 'ref'\n"
    path = written(tmp_path, FILE + text + "temperature_start = 70\n")
    ran = run("mine", "-c", path)
    assert ran.code == 2
    assert "device ref: temperature_start: 70 is not below 60, its temperature_stop" in ran.err


def test_a_start_that_no_device_has_a_stop_for_is_found_by_the_check(tmp_path: Path) -> None:
    text = FILE + "[devices]\non_hang = 'exit'\ntemperature_start = 70\n"
    ran = run("config", "check", written(tmp_path, text))
    assert ran.code == 2
    assert ran.err.endswith(
        ": line 8: devices.temperature_start: needs a temperature_stop above it\n"
    )
    assert ran.err.count("\n") == 1
    ran = run("config", "check", written(tmp_path, text + "[[devices.tune]]\nmatch = '*'\n"
              "temperature_stop = 80\nmemory_temperature_start = 70\n"))  # fmt: skip
    assert ran.code == 2
    assert ran.err.endswith(
        ": line 12: devices.tune[1].memory_temperature_start: needs a memory_temperature_stop "
        "above it\n"
    )


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--api", "0.0.0.0:4067"], "command line: api: listen = '0.0.0.0:4067' lets other mach"),
        (["--api", "4067"], 'command line: api.listen: must be written as "host:port"'),
        (["--temp-stop", "9"], "command line: devices.temperature_stop: 9.0 is too small"),
        (
            ["--temp-stop", "60", "--temp-start", "70"],
            "devices: temperature_start: 70 is not below",
        ),
        (["--log-level", "loud"], "command line: log.level: 'loud' is not one of debug, info"),
        (["--console", "lve"], "command line: log.console: 'lve' is not one of auto, plain, live"),
    ],
)
def test_a_flag_that_cannot_be_used(told: Told, flags: list[str], sentence: str) -> None:
    ran = run("mine", "-a", "kawpow", "-o", "h:1", "-u", "w", *flags)
    assert ran.code == 2
    assert sentence in ran.err


def test_flags_of_pools_need_a_pool_of_the_command_line(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_POOL_URL", "w@h:1")
    ran = run("mine", "-a", "kawpow", "--tls-insecure")
    assert ran.code == 2
    assert ran.err.endswith("given with -o or -P; set PROGPOW_MINER_POOL_TLS_INSECURE\n")


def test_flags_that_can_be_used(told: Told, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-long-token")
    ran = run(
        "mine", "-a", "kawpow", "-o", "h:1", "-u", "w", "--api", "off", "--no-ledger", "--rig", "r",
        "-l", tmp_path / "log", "--temp-stop", "80", "--temp-start", "70",
        "--console", "json", "--log-level", "debug", "--api-token-file", tmp_path / "token",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")


def test_the_systems_certificates_are_not_read_for_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str | None] = []
    monkeypatch.setattr(
        "miner.run.check_settings.tls_context", lambda url: asked.append(url.ca_file)
    )
    text = FILE + "tls_ca_file = 'mine.pem'\n[[pools]]\nurl = 'stratum+tls://h:1'\nuser = 'w'\n"
    assert run("config", "check", written(tmp_path, text)).code == 0
    assert asked == ["mine.pem"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("worker", "a\\nb"), ("user", "w\\u00e9"), ("password", "p\\tq"), ("url", "h")],
)
def test_what_is_wrong_with_a_login_is_told_at_its_key(
    tmp_path: Path, key: str, value: str
) -> None:
    values = {"url": "h:1", "user": "w", "worker": "rig", "password": "p"} | {key: value}
    lines = [f'{name} = "{text}"' for name, text in values.items()]
    path = written(tmp_path, "\n".join(['variant = "kawpow"', "[[pools]]", *lines]))
    ran = run("config", "check", path)
    line = 3 + list(values).index(key)
    assert ran.code == 2
    assert ran.err.startswith(f"{path}: line {line}: pools[1].{key}: pool ")
    assert ran.err.count("\n") == 1

"""The command `mine` with flags, files and environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from miner.catalog import find_coin
from miner.devices import registry
from miner.run import mining as run_module
from miner.run.mining import RunConfig
from tests.cli.running import run, settings_file
from tests.cli.test_config import FILE

POOL = ("-o", "stratum+tcp://127.0.0.1:9", "-u", "wallet")


class RunRecorder:
    """Replaces the run; keeps its configuration."""

    mining: RunConfig

    async def mine(self, mining: RunConfig, *_: Any, **__: Any) -> int:
        self.mining = mining
        return 0


@pytest.fixture
def run_recorder(monkeypatch: pytest.MonkeyPatch) -> RunRecorder:
    seen = RunRecorder()
    monkeypatch.setattr(run_module, "mine", seen.mine)
    monkeypatch.setattr(registry, "BACKENDS", {"ref": registry.BACKENDS["ref"]})
    monkeypatch.setenv("PROGPOW_MINER_DEVICES_BACKEND", "cpu")
    return seen


def test_mining_with_the_environment_only(
    run_recorder: RunRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "COIN": "RVN", "POOL_URL": "stratum+tcp://h:1", "POOL_USER": "w", "POOL_WORKER": "r",
        "POOL_2_URL": "v@b:2", "POOL_PASSWORD": "secret", "SHARES": "3", "DEVICES_USE": "ref",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"PROGPOW_MINER_{name}", text)
    assert run("mine").code == 0
    assert [(p.host, p.user, p.password) for p in run_recorder.mining.live.pools] == [
        ("h", "w.r", "secret"), ("b", "v", "secret"),
    ]  # fmt: skip
    assert run_recorder.mining.shares == 3
    assert run("mine", "-o", "c:1", "-u", "x", "--shares", "4").code == 0
    assert ([p.host for p in run_recorder.mining.live.pools], run_recorder.mining.shares) == (
        ["c"],
        4,
    )


def test_a_variant_file_of_an_unknown_user_is_a_mistake_in_one_sentence() -> None:
    ran = run("mine", "-a", "~unknown-user/x.toml", "-o", "h:1", "-u", "w")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("progpow-miner: variant: '~unknown-user/x.toml' is not a path: ")


def test_a_file_that_is_named_like_a_command_does_not_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("variants").touch()
    ran = run("variants")
    assert (ran.code, ran.out.splitlines()[0].split()[0]) == (0, "evrprogpow")


def test_mining_with_a_file_named_by_the_environment(
    run_recorder: RunRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_CONFIG", str(settings_file(tmp_path, "shares = 7\n" + FILE)))
    assert run("mine", "-d", "0").code == 0
    assert run_recorder.mining.shares == 7


def test_a_tune_block_without_devices(run_recorder: RunRecorder, tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + "[[devices.tune]]\nmatch = '*3070*'\n")
    assert run("mine", "-c", path, "--backend", "cpu").code == 0
    note = "[[devices.tune]] '*3070*' matches none of the devices"
    assert ("note", note) in run_recorder.mining.notes


def test_contradictory_temperatures(run_recorder: RunRecorder, tmp_path: Path) -> None:
    text = "[devices]\ntemperature_stop = 60\n[[devices.tune]]\nmatch = 'ref'\n"
    path = settings_file(tmp_path, FILE + text + "temperature_start = 70\n")
    ran = run("mine", "-c", path, "--backend", "cpu")
    assert ran.code == 2
    assert "device ref: temperature_start: 70 is not below 60, its temperature_stop" in ran.err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--api", "0.0.0.0:4067"], "command line: api: listen = '0.0.0.0:4067' lets other mach"),
        (["--api", "localhost"], 'command line: api.listen: must be written as "host:port"'),
        (["--temp-stop", "9"], "command line: devices.temperature_stop: 9.0 is too small"),
        (
            ["--temp-stop", "60", "--temp-start", "70"],
            "devices: temperature_start: 70 is not below",
        ),
        (["--log-level", "loud"], "command line: log.level: 'loud' is not one of debug, info"),
        (["--console", "lve"], "command line: log.console: 'lve' is not one of auto, plain, live"),
    ],
)
def test_invalid_flags(run_recorder: RunRecorder, flags: list[str], sentence: str) -> None:
    ran = run("mine", "-a", "kawpow", "-o", "h:1", "-u", "w", *flags)
    assert ran.code == 2
    assert sentence in ran.err


def test_pool_flags_need_a_pool_on_the_command_line(
    run_recorder: RunRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGPOW_MINER_POOL_URL", "w@h:1")
    ran = run("mine", "-a", "kawpow", "--tls-insecure")
    assert ran.code == 2
    assert ran.err.endswith("given with -o or -P; set PROGPOW_MINER_POOL_TLS_INSECURE\n")


def test_a_flag_that_replaces_another_is_noted(run_recorder: RunRecorder) -> None:
    ran = run("--coin", "RVN", "-o", "h:1", "-u", "w", "--shares", "4", "--coin", "FIRO")
    assert ran.code == 0, ran.err
    assert run_recorder.mining.coin == find_coin("FIRO")
    assert ("note", "--coin FIRO replaces the earlier --coin RVN") in run_recorder.mining.notes


def test_valid_flags(run_recorder: RunRecorder, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-long-token")
    ran = run(
        "mine", "-a", "kawpow", "-o", "h:1", "-u", "w", "--api", "off", "--no-ledger", "--rig", "r",
        "-d", "cpu", "-l", tmp_path / "log", "--temp-stop", "80", "--temp-start", "70",
        "--console", "json", "--log-level", "debug", "--api-token-file", tmp_path / "token",
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, "")


@pytest.mark.parametrize("name", ["rvn", "Ravencoin", "FIRO", "zano"])
def test_an_algorithm_may_be_a_coin(run_recorder: RunRecorder, name: str) -> None:
    assert run("-a", name, "-o", "h:1", "-u", "w").code == 0
    by_algorithm = run_recorder.mining
    assert run("--coin", name, "-o", "h:1", "-u", "w").code == 0
    by_coin = run_recorder.mining
    assert by_algorithm.coin is by_coin.coin is find_coin(name)
    assert by_algorithm.variant is by_coin.variant
    assert by_algorithm.live.pools == by_coin.live.pools
    assert by_algorithm.diff1 == by_coin.diff1


def test_several_addresses_in_one_flag(run_recorder: RunRecorder) -> None:
    assert run("-a", "kawpow", "-o", "stratum+tls://a:1,b:2", "-u", "v", "-u", "w").code == 0
    assert [(p.host, p.user, p.transport.has_tls) for p in run_recorder.mining.live.pools] == [
        ("a", "v", True), ("b", "w", True),
    ]  # fmt: skip


def test_a_settings_file_needs_no_flag(run_recorder: RunRecorder, tmp_path: Path) -> None:
    path = settings_file(tmp_path, "shares = 7\n" + FILE)
    for arguments in ([path], ["mine", path], ["mine", "-c", path], ["-c", path]):
        assert run(*arguments).code == 0
        assert run_recorder.mining.shares == 7


def test_empty_arguments_of_a_script_are_left_out(run_recorder: RunRecorder) -> None:
    assert run("", "mine", "", "-a", "kawpow", *POOL, "", "-p", "").code == 0
    assert run("", "--coin", "RVN", *POOL).code == 0


def test_home_directories_in_the_value_of_a_flag(
    run_recorder: RunRecorder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rig.toml").write_text('coin = "RVN"\n[[pools]]\nurl = "w@h:1"\n')
    assert run("mine", "--config=~/rig.toml").code == 0
    assert run("config", "check", "--config=~/rig.toml").code == 0


@pytest.mark.parametrize("flags", [("-d", "ref", "-d", "0"), ("-d=ref,0",)])
def test_devices_of_several_flags_add_up(run_recorder: RunRecorder, flags: tuple[str, ...]) -> None:
    assert run("mine", "-a", "kawpow", *POOL, *flags).code == 0
    assert run_recorder.mining.fixed["devices.use"] == ("ref", "0")


@pytest.mark.parametrize("flag", ["--no-ledger=true", "--no-ledger=1", "--no-ledger on"])
def test_a_switch_may_have_a_value(run_recorder: RunRecorder, flag: str) -> None:
    assert run("mine", "-a", "kawpow", *POOL, *flag.split()).code == 0
    assert run_recorder.mining.ledger is None
    assert run("mine", "-a", "kawpow", *POOL, "--coin", "RVN", "--coin", "RVN").code == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("[log]\nfile = 'rig.toml'", "line 6: log.file: rig.toml is the settings file too"),
        ("[log]\nfile = './t'\n[api]\ntoken_file = 't'", "log.file: t is api.token_file too"),
        ("[log]\nfile = 't'\n[ledger]\nfile = 'x/../t'", "ledger.file: x/../t is log.file too"),
        ("[api]\naddress_file = 'rig.toml'", "api.address_file: rig.toml is the settings file too"),
    ],
)
def test_no_file_of_the_settings_is_written_over(
    run_recorder: RunRecorder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t").write_text("x" * 20)
    text = f"variant = 'kawpow'\n[[pools]]\nurl = 'h:1'\nuser = 'w'\n{line}\n"
    (tmp_path / "rig.toml").write_text(text)
    for arguments in (("mine", "-c"), ("config", "check")):
        ran = run(*arguments, "rig.toml")
        assert ran.code == 2
        assert f"{sentence}; name another file\n" in ran.err
    assert (tmp_path / "rig.toml").read_text() == text

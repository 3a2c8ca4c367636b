"""Resolving settings to a `RunConfig`, at the start and at a reload."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from miner.catalog import find_coin, find_variant
from miner.devices.crash_record import CrashRecord, ShapeOnTrial
from miner.devices.driver_history import crashed_shapes
from miner.devices.opencl import OPENCL
from miner.devices.reference import REFERENCE
from miner.devices.selection import ChosenDevices, ListedDevice
from miner.devices.trial_results import TrialResults
from miner.devices.tuned_shapes import ChosenBy, TunedShape, TunedShapes, shapes_to_try
from miner.devices.tuning import TemperatureLimits
from miner.errors import ConfigError, UsageError
from miner.net.address import Timeouts
from miner.resources import state_directory
from miner.run import resolve as resolve_module
from miner.run.mining import MiningRun
from miner.run.resolve import resolve_settings
from miner.safe_text import Redactor
from miner.sensors.sensors import open_sensors
from miner.settings.loading import load
from miner.telemetry import Level
from miner.telemetry.events import DeviceHanging, ShapeChosen
from miner.work import DeviceInfo

pytestmark = pytest.mark.usefixtures("only_ref")

FILE = """\
coin = "RVN"
rig = "rig-7"

[[pools]]
url = "stratum+tcp://h:1"
user = "RWalletOfAnExampleMiner1.rig1"
password = "hunter2"
proxy = "socks5://me:hunter3@p:1"

[devices]
use = ["0"]
temperature_stop = 80
on_hang = "park"

[[devices.tune]]
match = "ref"
shape = "cpu-1"
memory_temperature_stop = 100

[log]
level = "warning"
format = "json"

[limits]
login = 9
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "rig.toml"
    path.write_text(FILE)
    return path


def test_every_setting_reaches_the_configuration(path: Path) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.coin == find_coin("RVN")
    assert (config.variant.name, config.rig) == ("kawpow", "rig-7")
    assert config.live.limits == Timeouts(10, 9, 30, 600)
    assert config.live.heat == {"ref": TemperatureLimits(80, 65, 100, 85)}
    assert config.live.level is Level.WARNING
    assert config.tunings["ref"].shape == "cpu-1"
    assert config.park_hung
    assert config.private_files == (path,)
    assert config.api is not None
    assert (config.api.port, config.api.explicit, config.api.token) == (4067, False, None)
    assert (config.ethminer, config.sgminer) == (None, None)
    assert (config.log.format, config.log.max_bytes) == ("json", 10 << 20)
    assert config.ledger is not None
    assert config.ledger.path == state_directory() / "ledger.sqlite"
    assert config.secrets == ("hunter2", "hunter3")
    assert config.wallets == ("RWalletOfAnExampleMiner1",)
    assert "hunter" not in repr(config)


def test_a_short_password_and_an_account_name_are_hidden(path: Path) -> None:
    path.write_text(
        FILE.replace("hunter2", "pass1").replace("RWalletOfAnExampleMiner1", "accountname123")
    )
    config = resolve_settings(lambda: load(path))
    redactor = Redactor(config.secrets, config.wallets)
    assert (
        redactor.redact("no accountname123.rig1 with pass1") == "no accou…e123.rig1 with (hidden)"
    )


@pytest.mark.parametrize(
    ("user", "wallets"),
    [
        ("RWallet.my-mining-rig-7", ("RWallet",)),
        ("RVN:RWallet.rig", ("RVN", "RWallet")),
        ("RWallet", ("RWallet",)),
        ("account.RWallet.rig", ("account", "RWallet")),
    ],
)
def test_a_worker_is_not_treated_as_a_wallet(
    path: Path, user: str, wallets: tuple[str, ...]
) -> None:
    path.write_text(FILE.replace("RWalletOfAnExampleMiner1.rig1", user))
    assert resolve_settings(lambda: load(path)).wallets == wallets


def test_files_in_the_home_directory(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    flags = {"record": "~/said", "log": {"file": "~/log"}, "ledger": {"file": "~/shares"}}
    config = resolve_settings(lambda: load(path, flags))
    assert config.ledger is not None
    found = (config.record, config.log.file, config.ledger.path)
    assert found == (tmp_path / "said", tmp_path / "log", tmp_path / "shares")


def test_parts_that_are_off_have_no_configuration(path: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-rather-long-token\n")
    flags = {
        "api": {"listen": "off", "sgminer": "[::1]:4028", "token_file": str(token)},
        "ledger": {"enabled": False},
        "log": {"file": str(tmp_path / "log")},
    }
    config = resolve_settings(lambda: load(path, flags))
    assert (config.api, config.ledger) == (None, None)
    assert config.sgminer is not None
    assert (config.sgminer.host, config.sgminer.port) == ("::1", 4028)
    assert config.log.file == tmp_path / "log"
    assert "a-rather-long-token" in config.secrets


def test_a_configured_api_address_is_explicit(path: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("a-token-that-guards\n")
    environ = {
        "PROGPOW_MINER_API_LISTEN": "0.0.0.0:0",
        "PROGPOW_MINER_API_TOKEN_FILE": str(token),
        "PROGPOW_MINER_API_HOSTS": "rig.lan, rig",
        "PROGPOW_MINER_API_PANELS": "yes",
    }
    api = resolve_settings(lambda: load(path, environ=environ)).api
    assert api is not None
    assert (api.host, api.port, api.explicit, api.token) == (
        "0.0.0.0",
        0,
        True,
        "a-token-that-guards",
    )
    assert (api.hosts, api.panels) == (("rig.lan", "rig"), True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("level = \"warning\"", "level = \"debug\""),
        ("login = 9", "login = 12"),
        ("temperature_stop = 80", "temperature_stop = 70"),
        ("memory_temperature_stop = 100", "memory_temperature_stop = 90"),
        ("//h:1", "//other:1"),
    ],
)  # fmt: skip
def test_live_settings_change_at_a_reload(path: Path, old: str, new: str) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.reloader is not None
    assert config.reloader.reload().live == config.live
    path.write_text(FILE.replace(old, new))
    reloaded = config.reloader.reload()
    assert reloaded.live != config.live
    assert reloaded.fixed == config.fixed
    assert reloaded.private_files == (path,)


def test_a_mistyped_wallet_is_noted_at_a_reload(path: Path) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.reloader is not None
    assert config.reloader.reload().notes == ()
    path.write_text(re.sub('user = ".*"', 'user = "RXBurnXXXXXXXXXXXXXXXXXXXXXXWUo9FW"', FILE))
    (note,) = config.reloader.reload().notes
    assert "its checksum is wrong" in note


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('"rig-7"', '"rig-8"', "rig"),
        ('"RVN"', '"MEWC"', "coin"),
        ('use = ["0"]', 'use = ["ref"]', "devices.use"),
        ('"json"', '"text"', "log.format"),
        ('"cpu-1"', '"cpu"', "devices.tune of ref"),
        ("[limits]", "[api]\npanels = true\n[limits]", "api.panels"),
        ("[limits]", "[ledger]\nmax_days = 3\n[limits]", "ledger.max_days"),
    ],
)
def test_settings_that_need_a_restart_are_fixed(path: Path, old: str, new: str, key: str) -> None:
    config = resolve_settings(lambda: load(path))
    path.write_text(FILE.replace(old, new))
    assert config.reloader is not None
    reloaded = config.reloader.reload()
    assert reloaded.live == config.live
    changed = {
        k for k in {**config.fixed, **reloaded.fixed} if config.fixed[k] != reloaded.fixed[k]
    }
    assert changed == {key}


def test_a_new_token_in_its_file_is_noticed_by_a_reload(path: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first-token-of-a-rig")
    path.write_text(f"{FILE}[api]\ntoken_file = '{token}'\n")
    config = resolve_settings(lambda: load(path))
    assert config.reloader is not None
    assert config.reloader.reload().fixed == config.fixed
    token.write_text("second-token-of-a-rig")
    reloaded = config.reloader.reload()
    changed = {key for key in config.fixed if config.fixed[key] != reloaded.fixed[key]}
    assert changed == {"the token in api.token_file"}
    assert "second-token" not in repr(reloaded)


@pytest.mark.parametrize("line", ['coin = "RVNN"', 'variant = "kawpwo"'])
def test_a_reload_with_an_unknown_algorithm_raises(path: Path, line: str) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.reloader is not None
    path.write_text(FILE.replace('coin = "RVN"', line))
    with pytest.raises(UsageError, match="is not known"):
        config.reloader.reload()


def test_a_reload_of_unusable_settings_raises(path: Path) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.reloader is not None
    path.write_text(FILE.replace("level =", "levl ="))
    with pytest.raises(ConfigError, match=r"line 21: log\.levl: unknown key"):
        config.reloader.reload()


@pytest.mark.parametrize("table", ["log", "ledger"])
def test_a_home_directory_of_an_unknown_user(path: Path, table: str) -> None:
    flags = {table: {"file": "~unknown-user/x"}}
    with pytest.raises(ConfigError, match=r"^file ~unknown-user/x: unknown user"):
        resolve_settings(lambda: load(path, flags))


@pytest.mark.parametrize(("vendor", "noted"), [("amd", False), ("nvidia", True), ("", True)])
def test_a_missing_backend_is_noted_unless_all_cards_are_of_another_vendor(
    path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, noted: bool
) -> None:
    card = DeviceInfo(
        "opencl:0.0", "opencl", "A card", "gpu" if vendor else "cpu", "1", 1, 1, 1, vendor=vendor
    )
    chosen = ChosenDevices([ListedDevice(card, REFERENCE)], [], ["cuda: not found"], [], 1)
    monkeypatch.setattr(resolve_module, "choose_devices", lambda *_, **__: chosen)
    config = resolve_settings(lambda: load(path))
    assert (("note", "cuda: not found") in config.notes) is noted
    assert ("device", "opencl:0.0 A card, 1") in config.notes


def test_an_absent_device_is_noted_and_the_others_mine(path: Path) -> None:
    flags = {"devices": {"use": ["ref", "cuda:7"]}}
    config = resolve_settings(lambda: load(path, flags))
    assert [device.info.name for device in config.devices] == ["ref"]
    (note,) = [text for topic, text in config.notes if "cuda:7" in text]
    assert note.startswith("unknown device 'cuda:7'; found: ")
    assert note.endswith("; mining with the devices found")


CARD = DeviceInfo("opencl:0.0", "opencl", "A card", "gpu", "1", 8 << 30, 4 << 30, 36)


@pytest.fixture
def _tuned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A card that `tune` chose the shape gpu-128 for; the settings file sets none."""
    path.write_text(FILE.replace('shape = "cpu-1"\n', ""))
    chosen = ChosenDevices([ListedDevice(CARD, OPENCL)], [], [], [], 1)
    monkeypatch.setattr(resolve_module, "choose_devices", lambda *_, **__: chosen)
    TunedShapes().put(CARD, OPENCL, find_variant("kawpow"), TunedShape("gpu-128", "gpu", 1.1, 1, 2))


@pytest.mark.usefixtures("_tuned")
def test_a_tuned_shape_is_used_and_noted(path: Path) -> None:
    config = resolve_settings(lambda: load(path))
    assert config.tunings["opencl:0.0"].shape == "gpu-128"
    (note,) = [text for _, text in config.notes if "launch shape" in text]
    assert note.startswith("opencl:0.0: launch shape gpu-128, 1.100 times as fast as gpu")


@pytest.mark.usefixtures("_tuned")
def test_a_shape_that_was_chosen_by_efficiency_is_used_and_noted(path: Path) -> None:
    best = TunedShape("gpu@1", "gpu", 1.2, 1.1, 1.3, ChosenBy.EFFICIENCY)
    TunedShapes().put(CARD, OPENCL, find_variant("kawpow"), best)
    config = resolve_settings(lambda: load(path))
    assert config.tunings["opencl:0.0"].shape == "gpu@1"
    (note,) = [text for _, text in config.notes if "launch shape" in text]
    assert note == (
        "opencl:0.0: launch shape gpu@1, 1.200 times as efficient as gpu (measured by "
        "`tune --by efficiency`)"
    )


@pytest.mark.usefixtures("_tuned")
def test_a_shape_in_the_settings_overrides_the_tuned_one(path: Path) -> None:
    path.write_text(FILE.replace('match = "ref"\nshape = "cpu-1"', 'match = "*"\nshape = "gpu"'))
    config = resolve_settings(lambda: load(path))
    assert config.tunings["opencl:0.0"].shape == "gpu"
    assert not [text for _, text in config.notes if "launch shape" in text]


@pytest.mark.usefixtures("_tuned")
def test_autotune_compares_the_shapes_of_a_device_without_one_in_the_settings(path: Path) -> None:
    off = resolve_settings(lambda: load(path))
    assert off.tunings["opencl:0.0"].autotune == ()
    flags = {"devices": {"autotune": True}}
    on = resolve_settings(lambda: load(path, flags)).tunings["opencl:0.0"]
    assert (on.shape, on.autotune) == ("gpu-128", tuple(shapes_to_try(CARD, OPENCL)))
    path.write_text(FILE.replace('match = "ref"\nshape = "cpu-1"', 'match = "*"\nshape = "gpu"'))
    assert resolve_settings(lambda: load(path, flags)).tunings["opencl:0.0"].autotune == ()


@pytest.mark.usefixtures("_tuned")
def test_a_shape_whose_trial_ended_an_earlier_run_is_neither_compared_nor_used(path: Path) -> None:
    results = TrialResults()
    where = (*CARD.alike, "kawpow")
    keys = [("shape", where, shape) for shape in ("gpu-128", "gpu-subgroups", "@1")]
    for key in keys:
        results.keep("loading a kernel", *key, until_boot=False)
    config = resolve_settings(lambda: load(path, {"devices": {"autotune": True}}))
    for key in keys:  # the tests share one cache
        results.keep(None, *key)
    tuning = config.tunings["opencl:0.0"]
    assert (tuning.shape, tuning.autotune) == (None, ("gpu",))
    assert not [text for _, text in config.notes if "launch shape" in text]


class _AtOnce:
    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        function(*arguments)


@pytest.mark.usefixtures("_tuned")
def test_a_shape_that_was_chosen_while_mining_is_used_at_the_next_start(path: Path) -> None:
    run = MiningRun(resolve_settings(lambda: load(path)), io.StringIO(), None, open_sensors)
    run._disk = _AtOnce()  # type: ignore[assignment]
    run._driver_calls = record = CrashRecord()
    run._emit(ShapeChosen("opencl:0.0", "gpu", "gpu-128", 1.2, 1.1, 1.3))
    config = resolve_settings(lambda: load(path))
    assert config.tunings["opencl:0.0"].shape == "gpu"
    (note,) = [text for _, text in config.notes if "launch shape" in text]
    assert "launch shape gpu, 1.200 times as fast as gpu-128" in note
    assert record.own_shapes == {"opencl:0.0": "gpu"}
    record.close()


@pytest.mark.usefixtures("_tuned")
def test_a_shape_whose_trial_hangs_is_left_out_at_the_next_start(path: Path) -> None:
    run = MiningRun(resolve_settings(lambda: load(path)), io.StringIO(), None, open_sensors)
    with closing(CrashRecord()) as record:
        run._driver_calls = record
        where, variant = (*CARD.alike, "kawpow"), find_variant("kawpow")
        record.trials["opencl:0.0"] = ShapeOnTrial(where, ("gpu-128",), is_proved=False)
        run._emit(DeviceHanging("opencl:0.0", "a launch did not return within 30 s"))
    assert crashed_shapes(TrialResults(), CARD, variant, ["gpu-128"])
    assert resolve_settings(lambda: load(path)).tunings["opencl:0.0"].shape is None
    TrialResults().keep(None, "shape", where, "gpu-128")  # the tests share one cache


@pytest.mark.usefixtures("_tuned")
def test_a_shape_that_is_tuned_while_mining_waits_for_the_next_start(path: Path) -> None:
    config = resolve_settings(lambda: load(path))
    TunedShapes().put(CARD, OPENCL, find_variant("kawpow"), TunedShape("gpu", "gpu", 1, 1, 1))
    assert config.reloader is not None
    assert config.reloader.reload().fixed == config.fixed

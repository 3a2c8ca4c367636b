"""Precedence of file, environment and flags, and the origin of each value."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from miner.errors import ConfigError
from miner.net.address import PASSWORD_VARIABLE
from miner.resources import cache_directory, state_directory
from miner.settings.environment import OTHER_VARIABLES
from miner.settings.environment import settings_file as environment_file
from miner.settings.key_table import Key, all_keys
from miner.settings.loading import Loaded, load
from miner.settings.model import Settings
from miner.settings.toml_text import toml_value
from tests.cli.running import settings_file
from tests.settings.strategies import SETTINGS

FILE = 'variant = "kawpow"\n\n[[pools]]\nurl = "h:1"\nuser = "w"\n'
PATHS = {"file", "record"}
SAMPLES: Mapping[Any, tuple[Any, Any, Any]] = {
    str: ("first", "second", "third"),
    Path: ("/first", "/second", "/third"),
    SecretStr: ("first", "second", "third"),
    bool: (False, True, False),
    int: (7, 8, 9),
    float: (31.5, 32.0, 33.25),
    tuple: (["a"], ["b", "c"], ["d"]),
}


def samples(key: Key) -> tuple[Any, Any, Any]:
    if key.name in ("listen", "ethminer", "sgminer"):
        return ("127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")
    if key.name == "launch_seconds":
        return (0.1, 0.2, 0.3)
    if key.name == "shape":
        return ("gpu", "gpu-128", "cpu")
    if isinstance(key.type, tuple):
        return (key.type[0], key.type[1], key.type[0])
    return SAMPLES[key.type]


@given(SETTINGS)
def test_any_settings_load_back_from_toml(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    settings = Settings.model_validate(values)
    path = settings_file(tmp_path_factory.mktemp("any"), tomli_w.dumps(values))
    assert load(path).settings.model_dump() == settings.model_dump()


def value_at(loaded: Loaded, place: tuple[str, ...]) -> Any:
    value: Any = loaded.settings
    for part in place:
        value = getattr(value[0] if isinstance(value, tuple) else value, part)
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value


def file_with(key: Key, value: Any) -> str:
    """Return a valid file that sets `key` but none of its alternatives."""
    top, pool = ['variant = "v"'], ['url = "h:1"', 'user = "w"']
    line = f"{key.name} = {toml_value(value)}"
    others: list[str] = []
    if key.place in (("variant",), ("coin",)):
        top = [line]
    elif len(key.place) == 1:
        top += [line]
    elif key.place[0] == "pools":
        pool = [row for row in pool if not row.startswith(f"{key.name} =")] + [line]
    elif key.place[:2] == ("devices", "tune"):
        others = ["[[devices.tune]]", *(['match = "m"'] if key.name != "match" else []), line]
    else:
        others = [f"[{'.'.join(key.place[:-1])}]", line]
    if key.name.endswith("temperature_start"):
        others.append(f"{key.name.replace('start', 'stop')} = 99")
    return "\n".join([*top, "[[pools]]", *pool, *others])


def as_flags(key: Key, value: Any) -> dict[str, Any]:
    if key.place[0] == "pools":
        return {"pools": [{"url": "h:1", "user": "w", key.name: value}]}
    flags: dict[str, Any] = {key.name: value}
    for part in reversed(key.place[:-1]):
        flags = {part: flags}
    return flags


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: ".".join(key.place))
def test_flags_override_the_environment_which_overrides_the_file(tmp_path: Path, key: Key) -> None:
    low, middle, high = samples(key)
    path = settings_file(tmp_path, file_with(key, low))
    position: tuple[Any, ...] = key.place
    if key.repeated:
        position = (*key.place[:-1], 0, key.name)
    loaded = load(path)
    assert value_at(loaded, key.place) == low
    line = path.read_text().splitlines().index(f"{key.name} = {toml_value(low)}") + 1
    assert str(loaded.origin(position)) == f"file {path} line {line}"
    variable = key.variable
    if variable is None or variable == PASSWORD_VARIABLE:
        return
    text = ", ".join(middle) if isinstance(middle, list) else str(middle)
    loaded = load(path, environ={variable: text})
    assert value_at(loaded, key.place) == middle
    assert str(loaded.origin(position)) == f"environment {variable}"
    loaded = load(path, as_flags(key, high), {variable: text})
    assert value_at(loaded, key.place) == high
    assert str(loaded.origin(position)) == f"flag {key.flag.names[0] if key.flag else ''}".strip()


def test_the_origin_of_a_missing_key_is_default(tmp_path: Path) -> None:
    loaded = load(settings_file(tmp_path, FILE))
    for place in (("shares",), ("pools", 0, "password"), ("devices", "use"), ("api", "listen")):
        assert str(loaded.origin(place)) == "default"


@pytest.mark.parametrize(
    ("low", "high"),
    [("variant", "coin"), ("coin", "variant")],
)
def test_a_variable_replaces_the_alternative_key_of_the_file(
    tmp_path: Path, low: str, high: str
) -> None:
    path = settings_file(tmp_path, FILE.replace("variant", low))
    loaded = load(path, environ={f"PROGPOW_MINER_{high.upper()}": "x"})
    assert (getattr(loaded.settings, low), getattr(loaded.settings, high)) == (None, "x")
    assert str(loaded.origin((low,))) == "default"


def test_a_secret_file_variable_replaces_the_secret_of_the_file(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + 'password = "p"\n[api]\ntoken = "t"\n')
    environ = {
        "PROGPOW_MINER_POOL_PASSWORD_FILE": "/p",
        "PROGPOW_MINER_API_TOKEN_FILE": "/t",
    }
    settings = load(path, environ=environ).settings
    assert settings.pools[0].password_file == Path("/p")
    assert "password" not in settings.pools[0].model_fields_set
    assert (settings.api.token, settings.api.token_file) == (None, Path("/t"))


def test_pools_from_the_environment() -> None:
    loaded = load(
        None,
        environ={
            "PROGPOW_MINER_COIN": "RVN",
            "PROGPOW_MINER_POOL_URL": "one:1",
            "PROGPOW_MINER_POOL_USER": "w",
            "PROGPOW_MINER_POOL_2_URL": "two:2",
            "PROGPOW_MINER_POOL_2_USER": "v",
            "PROGPOW_MINER_POOL_2_PASSWORD": "p",
        },
    )
    assert [(p.url, p.user) for p in loaded.settings.pools] == [("one:1", "w"), ("two:2", "v")]
    assert loaded.settings.pools[1].password.get_secret_value() == "p"
    assert str(loaded.origin(("pools", 1, "url"))) == "environment PROGPOW_MINER_POOL_2_URL"


def test_pool_variables_override_the_pool_of_the_file(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + '[[pools]]\nurl = "b:1"\nuser = "w"\n')
    loaded = load(
        path,
        environ={"PROGPOW_MINER_POOL_WORKER": "r", "PROGPOW_MINER_POOL_2_URL": "c:1"},
    )
    assert [(p.url, p.worker) for p in loaded.settings.pools] == [("h:1", "r"), ("c:1", None)]
    assert str(loaded.origin(("pools", 1, "user"))) == f"file {path} line 8"


@pytest.mark.parametrize(
    ("variable", "text", "sentence"),
    [
        ("PROGPOW_MINER_SHARE", "3", "unknown setting (did you mean PROGPOW_MINER_SHARES?)"),
        ("PROGPOW_MINER_API_LISTN", "x", "(did you mean PROGPOW_MINER_API_LISTEN?)"),
        ("PROGPOW_MINER_API_PORT", "4067", "unknown setting"),
        ("PROGPOW_MINER_POOL_2_ULR", "x", "(did you mean PROGPOW_MINER_POOL_2_URL?)"),
        ("PROGPOW_MINER_POOL_1_URL", "x", "(did you mean PROGPOW_MINER_POOL_URL?)"),
        ("PROGPOW_MINER_COKIE_FILE", "x", "(did you mean PROGPOW_MINER_COOKIE_FILE?)"),
        ("PROGPOW_MINER_QQQQ", "x", "unknown setting; docs/settings.md lists them"),
        ("PROGPOW_MINER_SHARES", "abc", "must be a whole number, not 'abc'"),
        ("PROGPOW_MINER_SHARES", "x" * 999, f"whole number, not '{'x' * 39}…'"),
        ("PROGPOW_MINER_LOG_LEVEL", "x" * 999, f"log.level: '{'x' * 39}…' is not one of"),
        ("PROGPOW_MINER_SHARES", "0", "shares: 0 is too small"),
        ("PROGPOW_MINER_GIVE_UP", "abc", "must be a number, not 'abc'"),
        ("PROGPOW_MINER_REPORT_HASHRATE", "maybe", "must be true or false, not 'maybe'"),
        ("PROGPOW_MINER_LOG_LEVEL", "inf", "log.level: 'inf' is not one of debug, info"),
        ("PROGPOW_MINER_POOL_3_URL", "x", "pool 2 is missing; number the pools in order"),
        ("PROGPOW_MINER_DEVICES_USE", ",", "devices.use: must not be empty"),
        ("PROGPOW_MINER_API_LISTEN", "0.0.0.0:1", "lets other machines in: give token_file"),
    ],
)
def test_a_message_names_the_variable(
    tmp_path: Path, variable: str, text: str, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(settings_file(tmp_path, FILE), environ={variable: text})
    assert sentence in str(caught.value)
    assert str(caught.value).startswith(f"environment {variable}: ")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("PROGPOW_MINER_SERVICE_HOST", "10.0.0.1"),
        ("PROGPOW_MINER_SERVICE_PORT", "4067"),
        ("PROGPOW_MINER_SERVICE_PORT_HTTP", "4067"),
        ("PROGPOW_MINER_PORT", "tcp://10.0.0.1:4067"),
        ("PROGPOW_MINER_PORT", "4067"),
        ("PROGPOW_MINER_PORT_4067_TCP", "tcp://10.0.0.1:4067"),
        ("PROGPOW_MINER_PORT_4067_TCP_PROTO", "tcp"),
        ("PROGPOW_MINER_API_SERVICE_HOST", "10.0.0.1"),
        ("PROGPOW_MINER_API_PORT", "tcp://10.0.0.1:4067"),
        ("PROGPOW_MINER_API_PORT_4067_TCP_ADDR", "10.0.0.1"),
        ("PROGPOW_MINER_SHARES", ""),
        ("PROGPOW_MINER_QQQQ", " "),
        ("PROGPOW_MINERS", "other"),
        *((name, "x") for name in OTHER_VARIABLES),
    ],
)
def test_variables_of_others_are_ignored(tmp_path: Path, variable: str, text: str) -> None:
    path = settings_file(tmp_path, FILE)
    assert load(path, environ={variable: text}).settings == load(path).settings


@given(st.sampled_from([True, False]), st.data())
def test_truth_values_in_variables(truth: bool, data: st.DataObject) -> None:
    words = ["1", "true", "Yes", "ON"] if truth else ["0", "FALSE", "no", "off"]
    environ = {
        "PROGPOW_MINER_REPORT_HASHRATE": data.draw(st.sampled_from(words)),
        "PROGPOW_MINER_COIN": "RVN",
        "PROGPOW_MINER_POOL_URL": "w@h:1",
    }
    assert load(None, environ=environ).settings.report_hashrate is truth


@pytest.mark.parametrize("part", ["", "memory_"])
@pytest.mark.parametrize("source", ["environment", "flag"])
@pytest.mark.parametrize(("stop", "start"), [(65, None), (70, None), (70.5, 70.0)])
def test_a_stop_replaces_an_earlier_start_that_is_not_below_it(
    tmp_path: Path, part: str, source: str, stop: float, start: float | None
) -> None:
    text = f"[devices]\n{part}temperature_stop = 85\n{part}temperature_start = 70\n"
    key = f"{part}temperature_stop"
    environ = {f"PROGPOW_MINER_DEVICES_{key.upper()}": str(stop)} if source != "flag" else {}
    flags = {"devices": {key: stop}} if source == "flag" else {}
    loaded = load(settings_file(tmp_path, FILE + text), flags, environ)
    assert getattr(loaded.settings.devices, f"{part}temperature_start") == start
    assert loaded.origin(("devices", key)).kind == source
    kept = loaded.origin(("devices", f"{part}temperature_start")).kind
    assert kept == ("default" if start is None else "file")


def test_an_invalid_stop_is_reported_by_the_model(tmp_path: Path) -> None:
    text = "[devices]\ntemperature_stop = 85\ntemperature_start = 70\n"
    environ = {"PROGPOW_MINER_DEVICES_TEMPERATURE_STOP": "hot"}
    with pytest.raises(ConfigError, match="TEMPERATURE_STOP"):
        load(settings_file(tmp_path, FILE + text), environ=environ)


VARIABLES = [key.variable for key in all_keys() if key.variable]


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("variable", [*VARIABLES, *OTHER_VARIABLES, "PROGPOW_MINER_POOL_2_USER"])
def test_a_variable_in_quotes_is_refused(tmp_path: Path, variable: str, quote: str) -> None:
    path = settings_file(tmp_path, FILE)
    with pytest.raises(ConfigError) as caught:
        load(path, environ={variable: f"{quote}1{quote}\r\n"})
    assert str(caught.value) == (
        f"environment {variable}: is in quotes, which would become part of the value: remove them"
    )


@pytest.mark.parametrize("text", ["\u201cw\u201d", "\u201ew\u201c", "\u2018w\u2019", "\xabw\xbb"])
def test_typographic_quotes_are_refused_as_straight_ones_are(tmp_path: Path, text: str) -> None:
    path = settings_file(tmp_path, FILE)
    with pytest.raises(ConfigError, match="is in quotes, which would become part of the value"):
        load(path, environ={"PROGPOW_MINER_POOL_USER": text})
    with pytest.raises(ConfigError, match="is in quotes, which would become part of the value"):
        load(path, {"pools": [{"url": "h:1", "user": text}]})


def test_a_list_of_toml_or_json_in_a_variable_is_refused(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE)
    with pytest.raises(ConfigError, match=r"_USE: write the values without brackets and quotes"):
        load(path, environ={"PROGPOW_MINER_DEVICES_USE": '["0", "1"]'})
    kept = load(path, environ={"PROGPOW_MINER_DEVICES_USE": "*[34]080*,[0-9]"})
    assert kept.settings.devices.use == ("*[34]080*", "[0-9]")


def test_the_environment_may_name_a_file_in_the_home_directory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert environment_file({"PROGPOW_MINER_CONFIG": "~/rig.toml"}) == Path(
        "/home/someone/rig.toml"
    )


def test_variables_are_taken_without_blanks_and_line_ends_around_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("PROGPOW_MINER_CACHE", "PROGPOW_MINER_STATE"):
        monkeypatch.setenv(name, " /folder \r")
    assert cache_directory() == state_directory() == Path("/folder")
    assert environment_file({"PROGPOW_MINER_CONFIG": "/rig.toml\r"}) == Path("/rig.toml")
    environ = {"PROGPOW_MINER_COIN": "RVN\r", "PROGPOW_MINER_POOL_URL": "h:1\r",
               "PROGPOW_MINER_POOL_USER": " w\r", "PROGPOW_MINER_LOG_FILE": "/log\r"}  # fmt: skip
    settings = load(None, environ=environ).settings
    assert (settings.coin, settings.log.file) == ("RVN", Path("/log"))
    assert (settings.pools[0].url, settings.pools[0].user) == ("h:1", "w")

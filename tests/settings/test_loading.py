"""Settings from a file and flags: values, and messages for mistakes."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from miner.errors import ConfigError
from miner.net.address import Timeouts
from miner.settings.key_table import Key, all_keys
from miner.settings.loading import load
from miner.settings.model import Settings
from tests.cli.running import settings_file
from tests.settings.test_sources import file_with

POOL: dict[str, Any] = {"url": "stratum+tcp://pool.example:3333", "user": "wallet.rig"}
FILE = """
variant = "kawpow"

[[pools]]
url = "stratum+tcp://pool.example:3333"
user = "wallet.rig"
password = "hunter2"
"""


def error_message(path: Path | None, overrides: dict[str, Any] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, overrides or {})
    return str(caught.value)


def test_load_a_file(tmp_path: Path) -> None:
    settings = load(settings_file(tmp_path, FILE)).settings
    assert settings.variant == "kawpow"
    assert settings.pools[0].password.get_secret_value() == "hunter2"
    assert settings.devices.backend == "auto"
    assert settings.devices.use is None
    assert settings.shares is None


def test_the_digest_is_the_beginning_of_what_sha256sum_prints(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE)
    loaded = load(path)
    assert loaded.raw.digest == sha256(path.read_bytes()).hexdigest()[:12]
    assert load(None, {"variant": "kawpow", "pools": [POOL]}).raw.digest == ""


def test_load_flags_without_a_file() -> None:
    settings = load(None, {"variant": "firopow", "pools": [POOL], "shares": 3}).settings
    assert settings.pools[0].password.get_secret_value() == "x"
    assert settings.shares == 3


def test_flags_override_the_file_unless_none(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE + '[devices]\nuse = ["opencl:0.0"]\nbackend = "opencl"\n')
    settings = load(
        path,
        {
            "variant": None,
            "give_up": 60,
            "pools": [{**POOL, "url": "stratum+tcp://other.example:1", "worker": None}],
            "devices": {"use": ["ref"], "backend": None},
        },
    ).settings
    assert settings.variant == "kawpow"
    assert settings.give_up == 60
    assert [p.url for p in settings.pools] == ["stratum+tcp://other.example:1"]
    assert settings.devices.use == ("ref",)
    assert settings.devices.backend == "opencl"


def test_a_coin_flag_replaces_the_variant_of_the_file(tmp_path: Path) -> None:
    settings = load(settings_file(tmp_path, FILE), {"coin": "FIRO"}).settings
    assert (settings.coin, settings.variant) == ("FIRO", None)


def test_the_user_may_be_part_of_the_url() -> None:
    pools = [{"url": "stratum+tcp://wallet.rig:x@pool.example:3333"}]
    assert load(None, {"variant": "kawpow", "pools": pools}).settings.pools[0].user == ""


@pytest.mark.parametrize("url", ["http://127.0.0.1:8766", "NODE+https://h:1", "getwork://h:1/"])
def test_a_node_url_needs_no_user(url: str) -> None:
    settings = load(None, {"variant": "kawpow", "pools": [{"url": url}]}).settings
    assert settings.pools[0].user == ""


def test_limits_keep_their_defaults_unless_set(tmp_path: Path) -> None:
    assert load(settings_file(tmp_path, FILE)).settings.limits.limits() == Timeouts(10, 30, 30, 600)
    path = settings_file(tmp_path, FILE + "[limits]\nconnect = 3\nsilence = 90.5\n")
    assert load(path).settings.limits.limits() == Timeouts(3, 30, 30, 90.5)


def test_all_keys_of_a_pool(tmp_path: Path) -> None:
    path = settings_file(
        tmp_path,
        'record = "said.jsonl"\nreport_hashrate = true\nvariant = "kawpow"\n[[pools]]\n'
        'url = "stratum+tls://h:1"\nuser = "W"\nprotocol = "zano"\ntls_fingerprint = "ab"\n'
        'proxy = "socks5://me:hunter2@tor:9050"\npassword_file = "pass"\n',
    )
    settings = load(path).settings
    (pool,) = settings.pools
    assert (settings.record, settings.report_hashrate) == (Path("said.jsonl"), True)
    assert (pool.protocol, pool.tls_fingerprint) == ("zano", "ab")
    assert pool.proxy == "socks5://me:hunter2@tor:9050"
    assert pool.password_file == Path("pass")
    assert "hunter2" not in f"{settings}{settings!r}"
    assert load(path, {"report_hashrate": False}).settings.report_hashrate is False


def test_no_secret_in_repr_and_messages(tmp_path: Path) -> None:
    pools = [{"url": "stratum+tcp://wallet:hunter2@h:1", "password": "hunter2"}]
    settings = load(None, {"variant": "kawpow", "pools": pools}).settings
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)
    path = settings_file(tmp_path, FILE.replace('"hunter2"', '["hunter2"]'))
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert "pools[1].password: must be text in quotes, not a list" in str(caught.value)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (FILE.replace("password", "pasword"), "pools[1].pasword: unknown key (did you mean"),
        (FILE.replace("url", "ulr"), "pools[1].ulr: unknown key (did you mean url?)"),
        (FILE.replace("url =", "host ="), "pools[1].host: unknown key (known: url, user"),
        (FILE.replace("[[pools]]", "[pools]"), "pools: must be a list of tables: write [[pools]]"),
        (FILE.replace('user = "wallet.rig"', ""), "pools[1]: needs a user"),
        (FILE.replace("variant", "varaint"), "varaint: unknown key (did you mean variant?)"),
        ("shares = 0\n" + FILE, "shares: 0 is too small: it must be 1 or more"),
        ("shares = true\n" + FILE, "shares: must be a whole number, not true or false"),
        ("give_up = 0\n" + FILE, "give_up: 0 is too small: it must be more than 0"),
        ('give_up = "1h"\n' + FILE, "give_up: must be a number, not text"),
        ("give_up = inf\n" + FILE, "give_up: must be a finite number"),
        ('coin = "RVN"\n' + FILE, "give either variant or coin"),
        (FILE.replace('"kawpow"', '""'), "variant: must not be empty"),
        ('variant = "kawpow"\n', "pools: is missing: name a pool, as [[pools]]"),
        ('variant = "kawpow"\npools = []\n', "pools: must not be empty"),
        (FILE + "[devices]\nuse = []\n", "devices.use: must not be empty"),
        (FILE + '[devices]\nuse = "ref"\n', "devices.use: must be a list"),
        (FILE + "[devices]\nuse = [0]\n", "devices.use[1]: must be text in quotes, not a number"),
        (FILE + '[devices]\nbackend = "opncl"\n', "(did you mean opencl?)"),
        (FILE + "devices = 3\n", "pools[1].devices: unknown key"),
        (FILE + "[api]\nhosts = ['a', 'rig.lan:80']\n", "api.hosts[2]: must be a host name alone"),
        (FILE + "[api]\nhosts = ['*']\n", "hosts[1]: must be a host name alone, such as"),
        ("devices = 3\n" + FILE, "devices: must be a table, not a number"),
        (FILE + "tls_insecure = 1\n", "pools[1].tls_insecure: must be true or false, not a number"),
        (FILE + "tls_ca_file = 1\n", "pools[1].tls_ca_file: must be a path in quotes"),
        (FILE + "protocol = 1\n", "pools[1].protocol: must be text in quotes, not a number"),
        (FILE + "proxi = 'x'\n", "pools[1].proxi: unknown key (did you mean proxy?)"),
        (FILE + "password_file = 'f'\n", "pools[1]: give either password or password_file"),
        ("report_hashrate = 1\n" + FILE, "report_hashrate: must be true or false, not a number"),
        (FILE + "[limits]\nconnect = 2.9\n", "limits.connect: 2.9 is too small: it must be 3 or"),
        (FILE + "[limits]\nlogin = 0\n", "limits.login: 0 is too small: it must be 3 or more"),
        (FILE + "[limits]\nanswer = inf\n", "limits.answer: must be a finite number"),
        ("give_up = nan\n" + FILE, "give_up: must be a finite number, not nan"),
        (FILE + "[limits]\nsilense = 9\n", "limits.silense: unknown key (did you mean sil"),
        (FILE + f"x = {'1' * 5000}", "a number has too many digits"),
        (FILE + f"x.{'a.' * 3000}a = 1", "tables are nested too deeply"),
        (FILE + "[log]\nkeep = 999999\n", "log.keep: 999999 is too large: it must be 10000 or"),
        (
            FILE + f"[ledger]\nmax_days = {10**60}\n",
            "0000000… is too large: it must be 1000000000 or less",
        ),
        (FILE + "oops\n", "line 8: is not valid TOML: "),
        (FILE + 'oops = "', "line 8: is not valid TOML: "),
        (FILE + "user = 'again'\n", "line 8: is not valid TOML: "),
    ],
)
def test_a_message_names_file_and_key(tmp_path: Path, text: str, sentence: str) -> None:
    path = settings_file(tmp_path, text)
    message = error_message(path)
    assert message.startswith(f"{path}: ")
    assert sentence in message
    assert "\n" not in message


def test_a_message_about_a_flag_names_the_command_line(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE)
    assert error_message(path, {"shares": 0}).startswith("command line: shares: 0")
    message = error_message(path, {"devices": {"backend": "metal"}})
    assert message.startswith("command line: devices.backend: 'metal' is not one of auto, ")
    assert (
        error_message(path, {"pools": [{"user": "W"}]}) == "command line: pools[1].url: is missing"
    )
    message = error_message(None, {"pools": [POOL]})
    assert message.startswith("command line: what to mine is missing: give coin, as in coin = ")


def test_an_unreadable_file(tmp_path: Path) -> None:
    missing = tmp_path / "none.toml"
    assert error_message(missing) == f"{missing}: cannot be read: No such file or directory"
    assert "cannot be read" in error_message(tmp_path)


def test_deeply_nested_lists_are_an_error(tmp_path: Path) -> None:
    assert "too deeply" in error_message(settings_file(tmp_path, FILE + "x = " + "[" * 9000))


def test_settings_are_comparable_and_immutable(tmp_path: Path) -> None:
    path = settings_file(tmp_path, FILE)
    assert load(path).settings == load(path).settings
    with pytest.raises(ValueError, match="frozen"):
        Settings.model_validate(load(path).settings).shares = 2


SINGLE_QUOTES = r"write a value with backslashes in single quotes, as in 'C:\temp\new.txt'"
WINDOWS_PATH = r'"C:\temp\new.txt"'


@pytest.mark.parametrize(
    "key", [key for key in all_keys() if key.type in (str, Path, SecretStr, tuple)],
    ids=lambda key: ".".join(key.place),
)  # fmt: skip
def test_a_control_character_in_any_text_is_refused_with_advice(tmp_path: Path, key: Key) -> None:
    text = file_with(key, ["@"] if key.type is tuple else "@").replace('"@"', WINDOWS_PATH)
    message = error_message(settings_file(tmp_path, text))
    line = next(i for i, row in enumerate(text.split("\n"), 1) if WINDOWS_PATH in row)
    assert f"line {line}: " in message
    assert f"{key.name}" in message
    assert f": contains a tab; {SINGLE_QUOTES}" in message
    assert "emp" not in message.replace(SINGLE_QUOTES, "")  # the value may be a secret
    assert message.isprintable()


@pytest.mark.parametrize("path", [r"C:\miner\log", r"C:\users\x", r"D:" + "\\", r"C:\x\y"])
def test_an_invalid_escape_is_refused_with_advice(tmp_path: Path, path: str) -> None:
    text = FILE + f'[log]\nfile = "{path}"\nlevel = "info"\n'
    assert f"; {SINGLE_QUOTES}" in error_message(settings_file(tmp_path, text))
    loaded = load(settings_file(tmp_path, FILE + f"[log]\nfile = '{path}'\n"))
    assert str(loaded.settings.log.file) == path


def test_other_mistakes_in_toml_get_no_advice_about_backslashes(tmp_path: Path) -> None:
    text = FILE + "[log]\nfile = 'C:\\x'\n\n\noops\n"
    assert "backslash" not in error_message(settings_file(tmp_path, text))


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "le", "be"])
def test_files_of_windows_editors_are_read(tmp_path: Path, encoding: str, line_end: str) -> None:
    path, text = tmp_path / "rig.toml", (FILE + "# пул\n").replace("\n", line_end)
    path.write_bytes(
        f"\ufeff{text}".encode(f"utf-16-{encoding}")
        if len(encoding) == 2
        else text.encode(encoding)
    )
    assert load(path).settings.pools[0].user == "wallet.rig"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("# пул\n".encode("cp1251"), "is not UTF-8 text; save it as UTF-8"),
        (FILE.encode("utf-16-le"), "contains zero bytes, as UTF-16 text does; save it as UTF-8"),
        (b"\xff\xfe\x00\xd8", "is damaged UTF-16 text; save it as UTF-8"),
    ],
)
def test_a_file_in_another_encoding_is_refused_with_what_to_do(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    path = tmp_path / "rig.toml"
    path.write_bytes(content)
    assert error_message(path) == f"{path}: {sentence}"


@pytest.mark.parametrize("character", ["\u200b", "\ufeff", "\u00ad", "\u202e", "\u2028"])
def test_an_invisible_character_of_a_web_page_is_refused(tmp_path: Path, character: str) -> None:
    code = f"the invisible character U+{ord(character):04X}; type the value again"
    for old in ("kawpow", ":3333", "wallet.rig", "hunter2"):
        message = error_message(settings_file(tmp_path, FILE.replace(old, old + character)))
        assert message.endswith(f": contains {code}")
        assert message.isprintable()
        assert "hunter2" not in message
    pool = {**POOL, "user": f"wal{character}let"}
    message = error_message(None, {"variant": "kawpow", "pools": [pool]})
    assert message == f"command line: pools[1].user: contains {code}"


def test_names_of_the_rig_and_of_files_may_have_invisible_characters(tmp_path: Path) -> None:
    name = "\U0001f469\u200d\U0001f680"
    text = f'rig = "{name}"\n{FILE}[log]\nfile = "/{name}"\n'
    settings = load(settings_file(tmp_path, text)).settings
    assert (settings.rig, settings.log.file) == (name, Path(f"/{name}"))


@pytest.mark.parametrize("end", ["\r", "\r\n", "  ", "\t"])
def test_flags_are_taken_without_blanks_and_line_ends_around_them(end: str) -> None:
    pool = {key: value + end for key, value in {**POOL, "password": "p", "worker": "r"}.items()}
    log = {"file": f"/x{end}", "level": f"debug{end}"}
    settings = load(None, {"variant": f"kawpow{end}", "pools": [pool], "log": log}).settings
    (pool_settings,) = settings.pools
    assert (pool_settings.url, pool_settings.user) == (POOL["url"], POOL["user"])
    assert pool_settings.password.get_secret_value() == "p"
    assert (pool_settings.worker, settings.log.file, settings.log.level) == (
        "r",
        Path("/x"),
        "debug",
    )


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("key", ["url", "user", "password"])
def test_a_flag_in_quotes_is_refused(key: str, quote: str) -> None:
    pool = {**POOL, key: f"{quote}secret{quote}"}
    message = error_message(None, {"variant": "kawpow", "pools": [pool]})
    assert message == (
        f"command line: pools[1].{key}: is in quotes, which would become part of the value: "
        "remove them"
    )


def test_quotes_within_a_flag_are_kept() -> None:
    pool = {**POOL, "password": 'q"uo\'te"'}
    (loaded,) = load(None, {"variant": "kawpow", "pools": [pool]}).settings.pools
    assert loaded.password.get_secret_value() == pool["password"]

"""Messages about invalid settings: file, line, key and suggestion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from miner.settings.key_table import Key, all_keys, all_tables
from miner.settings.loading import error_messages, examine
from miner.settings.model import Settings
from miner.settings.sources import RawSettings
from tests.settings.test_sources import file_with, samples

FILE = 'variant = "kawpow"\n\n[[pools]]\nurl = "h:1"\nuser = "w"\n'


def error_messages_of(folder: Path, text: str) -> list[str]:
    path = folder / "rig.toml"
    path.write_text(text, encoding="utf-8")
    loaded, problems = examine(path)
    assert (loaded is None) == bool(problems)
    return [problem.replace(f"{path}: ", "") for problem in problems]


@st.composite
def misspelt_keys(draw: st.DrawFn) -> tuple[Key, str]:
    key = draw(st.sampled_from(all_keys()))
    name = key.name
    at = draw(st.integers(0, len(name) - 1))
    wrong = draw(
        st.sampled_from(
            [
                name[:at] + name[at + 1 :],
                name[:at] + name[at] * 2 + name[at + 1 :],
                name[: at + 1] + "x" + name[at + 1 :],
                name.replace("_", "-"),
                name.upper(),
            ]
        )
    )
    assume(wrong and wrong not in all_tables()[key.place[:-1]].model_fields)
    return key, wrong


@given(misspelt_keys(), st.integers(0, 5))
def test_an_unknown_key_is_reported_with_its_line_and_the_nearest_key(
    tmp_path_factory: pytest.TempPathFactory, what: tuple[Key, str], above: int
) -> None:
    key, wrong = what
    text = file_with(key, samples(key)[0])
    lines = ["# above"] * above + text.splitlines()
    (line,) = [i for i, row in enumerate(lines) if row.startswith(f"{key.name} =")]
    lines[line] = wrong + lines[line].removeprefix(key.name)
    found = error_messages_of(tmp_path_factory.mktemp("any"), "\n".join(lines))
    place = ".".join(key.place[:-1])
    place = {"pools": "pools[1].", "devices.tune": "devices.tune[1].", "": ""}.get(
        place, f"{place}."
    )
    wanted = f"line {line + 1}: {place}{wrong}: unknown key (did you mean {key.name}?)"
    assert found[0] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (FILE + "shares = 3\n",
         ("line 6: pools[1].shares: unknown key here (did you mean shares at the top of the "
         "file, above the first [table]?)")),
        ("listen = ''\n" + FILE,
         "line 1: listen: unknown key here (did you mean listen under [api]?)"),
        (FILE + "[log]\nlaunch-seconds = 1\n",
         ("line 7: log.launch-seconds: unknown key here (did you mean launch_seconds under "
         "[[devices.tune]]?)")),
        ("fingerprint = ''\n" + FILE,
         f"line 1: fingerprint: unknown key (known: {', '.join(Settings.model_fields)})"),
        (FILE + '[[pools]]\nurl = "b:1"\nuser = [\n\n 3]\n',
         "line 8: pools[2].user: must be text in quotes, not a list"),
        (FILE + '[devices]\nuse = [\n  "0",\n  1,\n]\n',
         "line 9: devices.use[2]: must be text in quotes, not a number"),
        (FILE + "devices.use = []\n",
         ("line 6: pools[1].devices: unknown key here (did you mean devices at the top of the "
         "file, above the first [table]?)")),
        ("devices.use = []\n" + FILE, "line 1: devices.use: must not be empty"),
        ("api = { listen = '', pannels = true }\n" + FILE,
         "line 1: api.pannels: unknown key (did you mean panels?)"),
        ("api = { listen = '1' }\n" + FILE,
         'line 1: api.listen: must be written as "host:port", such as "127.0.0.1:4067", or "off"'),
        ("api.listen = 'h:65536'\n" + FILE,
         'line 1: api.listen: must be written as "host:port", such as "127.0.0.1:4067", or "off"'),
        ("api.listen = '192.168.0.2:1'\n" + FILE,
         ("line 1: api: listen = '192.168.0.2:1' lets other machines in: give token_file (or "
         "token), or listen on 127.0.0.1")),
        (FILE + "[api]\ntoken_file = 'f'\nethminer = '0.0.0.0:1'\nsgminer = '127.0.0.1:1'\n",
         ("line 9: api: sgminer = '127.0.0.1:1' is taken by ethminer = '0.0.0.0:1': give one of "
         "them another port")),
        (FILE + "[api]\nethminer = 'localhost:4067'\n",
         ("line 7: api: ethminer = 'localhost:4067' is taken by listen = '127.0.0.1:4067': give "
         "one of them another port")),
        (FILE + "[api]\nethminer = '0.0.0.0:3333'\n",
         ("line 7: api: ethminer = '0.0.0.0:3333' lets other machines in: give token_file (or "
         "token), or listen on 127.0.0.1")),
        (FILE + "[api]\nsgminer = '[::]:4028'\n",
         ("line 7: api: sgminer = '[::]:4028' lets other machines in: give token_file (or "
         "token), or listen on 127.0.0.1")),
        ("api = { token = ' ' }\n" + FILE,
         ("line 1: api: token must be printable ASCII without blanks; `openssl rand -hex 32` "
         "prints one")),
        (FILE + "[api]\ntoken = \"a b\"\n",
         ("line 7: api: token must be printable ASCII without blanks; `openssl rand -hex 32` "
         "prints one")),
        (FILE + "[api]\ntoken = 'fifteenletters!'\nsgminer = '0.0.0.0:1'\n",
         ("line 7: api: token has 15 characters, but needs 16 or more because other machines can "
         "connect; `openssl rand -hex 32` prints one")),
        (FILE + "[api]\ntoken = 't'\ntoken_file = 'f'\n",
         "line 7: api: give either token or token_file"),
        (FILE + "[devices]\ntemperature_stop = 70\ntemperature_start = 70\n",
         "line 8: devices: temperature_start: 70 is not below 70, its temperature_stop"),
        (FILE + "[[devices.tune]]\nmatch = '*'\nmemory_temperature_stop = 151\n",
         ("line 8: devices.tune[1].memory_temperature_stop: 151 is too large: it must be 150 or "
         "less")),
        (FILE + "[[devices.tune]]\nmatch = '*'\nshape = 'cube'\n",
         ("line 8: devices.tune[1].shape: 'cube' is not one of gpu, gpu-128, gpu-subgroups, "
         "gpu-intel, gpu-amd, gpu-gcn, gpu-rdna, gpu-hbm, gpu-hbm-wide, gpu-hbm-small, cpu, cpu-1, "
         "each also with @1 or @2, and with /2, /4, /8 or /16")),
        (FILE + "[[devices.tune]]\nshape = 'gpu'\n", "line 6: devices.tune[1].match: is missing"),
        (FILE + "[devices.tune]\nmatch = '*'\n",
         "line 6: devices.tune: must be a list of tables: write [[devices.tune]]"),
        (FILE + "[devices]\non_hang = 'parc'\n",
         "line 7: devices.on_hang: 'parc' is not one of exit, park (did you mean park?)"),
        (FILE + "[devices]\non_hang = true\n",
         "line 7: devices.on_hang: must be one of exit, park in quotes, not true or false"),
        (FILE + "[log]\nfile = ' '\n", "line 7: log.file: must not be empty"),
        (FILE + "[ledger]\nmax_megabytes = 1.5\n",
         "line 7: ledger.max_megabytes: must be a whole number, not 1.5"),
        (FILE.replace('"w"', "1.5"), "line 5: pools[1].user: must be text in quotes, not a number"),
        (FILE + "[log]\nkeep = -1\n", "line 7: log.keep: -1 is too small: it must be 0 or more"),
        (FILE.replace('"w"', '"PUT_YOUR_WALLET_HERE.rig1"'),
         ("line 5: pools[1].user: is still the placeholder PUT_YOUR_WALLET_HERE; write your own "
         "wallet there")),
        (FILE.replace("user", "usr"), "line 5: pools[1].usr: unknown key (did you mean user?)"),
        (FILE + "tls_insecure = true # \n\n[limits]\nlogin = 1979-05-27\n",
         "line 9: limits.login: must be a number, not a date"),
        (FILE + 'tls_insecure = "true"\n',
         "line 6: pools[1].tls_insecure: must be true or false, not text; remove the quotes"),
        (FILE + '[devices]\ntemperature_stop = "80"\n',
         "line 7: devices.temperature_stop: must be a number, not text; remove the quotes"),
        (FILE + '[devices]\ntemperature_stop = "hot"\n',
         "line 7: devices.temperature_stop: must be a number, not text"),
        (FILE + '[devices]\nuse = "0"\n',
         'line 7: devices.use: must be a list, as in ["first", "second"]'),
    ],
)  # fmt: skip
def test_first_error_message(tmp_path: Path, text: str, wanted: str) -> None:
    assert error_messages_of(tmp_path, text)[0] == wanted


def test_each_mistake_is_reported_once_in_file_order(tmp_path: Path) -> None:
    text = (
        'shares = 0\nvariant = "v"\n[[pools]]\nulr = "h:1"\n[log]\nlevel = "loud"\nkeep = true\n'
        "[limits]\nconect = 3\n"
    )
    assert [s.partition(": ")[0] for s in error_messages_of(tmp_path, text)] == [
        "line 4", "line 9", "line 1", "line 6", "line 7",
    ]  # fmt: skip


def test_invalid_toml_is_the_only_error(tmp_path: Path) -> None:
    assert error_messages_of(tmp_path, "a = 1\nb = \n") == [
        "line 2: is not valid TOML: write a value after b ="
    ]


@pytest.mark.parametrize(
    ("text", "line", "advice"),
    [
        ("a = 1\ncoin = RVN # mine\n", 2, "write the text after coin = in quotes"),
        ("listen = 127.0.0.1:4067", 1, "write the text after listen = in quotes"),
        ("coin: 'RVN'", 1, "write coin = VALUE, with = instead of :"),
        ("coin = \u201cRVN\u201d", 1, 'write straight quotes (")'),
        ("tls_insecure = True", 1, "write true or false, in small letters"),
        ("tls_insecure = yes", 1, "write true or false, in small letters"),
        ("use = [opencl:0.0]", 1, "write each text in the list use in quotes"),
        ("use = [\n'0'\n'1'\n]", 3, "separate the values of a list by commas, and end it with ]"),
        ("coin = 'RVN'\ncoin = 'FIRO'", 2, "a key or table occurs twice"),
        ("[log]\n[api]\n[log]", 3, "a key or table occurs twice"),
        ("a = 1\ncoin\n", 2, "a line is KEY = VALUE, [TABLE] or # COMMENT"),
        ("// a comment", 1, "a line is KEY = VALUE, [TABLE] or # COMMENT"),
        ('coin = "RVN\na = 1', 1, "a quote is not closed"),
        ('{\n  "pools": [{"url": "h:1"}]\n}', 1, "it is JSON; `progpow-miner config init` writes"),
        ('file = "C:\\mine\\x"', 1, "write a value with backslashes in single quotes"),
        ("[log", 1, "Expected ']' at the end of a table declaration"),
        (
            "a = 1\n\tb\u00a0= 1",
            2,
            "it contains the invisible character U+00A0; type the line again",
        ),
        ("\ufeff\ufeffa = 1", 1, "it contains the invisible character U+FEFF; type the line"),
        ("coin RVN # a\u00a0coin", 1, "a line is KEY = VALUE"),
    ],
)
def test_a_message_about_invalid_toml_says_what_to_write(
    tmp_path: Path, text: str, line: int, advice: str
) -> None:
    (message,) = error_messages_of(tmp_path, text)
    assert message.startswith(f"line {line}: is not valid TOML: ")
    assert advice in message


def test_a_message_about_invalid_toml_quotes_no_value(tmp_path: Path) -> None:
    for text in ("password = hunter2", "password: hunter2", 'password = "hunter2', "hunter2"):
        assert "hunter2" not in error_messages_of(tmp_path, text)[0]


def test_the_errors_of_pydantic_are_collected_once() -> None:
    pools = [{"ulr": "h:1", "user": number} for number in range(50)]
    raw = RawSettings(values={"variant": "kawpow", "pools": pools})
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(raw.values)
    asked = []

    class Counted:
        def errors(self) -> list[Any]:
            asked.append(1)
            return list(caught.value.errors())

    found = error_messages(cast("ValidationError", Counted()), raw)
    assert len(found) == 100, "a misspelt key and a wrong user each, and no missing url"
    assert len(asked) == 1, "gathering them takes as long as there are many"

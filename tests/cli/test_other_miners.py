"""Command lines of other miners, and the table of their flags."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.cli import cli
from miner.cli.foreign_flags import ForeignFlag, flag_table, foreign_flags, normalized
from miner.cli.mine import mine, separated
from miner.cli.other_miners import Translation, with_tls
from tests.cli.running import CHECKOUT, run
from tests.docs.test_pages import blocks

PAGE = CHECKOUT / "docs/howto/coming-from-other-miners.md"
FORMS = {
    "", "list", "celsius", "socks", "listen", "login", "switch", "unless", "backend",
    "port", "tls", "met",
}  # fmt: skip
TRANSLATED = [row for row in foreign_flags() if not row.here]
MET = [name for row in foreign_flags() if row.form == "met" for name in row.names]
EXPLAINED = [
    (name, row.here)
    for row in foreign_flags()
    if row.here and row.form != "met"
    for name in row.names
]


def parent() -> click.Context:
    return cli.make_context("progpow-miner", ["mine"])


def own_flags() -> dict[str, click.Option]:
    parameters = mine.get_params(click.Context(mine, parent()))
    return {name: p for p in parameters if isinstance(p, click.Option) for name in p.opts}


def translation(line: str) -> Translation:
    return Translation(line.split(), own_flags())


def options(*arguments: str) -> dict[str, object]:
    """Return the options that `mine` reads from `arguments`, without those not given."""
    context = mine.make_context("mine", list(arguments), parent())
    return {key: value for key, value in context.params.items() if value not in (None, ())}


def test_each_flag_is_in_the_table_once_and_not_a_flag_of_mine() -> None:
    names = Counter(normalized(name) for row in foreign_flags() for name in row.names)
    assert not [name for name, count in names.items() if count > 1]
    assert not names.keys() & own_flags().keys()


def test_each_row_has_a_flag_of_mine_or_a_sentence() -> None:
    for row in foreign_flags():
        assert bool(row.flag) != bool(row.here), row
        assert row.form in FORMS, row
        assert row.miners, row
        if row.flag:
            assert row.flag.split()[0] in own_flags()
        for flag in re.findall(r"(?<![\w'-])--?[a-z][a-z-]*", row.here):
            assert flag in own_flags() or flag == "-smi", row.here
        for command in re.findall(r"progpow-miner (\w+)", row.here):
            assert command in cli.commands


@pytest.mark.parametrize("row", TRANSLATED, ids=lambda row: row.names[0])
def test_each_translated_flag_is_accepted(row: ForeignFlag) -> None:
    value = {
        "celsius": ["80"], "listen": ["127.0.0.1:80"], "login": ["w:x"],
        "switch": [], "unless": ["off"], "backend": ["1"], "tls": ["on"], "port": ["3333"],
    }.get(row.form, ["0"])  # fmt: skip
    for name in row.names:
        for spelling in {name, name[:2] + name[2:].replace("-", "_")}:
            given = options("-o", "pool.example", spelling, *value)
            assert given != options("-o", "pool.example"), spelling


@pytest.mark.parametrize(("name", "sentence"), EXPLAINED)
def test_each_flag_without_a_counterpart_is_explained(name: str, sentence: str) -> None:
    with pytest.raises(click.UsageError) as caught:
        options("-a", "kawpow", name, "1", "-o", "h:1", "-u", "w")
    assert caught.value.message == f"{name}: {sentence}"
    assert not sentence.endswith(".")


@pytest.mark.parametrize("name", MET)
def test_a_flag_whose_purpose_is_met_is_left_out(name: str) -> None:
    for value in ([], ["true"], ["1"]):
        assert Translation([name, *value, "-o", "h:1"], own_flags()).arguments == ["-o", "h:1"]


def test_all_flags_without_a_counterpart_are_explained_at_once() -> None:
    ran = run("-a", "kawpow", "--low-load=1", "-i", "20", "--dry-run", "-o", "h:1")
    assert ran.code == 2
    last = ran.err.splitlines()[-1]
    assert "--dry-run: use the command: progpow-miner config check FILE" in last
    assert "-i: remove it; the size of a launch" in last


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("--wallet w --worker r", "-u w --worker r"),
        ("--Wallet=w", "-u w"),
        ("--log_file x", "--log-file x"),
        ("--server h --port 1", "-o h:1"),
        ("--server h:2 --port 1", "-o h:2"),
        ("-o h:1 --tls on -o stratum+tcp://g:2", "-o stratum+tls://h:1 -o stratum+tls://g:2"),
        ("-o h:1 --tls off", "-o h:1"),
        ("-o h:1 --ssl 0", "-o h:1"),
        ("--tls -o h:1", "-o stratum+tls://h:1"),
        ("-d 0 1 2 -u w", "-d 0,1,2 -u w"),
        ("-d 0,1", "-d 0,1"),
        ("--cl-devices 0 3 -R", "-d 0,3 -R"),
        ("--temperature-limit 80", "--temp-stop 80"),
        ("--templimit 80 80", "--temp-stop 80"),
        ("--temperature-limit 0", ""),
        ("--api-bind-http 0.0.0.0:4067", "--api 0.0.0.0:4067"),
        ("--api-bind-http 0", "--api off"),
        ("--api-port 80", "--api 127.0.0.1:80"),
        ("--api-port -80", "--api 127.0.0.1:80"),
        ("--http-host :: --http-port 80", "--api [::]:80"),
        ("--apihost 0.0.0.0", "--api 0.0.0.0:4067"),
        ("--no-strict-ssl", "--tls-insecure"),
        ("--ssl_verification 0", "--tls-insecure"),
        ("--ssl_verification 1", ""),
        ("-U", "--backend cuda"),
        ("--cuda --opencl", ""),
        ("--cuda 1 --opencl 0", "--backend cuda"),
        ("--cuda 0", "--backend opencl"),
        ("-O w.r:secret", "-u w.r -p secret"),
        ("-v 1 -R", "-R"),
        ("--api-bind 0.0.0.0:-80", "--api 0.0.0.0:80"),
        ("-x h:1", "--proxy socks5://h:1"),
        ("--no-tui --no-watchdog --no-hashrate-report", "--console plain"),
        ("--proxy u:p@h:1", "--proxy socks5://u:p@h:1"),
        ("--proxy http://h:1", "--proxy http://h:1"),
        ("-o a:1 -u v -o1 b:2 -u1 w", "-o a:1 -u v -o b:2 -u w"),
        ("--temp-limit tc[60-70]", "--temp-start 60 --temp-stop 70"),
        ("--api 4067", "--api 127.0.0.1:4067"),
        ("--devices ALL -u w", "-u w"),
        ("--devices NVIDIA", "--devices NVIDIA"),
        ("-coin RVN -wallet w", "--coin RVN -u w"),
        ("-log_file x", "--log-file x"),
        ("-pxyz", "-p xyz"),
        ("-oh:1 -uw", "-o h:1 -u w"),
        ("-w rig1 --worker rig1 -wrig1", "-w rig1"),
        ("-d 0 -d 1 --gpu-id 2", "-d 0 -d 1 -d 2"),
        ("-d 0 -d all -u w", "-u w"),
        ("--server g --port 1 --server h --port 2", "-o g:1 -o h:2"),
        ("--server g --server h --port 1", "-o g:1 -o h:1"),
        ("--server h --port 1 --port 1", "-o h:1"),
        ("--no-strict-ssl --ssl-verification 1", ""),
        ("-- --wallet", "-- --wallet"),
        ("--unheard of", "--unheard of"),
        ("", ""),
    ],
)  # fmt: skip
def test_translations(given: str, wanted: str) -> None:
    assert translation(given).arguments == wanted.split()
    assert not translation(given).overridden


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--wallet", "--wallet needs a value"),
        ("--wallet -o h:1", "--wallet needs a value"),
        ("--port 1", "--port needs a pool: give -o URL too"),
        ("--tls=perhaps", "--tls: 'perhaps' is neither on nor off"),
        ("--templimit 80 70", "--templimit: write one temperature for all devices"),
        ("-u --wallet w", "-u needs a value"),
        ("--log_file -o h:1", "--log-file needs a value"),
        ("--temp-limit tc[60-70]tm[90-100]", "tc[60-70]tm[90-100]: write a limit of the core as"),
        ("-l 30", "-l names the log file here"),
        ("-R 10 -u w", "-R reports the hashrate here"),
        ("\u2014coin RVN", "\u2014coin begins with a typographic dash"),
        ("-P w@h:1 -P exit", "-P exit: --give-up SECONDS ends a run without a pool"),
        ("-B", "-B: use the command progpow-miner bench -a kawpow to measure"),
    ],
)
def test_values_that_cannot_be_translated(given: str, sentence: str) -> None:
    with pytest.raises(click.UsageError, match=re.escape(sentence)):
        translation(given)


@pytest.mark.parametrize(
    ("given", "wanted", "sentence"),
    [
        ("--worker a -w b", "-w b", "-w b replaces the earlier --worker a"),
        ("-wa --worker=b", "--worker b", "--worker b replaces the earlier -w a"),
        ("--algo=kawpow -a rvn", "-a rvn", "-a rvn replaces the earlier --algo kawpow"),
        (
            "--templimit 85 --temp-stop 80", "--temp-stop 80",
            "--temp-stop 80 replaces the earlier --templimit 85",
        ),
        ("--temp-stop 80 --tstop 0", "", "--tstop 0 replaces the earlier --temp-stop 80"),
        ("--cuda --backend cpu", "--backend cpu", "--backend cpu replaces the earlier --cuda cuda"),
        (
            "--backend cpu --cuda", "--backend cuda",
            "--cuda cuda replaces the earlier --backend cpu",
        ),
        (
            "--cuda 1 --cuda 0", "--backend opencl",
            "--cuda opencl replaces the earlier --cuda cuda",
        ),
        (
            "--api-port 80 --api off", "--api off",
            "--api off replaces the earlier --api-port 127.0.0.1:80",
        ),
        (
            "--api off --api-port 80", "--api 127.0.0.1:80",
            "--api-port 127.0.0.1:80 replaces the earlier --api off",
        ),
        (
            "--http-host :: --http-port 80 --http-port 81", "--api [::]:81",
            "--http-port [::]:81 replaces the earlier --http-port [::]:80",
        ),
        ("-o h:1 --ssl 1 --tls off", "-o h:1", "--tls off replaces the earlier --ssl on"),
        (
            "--proxy me:secret@h:1 --proxy socks5://g:1", "--proxy socks5://g:1",
            "--proxy socks5://g:1 replaces the earlier --proxy h:1",
        ),
        (
            "-w RXi5TW6tSrKWqzDgCHKMCTKyPTPXqYbRYS -w rig1", "-w rig1",
            "-w rig1 replaces the earlier -w RXi5T…bRYS",
        ),
    ],
)  # fmt: skip
def test_the_last_value_of_a_flag_counts_and_is_reported(
    given: str, wanted: str, sentence: str
) -> None:
    found = translation(given)
    assert (found.arguments, found.overridden) == (wanted.split(), [sentence])


OWN = own_flags()
SINGLE = {name: o for name, o in OWN.items() if not (o.is_flag or o.multiple)}
SINGLE |= {
    n: SINGLE[r.flag] for r in TRANSLATED if not r.form and r.flag in SINGLE for n in r.names
}


@given(st.lists(st.tuples(st.sampled_from(sorted(SINGLE)), st.sampled_from("abc"))))
def test_each_flag_with_one_value_is_passed_on_once(pairs: list[tuple[str, str]]) -> None:
    wanted: dict[click.Option, str] = {}
    changes = 0
    for name, value in pairs:
        changes += wanted.get(SINGLE[name], value) != value
        wanted[SINGLE[name]] = value
    found = Translation([word for pair in pairs for word in pair], OWN)
    passed = list(zip(found.arguments[::2], found.arguments[1::2], strict=True))
    values = {OWN[name]: value.removeprefix("socks5://") for name, value in passed}
    assert values == wanted
    assert len(passed) == len(wanted)
    assert len(found.overridden) == changes


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("-o h:1 -u v --wallet w", "--wallet is given 2 times, for one pool"),
        ("-o h:1 -u w --pass 1 --password 2", "--password is given 2 times, for one pool"),
        ("--server h --port 1 -n 2 -u w", "-n is given 2 times, for one pool"),
        ("--config a --config b", "-c is given 2 times: name one settings file"),
    ],
)
def test_a_second_account_or_pool_is_never_chosen_silently(given: str, sentence: str) -> None:
    ran = run("-a", "kawpow", *given.split())
    assert ran.code == 2
    assert sentence in ran.err


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("h:1", "stratum+tls://h:1"),
        ("stratum+tcp://u@h:1", "stratum+tls://u@h:1"),
        ("stratum://h:1", "stratum+tls://h:1"),
        ("ethproxy+tcp://h:1", "ethproxy+tls://h:1"),
        ("tcp://u@h:1", "stratum+tls://u@h:1"),
        ("ssl://u@h:1", "ssl://u@h:1"),
        ("stratum+ssl://h:1", "stratum+ssl://h:1"),
        ("stratum+tls12://h:1", "stratum+tls12://h:1"),
        ("http://h:1", "https://h:1"),
        ("bogus://h:1", "bogus://h:1"),
    ],
)
def test_an_address_with_tls(url: str, wanted: str) -> None:
    assert with_tls(url) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a:1", ["a:1"]),
        ("a:1,b:2", ["a:1", "b:2"]),
        ("a:1, [::1]:2", ["a:1", "[::1]:2"]),
        ("stratum+tls://a:1,b:2", ["stratum+tls://a:1", "stratum+tls://b:2"]),
        ("stratum+tls://a:1,stratum+tcp://b:2", ["stratum+tls://a:1", "stratum+tcp://b:2"]),
        ("stratum+tcp://w:c=RVN,d=1@a:1", ["stratum+tcp://w:c=RVN,d=1@a:1"]),
        ("a:1,b", ["a:1,b"]),
        ("a:1;b:2", ["a:1", "b:2"]),
        ("a:1!b:2", ["a:1", "b:2"]),
        (" a:1  b:2,", ["a:1", "b:2"]),
        ("w;d=1@a:1", ["w;d=1@a:1"]),
        ("", [""]),
    ],
)
def test_addresses_in_a_list(text: str, wanted: list[str]) -> None:
    assert separated(text) == wanted


def test_a_command_line_that_begins_with_a_flag_or_a_file_means_mine(tmp_path: Path) -> None:
    for arguments in (["-a", "kawpow"], ["--algo", "kawpow"], ["--wallet", "w", "-a", "kawpow"]):
        assert run(*arguments) == run("mine", *arguments)
    file = tmp_path / "rig.toml"
    for arguments in (["-c", file], [file]):
        ran = run(*arguments)
        assert (ran.code, ran.err) == (
            2, f"progpow-miner: {file}: cannot be read: No such file or directory\n",
        )  # fmt: skip


def test_a_pool_flag_of_other_miners_takes_the_user_of_another_flag() -> None:
    ran = run("-a", "kawpow", "--pool", "h:1,g:2", "--wallet", "w", "--backend", "metal")
    assert "'metal' is not one of" in ran.err


@pytest.mark.parametrize(
    ("algorithm", "coin"),
    [("kawpow", "rvn"), ("ravencoin", "RVN"), ("progpow", "sero"), ("progpow", "veil")],
)
def test_an_algorithm_and_a_coin_that_agree(algorithm: str, coin: str) -> None:
    ran = run("-a", algorithm, "--coin", coin, "-o", "h:1", "-u", "w", "--backend", "metal")
    assert "'metal' is not one of" in ran.err


@pytest.mark.parametrize("line", blocks(PAGE, "text"))
def test_the_lines_of_the_page_work(line: str) -> None:
    given = options(*shlex.split(line)[1:])
    pools = [*given.get("pools_url", ()), *given.get("combined", ())]  # type: ignore[misc]
    assert len(pools) == 2 if "-o1" in line else 1
    assert "pool.example:3333" in pools[0]
    users = given.get("pools_user", pools)
    assert "WALLET" in users[0]  # type: ignore[index]
    assert {"variant", "coin"} & given.keys()
    assert "://" not in pools[0] or re.match(r"stratum\+(tcp|ssl|tls)://", pools[0])


def test_the_page_holds_the_table() -> None:
    assert run("config", "other-miners").out == flag_table()
    assert PAGE.read_text(encoding="utf-8").endswith(f"## The flags\n\n{flag_table()}")

"""Each usage mistake ends in one sentence and the documented exit code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import miner.settings.model  # noqa: F401  (lists the backends before a test patches them)
from miner.devices import registry
from tests.cli.running import HEADER, python, run, toy_file

pytestmark = pytest.mark.usefixtures("only_ref")

HASH = ("hash", "-a", "kawpow", "--height", "1", "--header", HEADER, "--nonce", "1")
POOL = ("-o", "stratum+tcp://127.0.0.1:9", "-u", "wallet")
TLS = ("-o", "stratum+tls://127.0.0.1:9", "-u", "wallet")
LONG = "x" * 300
"""Longer than the name of a file can be."""
KERNEL = ("kernel", "-a", "kawpow", "--height", "1")


def with_changes(arguments: tuple[str, ...], **changes: str) -> list[str]:
    """Return `arguments` with the values of some flags changed."""
    changed = list(arguments)
    for flag, value in changes.items():
        changed[changed.index(f"--{flag}") + 1] = value
    return changed


MISTAKES: list[tuple[list[str], int, str]] = [
    (["mine"], 2, "command line: pools: is missing"),
    (["mine", "-a", "kawpow"], 2, "command line: pools: is missing"),
    (
        ["mine", "-a", "kawpow", "-o", "stratum+tcp://h:1"],
        2,
        "pools[1]: needs a user: give user, -u WALLET.worker",
    ),
    (["mine", "-a", "kawpow", "-u", "wallet"], 2, "-u needs a pool: give -o URL too"),
    (["mine", *POOL], 2, 'what to mine is missing: give coin, as in coin = "RVN" or --coin RVN'),
    (["mine", "-a", "firopow", "--coin", "RVN", *POOL], 2, "Ravencoin is mined with kawpow; leave"),
    (["mine", "-a", "clore", "--coin", "RVN", *POOL], 2, "-a clore and --coin RVN contradict each"),
    (
        ["--coin", "RVN", "-o", "h:1", "-u", "YOUR_WALLET.rig1"],
        2,
        "pools[1].user: is still the placeholder YOUR_WALLET; write your own wallet there",
    ),
    (["--coin", "RVN", "-P", "WALLET@h:1"], 2, "url: is still the placeholder WALLET; write your"),
    (["--coin", "RVN", "-o", "h:1", "-u", "<wallet>"], 2, "is still the placeholder <wallet>;"),
    (["mine", "-a", "nope", *POOL], 2, "variant 'nope' is not known"),
    (["mine", "--coin", "NOPE", *POOL], 2, "coin 'NOPE' is not known"),
    (
        ["mine", "-a", "kawpow", *POOL, "-u", "two"],
        2,
        "-u is given 2 times, for one pool",
    ),
    (["mine", "-a", "kawpow", *POOL, "-p", "1", "-p", "2"], 2, "-p is given 2 times"),
    (["demo", "--algo", "nope"], 2, "variant 'nope' is not known"),
    (["pool", "--algo", "nope"], 2, "variant 'nope' is not known"),
    (["mine", "-c", "a", "-c", "b"], 2, "-c is given 2 times: name one settings file"),
    (["config", "check", "-c", "a", "-c", "b"], 2, "-c is given 2 times: name one settings file"),
    (["mine", "-a", "kawpow", "-o", "bogus://h:1", "-u", "w"], 2, "unknown scheme bogus://"),
    (["mine", "--coin", "zano", "-o", "http://h:1", "-u", "w"], 2, "is mined over Stratum only"),
    (["mine", "-a", "kawpow", "-o", "http://h"], 2, "write http://host:port with the node's RPC"),
    (["mine", "-a", "kawpow", *POOL, "--protocol", "kawpwo"], 2, "(did you mean kawpow?)"),
    (["mine", "-a", "kawpow", *POOL, "--protocol", "node"], 2, "write the pool's address as http:"),
    (
        ["mine", "-a", "kawpow", *POOL, "-w", "rig\t1"],
        2,
        "pools[1].worker: contains a tab; remove it",
    ),
    (["mine", "-a", "kawpow", *POOL, "--proxy", "http://tor:1"], 2, "written as socks5://[user:p"),
    (
        ["mine", "-a", "kawpow", *POOL, "--tls-fingerprint", "ab"],
        2,
        "a fingerprint needs TLS",
    ),
    (["mine", "-a", "kawpow", *TLS, "--tls-fingerprint", "ab"], 2, "in 64 hex digits"),
    (["mine", "-a", "kawpow", *POOL, "--cookie-file", "f"], 2, "a cookie file belongs to a node"),
    (
        ["mine", "-c", "rig.toml", "--proxy", "socks5://h:1"],
        2,
        "write proxy under [[pools]] in rig",
    ),
    (["mine", "-a", "kawpow", "-o", "h", "-u", "w"], 2, "pool 'h' has no port"),
    (["mine", "-a", "kawpow", "-o", "h:0", "-u", "w"], 2, "is not a number from 1 to 65535"),
    (["-a", "kawpow", "-o", "h:1:2", "-u", "w"], 2, "pool 'h:1:2' has two colons; write host:port"),
    (
        ["-a", "kawpow", "-o", "stratum+tcp:/h:1", "-u", "w"],
        2,
        "write :// after stratum+tcp, as in stratum+tc",
    ),
    (
        ["-a", "kawpow", "-o", "ssl//h:1", "-u", "w"],
        2,
        "write :// after ssl, as in ssl://host:port",
    ),
    (["-a", "kawpow", "-o", "https://h/rvn"], 2, "or stratum+tcp://host:port for a pool"),
    (["mine", "-a", "kawpow", "-o", "::1:1", "-u", "w"], 2, "needs brackets"),
    (["-a", "ethash", *POOL], 2, "variant 'ethash' is not known; known are"),
    (["mine", "-a", "kawpow", "-P", "h:1"], 2, "needs a user"),
    (["-a", "kawpow", *POOL, "-l", "/"], 2, "/: is a folder; name a file in it for the log"),
    (["-a", "kawpow", *POOL, "--record", "/"], 2, "recording /: the file exists already; name an"),
    (
        ["-a", "kawpow", *POOL, "-d", "9.9", "--record", "/nonexistent/r"],
        2,
        "the folder /nonexistent does not exist; create it",
    ),
    (
        ["-a", "kawpow", *POOL, "--api-token-file", "/nonexistent/t"],
        2,
        "token file /nonexistent/t: c",
    ),
    (["mine", "-a", "kawpow", *POOL, "--shares", "0"], 2, "shares: 0 is too small"),
    (["mine", "-a", "kawpow", *POOL, "--give-up", "nan"], 2, "give_up"),
    (["mine", "-a", "kawpow", *POOL, "--give-up", "soon"], 2, "'soon' is not a number"),
    (["demo", "--shares", "many"], 2, "'many' is not a whole number"),
    (["completion"], 2, "name the shell: bash, zsh or fish"),
    (["completion", "tcsh"], 2, "name the shell: bash, zsh or fish"),
    (
        ["mine", "-a", "kawpow", *POOL, "--backend", "metal"],
        2,
        f"'metal' is not one of auto, {', '.join(registry.BACKENDS)}, cpu",
    ),
    (["mine", "-a", "kawpow", *POOL, "-d", "9.9"], 3, "unknown device '9.9'; found: ref"),
    (["mine", "-a", "kawpow", *POOL, "-d", ","], 2, "devices.use: must not be empty"),
    (["mine", "-a", "kawpow", *POOL, "--backend", "cuda"], 3, "no usable GPU: cuda: "),
    (["mine", "-c", "/nonexistent/rig.toml"], 2, "cannot be read: No such file or directory"),
    (["mine", "-c", "/nonexistent/rig.toml", "-p", "y"], 2, "-p needs a pool: give -o URL too"),
    (["mine", "-a", "kawpow", "-o", "http://h:1", "--cookie-file", "~nobody-here/c"], 2, "unknown"),
    (["mine", "-a", "kawpow", *POOL, "--tls-ca-file", "~nobody-here/c"], 2, "unknown user"),
    (["mine", "-c", "/"], 2, "/: cannot be read: Is a directory"),
    (["pool", "--listen", "0.0.0.0:0"], 2, "listen on 127.0.0.1 instead of '0.0.0.0'"),
    (["pool", "--listen", "[::]:0"], 2, "listen on 127.0.0.1 instead of '::'"),
    (["pool", "--listen", "3333"], 2, "--listen '3333' has no port; write HOST:PORT"),
    (["pool", "--listen", "127.0.0.1:x"], 2, "not a number from 0 to 65535"),
    (["pool", "--listen", "127.0.0.1:65536"], 2, "not a number from 0 to 65535"),
    (["pool", "--difficulty", "0"], 2, "difficulty: 0.0 is not between"),
    (["pool", "--difficulty", "nan"], 2, "difficulty: nan is not between"),
    (["pool", "--block-difficulty", "-1"], 2, "block difficulty: -1.0 is not between"),
    (["pool", "--block-time", "0"], 2, "block time: 0.0 is not a positive number"),
    (["pool", "--height", "-1"], 2, "-1 is too small: it must be 0 or more"),
    (["pool", "--height", "99999999999"], 2, "epoch: "),
    (["pool", "--variant", "nope"], 2, "variant 'nope' is not known"),
    (["demo", "--shares", "0"], 2, "0 is too small: it must be 1 or more"),
    (["demo", "-d", "9.9"], 3, "unknown device '9.9'"),
    (["hash"], 2, "--variant is missing (or give --batch FILE)"),
    (["hash", "-a", "kawpow", "--height", "1", "--nonce", "1"], 2, "--header is missing"),
    (["hash", "--batch", "/nonexistent/batch"], 2, "No such file or directory"),
    (["hash", "-a", "~nobody-here/x.toml", *HASH[3:]], 2, "is not a path"),
    (["hash", "-a", "/nonexistent/x.toml", *HASH[3:]], 2, "cannot be read: No such file"),
    (with_changes(HASH, header="abcd"), 2, "header_hash: needs 32 bytes (64 hex digits), has 2"),
    (with_changes(HASH, header="xyz"), 2, "header_hash: 'xyz' is not hexadecimal"),
    (with_changes(HASH, nonce="xyz"), 2, "nonce: 'xyz' is not 1 to 16 hex digits"),
    (with_changes(HASH, nonce="0" * 17), 2, "is not 1 to 16 hex digits"),
    (with_changes(HASH, height="-1"), 2, "height: -1 is outside 0 to "),
    (with_changes(HASH, height="1.5"), 2, "'1.5' is not a whole number"),
    (with_changes(HASH, height=str(2**63)), 2, "height: 9223372036854775808 is outside"),
    (with_changes(HASH, height="99999999999"), 2, "more dataset items than 32-bit indices"),
    ([*HASH, "--epoch", "-1"], 2, "epoch: -1 is below 0"),
    (with_changes(KERNEL, height="-1"), 2, "height: -1 is outside"),
    ([*KERNEL, "--dialect", "metal"], 2, "dialect: 'metal' is not one of opencl, cuda"),
    ([*KERNEL, "--shape", "cube"], 2, "shape: 'cube' is not one of gpu, "),
    ([*KERNEL, "--shape", "gpu/3"], 2, "shape: 'gpu/3' is not one of gpu, "),
    ([*KERNEL, "--shape", "cpu", "--dialect", "cuda"], 2, "'cpu' needs 16-word vectors, cuda has"),
    ([*KERNEL, "--device", "9.9"], 3, "unknown device '9.9'"),
    ([*KERNEL, "--kernel", "other"], 2, "'other' is not one of search, dataset."),
    (["kernel", "-a", "kawpow"], 2, "Missing option '--height'"),
    (["kernel", "--height", "1"], 2, "Missing option '-a' / '--variant' / '--algo'"),
    (["tune"], 2, "Missing option '-a' / '--variant' / '--algo'"),
    (["bench"], 2, "Missing option '-a' / '--variant' / '--algo'"),
    (["mine", "-c", "/nonexistent/a", "-c", "/nonexistent/a"], 2, "/nonexistent/a: cannot be read"),
    (["selftest", "-a", "nope"], 2, "variant 'nope' is not known"),
    (["selftest", "-d", "9.9"], 3, "unknown device '9.9'"),
    (["bench", "-a", "kawpow", "--height", "-1", "-d", "ref"], 2, "height: -1 is outside"),
    (["bench", "-a", "kawpow", "--seconds", "0"], 2, "0.0 must be at least 1 and at most 3600"),
    (["bench", "-a", "kawpow", "--warm-up", "nan"], 2, "nan is not a number"),
    (["tune", "-a", "kawpow", "--seconds", "nan"], 2, "nan is not a number"),
    (["probe", "h:1", "--seconds", "nan"], 2, "nan is not a number"),
    (["health", "--timeout", "nan"], 2, "nan is not a number"),
    (["health", "--timeout", "0"], 2, "0.0 must be above 0 and at most 600"),
    (["tune", "-a", "kawpow", "-d", "ref"], 2, "ref interprets programs, so it has no launch"),
    (["tune", "-a", "kawpow", "-d", "ref", "--shapes", "cube"], 2, "'cube' is not one of gpu, "),
    (["nosuch"], 2, "No such command 'nosuch'"),
    (["help", "nosuch"], 2, "No such command 'nosuch'"),
    (["hepl"], 2, "No such command 'hepl'. Did you mean 'help'?"),
    (["\u2013coin", "RVN"], 2, "\u2013coin begins with a typographic dash; type it again with -"),
    (["-coin", "RVN", "-pool", "h", "-wallet", "w"], 2, "pool 'h' has no port; write host:port"),
    (["deivces"], 2, "No such command 'deivces'. Did you mean 'devices'?"),
    (["--bogus"], 2, "No such option '--bogus'."),
    (["--poxy", "h"], 2, "No such option '--poxy'. Did you mean '--proxy'?"),
    (
        ["-o", "a:1", "b:2"],
        2,
        "'b:2' is not a flag; give each pool with -o, or separate pools by commas",
    ),
    (["kawpow://w@h:1"], 2, "is not a flag; give each pool with -o"),
    (["mine", "rig"], 2, "'rig' is neither a flag nor a settings file"),
    (["mine", LONG], 2, "is neither a flag nor a settings file"),
    (["mine", f"{LONG}:1"], 2, "is not a flag; give each pool with -o"),
    (["mine", "-c", ""], 2, "the name of the file is empty"),
    (["-a", "kawpow", *POOL, "--record", ""], 2, "command line: record: must not be empty"),
    (["-a", "kawpow", *TLS, "--tls-ca-file", ""], 2, "tls_ca_file: must not be empty"),
    (["-a", "kawpow", "-o", "h:1", "-u", "\udcff"], 2, "user: contains bytes that are not UTF-8"),
    (["health", "--url", "http://a b:1"], 2, "'http://a b:1' must be written as in http://127"),
    (["mine", "-c", "/dev/zero"], 2, "/dev/zero: has more than 4 MiB; name the right file"),
    (["-a", "kawpow", *POOL, "--record", f"{LONG}/r"], 2, "does not exist; create it"),
    (["config", "init", LONG], 2, "cannot be written: File name too long"),
    (["shares", "--file", LONG], 2, "does not exist yet; mining creates it"),
    (["shares", "--file", "/"], 2, "share ledger / is not a file; name the file"),
    (["shares", "--limit", str(10**30)], 2, "must be at least 1 and at most"),
    (["shares", "--best", str(10**30)], 2, "must be at least 1 and at most"),
    (["mine", "-a", "kawpow", " "], 2, "remove the blank at the end of a line, after its \\ or ^"),
    (["-a", "kawpow", *POOL, "\\"], 2, "remove the blank at the end of a line, after its \\ or ^"),
    (["-a", "kawpow", *POOL, "--no-ledger=false"], 2, "cannot be switched off here; leave it out"),
    (["-a", "kawpow", *POOL, "--tls-insecure=maybe"], 2, "'maybe' is neither on nor off"),
    (["-a", "kawpow", "-o", "h:1", "-u", "\u201cw\u201d"], 2, "is in quotes, which would become p"),
    (["-a", "kawpow", *POOL, "-d", "'0,1'"], 2, "devices.use[1]: is in quotes, which would become"),
    (["mine", "-c", "a.toml", "b.toml"], 2, "name one settings file, as FILE or with -c"),
    (["-a", "kawpow", "-o", "a:1,b", "-u", "w"], 2, "url: contains a comma; give each pool"),
    (["-a", "kawpow", "-p", "stratum+tcp://h:1"], 2, "-p is the password; the address of a pool"),
    (
        ["-a", "kawpow", "-p", "h.example:1", "-u", "w"],
        2,
        "-p is the password; the address of a po",
    ),
    (["-a", "kawpow", "--port", "1"], 2, "--port needs a pool: give -o URL too"),
    (["-a", "kawpow", "--server", "-u", "w"], 2, "--server needs a value"),
    (["--coin", "kawpow", *POOL], 2, "(it is a variant: give it as variant, with -a)"),
    (["--coin", "RVNN", *POOL], 2, "coin 'RVNN' is not known (did you mean RVN?)"),
    (["--verison"], 2, "No such option '--verison'. Did you mean '--version'?"),
    (["--walet", "w"], 2, "No such option '--walet'. Did you mean '--wallet'?"),
    (
        ["-algoritm", "kawpow"],
        2,
        "nor a settings file; -a takes what follows it; did you mean --alg",
    ),
    (["-feee", "1"], 2, "No such option '-feee'. Did you mean '--fee'?"),
    (["config", "chekc"], 2, "No such command 'chekc'. Did you mean 'check'?"),
    ([*KERNEL, "--kernel", "serach"], 2, "is not one of search, dataset (did you mean search?)"),
    ([*KERNEL, "--dialect", "opncl"], 2, "is not one of opencl, cuda (did you mean opencl?)"),
    ([*KERNEL, "--shape", "gpu-adm@1"], 2, "(did you mean gpu-amd?)"),
    (["-a", "kawpow", *POOL, "-d", "nvida"], 3, "unknown device 'nvida' (did you mean nvidia?)"),
    (["shares", "--outcome", "acepted"], 2, "(did you mean accepted?)"),
    (["pool", "--protocol", "kawpwo"], 2, "(did you mean kawpow?)"),
    (["-a", "ravecon", *POOL], 2, "variant 'ravecon' is not known (did you mean ravencoin?)"),
]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"), MISTAKES, ids=[" ".join(m[0])[:60] for m in MISTAKES]
)
def test_usage_mistakes(arguments: list[str], code: int, sentence: str) -> None:
    ran = run(*arguments)
    assert ran.code == code
    check_error(ran.err, sentence)
    assert not re.search(r"hash +[0-9a-f]{64}|listening", ran.out)


def check_error(err: str, sentence: str) -> None:
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert sentence in last
    if last.startswith("progpow-miner: "):
        assert err == f"{last}\n", "more than one sentence"
    else:
        assert last.startswith("Error: ")
        assert err.startswith("Usage: progpow-miner")


def test_an_invalid_variant_file(tmp_path: Path) -> None:
    for change in (("registers = 32", "registers = 1"), ("[sizes]", "[size")):
        path = toy_file(tmp_path, change)
        for command in (["selftest"], ["kernel", "--height", "1"], ["mine", *POOL]):
            ran = run(*command, "-a", path)
            assert ran.code == 2
            check_error(ran.err, f"progpow-miner: {path}: ")


def test_a_variant_file_with_wrong_known_answers_is_rejected(tmp_path: Path) -> None:
    path = toy_file(tmp_path, ('"cd39f10c', '"dd39f10c'))
    for command in (["mine", *POOL], ["pool"], ["demo"]):
        ran = run(*command, "-a", path)
        assert ran.code == 2
        check_error(ran.err, "variant 'toy': known_answers[1].final_hash: computed cd39f10c")


def test_an_invalid_settings_file(tmp_path: Path) -> None:
    path = tmp_path / "rig.toml"
    for text, sentence in (
        (b"variant = \n", f"{path}: line 1: is not valid TOML"),
        (b"\xff", f"{path}: is not UTF-8 text"),
        (
            b'varaint = "kawpow"\n',
            f"{path}: line 1: varaint: unknown key (did you mean variant?)",
        ),
        (b'variant = "kawpow"\n[[pools]]\nurl = "h"\nuser = "w"\n', "pool 'h' has no port"),
    ):
        path.write_bytes(text)
        ran = run("mine", "-c", path)
        assert ran.code == 2
        check_error(ran.err, sentence)


def test_a_path_in_an_unknown_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rig.toml"
    path.write_text(
        'variant = "kawpow"\n[[pools]]\nurl = "h:1"\nuser = "w"\npassword_file = "~nobody-here/p"\n'
    )
    check_error(run("mine", "-c", path).err, "password file ~nobody-here/p: unknown user")
    monkeypatch.setenv("PROGPOW_MINER_COOKIE_FILE", "~nobody-here/c")
    ran = run("mine", "-a", "kawpow", "-o", "http://h:1")
    assert ran.code == 2
    check_error(ran.err, "cookie file ~nobody-here/c: unknown user")


def test_messages_contain_no_password() -> None:
    for url in ("stratum+tcp://w:hunter2@h", "bogus://w:hunter2@h:1", "w:hunt/hunter2@h:1"):
        ran = run("mine", "-a", "kawpow", "-o", url, "-u", "w", "-p", "hunter2")
        assert ran.code == 2
        assert "hunter2" not in ran.out + ran.err


def test_messages_contain_no_proxy_password() -> None:
    for proxy in ("http://me:hunter2@tor:1", "socks5://me:hunter2@tor", "socks5://:hunter2@tor:1"):
        ran = run("mine", "-a", "kawpow", *POOL, "--proxy", proxy)
        assert ran.code == 2
        check_error(ran.err, "proxy")
        assert "hunter2" not in ran.out + ran.err


def test_an_unusable_password_file(tmp_path: Path) -> None:
    path, secret = tmp_path / "rig.toml", tmp_path / "pass"
    path.write_text(
        f'variant = "kawpow"\n[[pools]]\nurl = "h:1"\nuser = "w"\npassword_file = "{secret}"\n'
    )
    for data, sentence in (
        (None, "cannot be read: No such file"),
        (b"\n", "its first line is empty"),
        (b"'secret99'\r\n", "its first line is in quotes, which would become part of the value"),
        (b"\xff", "is not UTF-8 text"),
        (b"hunt\x07er2\n", "the password is not up to 256 printable"),
    ):
        if data is not None:
            secret.write_bytes(data)
        ran = run("mine", "-c", path)
        assert ran.code == 2
        check_error(ran.err, sentence)
        assert "er2" not in ran.err


def test_exit_codes_of_the_process() -> None:
    for arguments, code in ((["hash"], 2), (["variants"], 0), (["kernel", "-a", "x.toml"], 2)):
        ran = python("-m", "miner", *arguments)
        assert ran.returncode == code
        assert "Traceback" not in ran.stderr


def test_carriage_returns_of_a_script_edited_on_windows_are_ignored() -> None:
    ran = run(*(f"{argument}\r" for argument in KERNEL), "\r")
    assert ran == run(*KERNEL)
    assert (ran.code, ran.err) == (0, "")


def test_deeply_nested_json_is_not_a_report(tmp_path: Path) -> None:
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    ran = run("bench", "--compare", path, path)
    assert ran.code == 2
    check_error(ran.err, f"{path}: is not JSON")


def test_a_file_that_is_named_like_a_command_does_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("variants", "config"):
        (tmp_path / name).touch()
    assert run("variants").code == 0
    assert run("config", "init", "-").code == 0

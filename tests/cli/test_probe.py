"""The command `probe`, with the test pool."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from miner.progpow.keccak import seed_hash
from tests.cli.running import CHECKOUT, python, run


@contextmanager
def pool(*options: str) -> Iterator[str]:
    command = [sys.executable, "-m", "miner", "pool", "--listen", "127.0.0.1:0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


def test_probe_prints_the_findings() -> None:
    with pool("--difficulty", "1", "--height", "7500") as url:
        ran = run("probe", url)
    assert (ran.code, ran.err) == (0, "")
    rows = [line for line in ran.out.splitlines() if not line.startswith("answer")]
    assert rows == [
        f"pool     {url}",
        "tls      none",
        "speaks   KawPow Stratum (--protocol kawpow)",
        "login    accepted",
        "nonces   extranonce of 2 bytes, 48 bits free",
        "share    difficulty 4.31 GH",
        "block    height 7500, epoch 1 of kawpow",
        "seed     fits",
        'note     no user given: logged in as "probe"',
        "note     no variant given: the epoch is kawpow's",
    ]
    assert "answer   after " in ran.out
    assert seed_hash(1) != seed_hash(0)


def test_probe_detects_the_dialect_and_prints_json() -> None:
    with pool("--protocol", "ethstratum2", "-a", "meowpow") as url:
        ran = run("probe", url, "-u", "wallet.rig1", "-p", "s3cret", "-a", "meowpow", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found["protocol"] == "ethstratum2"
    assert set(found["misfits"]) == {"kawpow", "ethstratum", "ethproxy"}
    assert (found["accepted"], found["variant"], found["notes"]) == (True, "meowpow", [])
    assert found["latency_ms"] > 0
    assert "s3cret" not in ran.out


def test_only_the_named_dialect_is_tried() -> None:
    with pool("--protocol", "ethstratum2") as url:
        ran = run("probe", url, "-u", "wallet", "--protocol", "kawpow")
        assert (ran.code, ran.out) == (4, "")
        assert "no answer in any protocol that was tried (kawpow: " in ran.err
        assert ran.err.count("\n") == 1
        assert run("probe", url, "--coin", "RVN").code == 4
        assert run("probe", url, "--coin", "RVN", "--protocol", "ethstratum2").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http://127.0.0.1:8766",), "is the address of a node"),
        (("127.0.0.1",), "has no port"),
        (("127.0.0.1:1", "--protocol", "morse"), "protocol 'morse' is not known"),
        (("127.0.0.1:1", "-a", "kawpow", "--coin", "RVN"), "give -a or --coin, not both"),
        (("127.0.0.1:1", "--seconds", "0"), "--seconds"),
        (("127.0.0.1:1", "--seconds", "nan"), "--seconds"),
        (("127.0.0.1:1", "--tls-fingerprint", "00" * 32), "is reached without TLS"),
        (("stratum+tls://127.0.0.1:1", "--tls-fingerprint", "00"), "64 hex digits"),
        (("stratum+tls://127.0.0.1:1", "--tls-ca-file", "/nonexistent"), "No such file"),
        (("127.0.0.1:1", "--proxy", "http://127.0.0.1:2"), "written as socks5://"),
    ],
)
def test_invalid_arguments(arguments: tuple[str, ...], message: str) -> None:
    ran = run("probe", *arguments)
    assert ran.code == 2
    assert message in ran.err


def test_a_proxy_is_not_bypassed() -> None:
    with pool() as url:
        ran = run("probe", url, "--proxy", "socks5://me:hunter2@127.0.0.1:1")
    assert (ran.code, ran.out) == (4, "")
    assert "the proxy socks5://127.0.0.1:1 cannot be reached" in ran.err
    assert "hunter2" not in ran.err


def test_no_pool_listens() -> None:
    ran = run("probe", "127.0.0.1:1")
    assert ran.code == 4
    assert ran.err == "progpow-miner: 127.0.0.1, port 1: nothing listens there; check the port\n"


def test_probing_loads_neither_the_composition_root_nor_a_web_framework() -> None:
    ran = python(
        "-c",
        "import sys\n"
        "sys.argv = ['progpow-miner', 'probe', '127.0.0.1:1']\n"
        "from miner.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    print(*sys.modules)\n",
    )
    assert ran.returncode == 4, ran.stderr
    loaded = ran.stdout.split()
    assert "miner.stratum.probing" in loaded
    assert not {"miner.run", "miner.api", "miner.devices.registry", "aiohttp", "pydantic"} & set(
        loaded
    )

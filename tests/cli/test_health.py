"""`progpow-miner health`, against what may answer at its address."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import click
import pytest
from click.testing import CliRunner, Result

from miner.cli import cli
from miner.errors import BadValue, CheckFailed, MinerError


def asked(*arguments: str) -> Result:
    """Run the command; a sentence of ours is in `exception`."""
    return CliRunner().invoke(cli, ["health", *arguments], standalone_mode=False)


def refused(*arguments: str) -> str:
    """Return the sentence of an unsuccessful command."""
    result = asked(*arguments)
    assert isinstance(result.exception, CheckFailed), result
    assert result.exception.exit_code == 1
    return str(result.exception)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request with `answer`; yields the address and what was asked."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        server.settimeout(10)

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(10)
                requests.append(client.recv(4096))
                client.sendall(answer)

        serving = threads.submit(serve)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", requests
        serving.result()


def response(status: int, body: object) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d So\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text


@pytest.mark.parametrize(
    ("flags", "path", "word"), [((), b"/livez", "alive\n"), (("--ready",), b"/readyz", "ready\n")]
)
def test_a_miner_that_is_well(flags: tuple[str, ...], path: bytes, word: str) -> None:
    with answering(response(200, {"ok": True, "reasons": []})) as (url, requests):
        result = asked("--url", url, *flags)
    assert (result.exit_code, result.output) == (0, word)
    assert requests[0].startswith(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1:")


def test_a_miner_that_is_not() -> None:
    body = {"ok": False, "reasons": ["lost a: b", "cuda:0: building \x1b[2Jthe dataset"]}
    with answering(response(503, body)) as (url, _):
        sentence = refused("--url", url, "--ready")
    assert sentence == "the miner is not ready: lost a: b; cuda:0: building [2Jthe dataset"
    with answering(response(503, {"ok": False, "reasons": ["cuda:0: hung: so"]})) as (url, _):
        assert refused("--url", url) == "the miner is not healthy: cuda:0: hung: so"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (response(421, {"error": "not this name"}), "answers /livez with 421: not this name"),
        (response(200, b"<html>"), "with 200: this is not a miner; check --url"),
        (response(200, [1]), "with 200: this is not a miner; check --url"),
        (response(200, {"ok": "yes", "reasons": []}), "this is not a miner; check --url"),
        (response(503, {"ok": False, "reasons": "so"}), "this is not a miner; check --url"),
        (response(200, b"\xff\xfe"), "this is not a miner; check --url"),
        (b"SSH-2.0-other\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{", "this is not a miner; check --url"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "this is not a miner; check"),
    ],
)
def test_something_else_that_answers(answer: bytes, told: str) -> None:
    with answering(answer) as (url, _):
        assert told in refused("--url", url)


def test_nobody_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        silent = refused("--url", f"http://127.0.0.1:{port}", "--timeout", "0.05")
    assert silent == f"no answer from 127.0.0.1 port {port} within 0.05 s"
    sentence = refused("--url", f"http://127.0.0.1:{port}")
    assert sentence.startswith(f"no miner answers at 127.0.0.1 port {port}: Connection refused; ")


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        ("", "127.0.0.1 port 4067"),
        ("off", "127.0.0.1 port 4067"),
        ("0.0.0.0:1", "127.0.0.1 port 1"),
        ("[::]:1", "::1 port 1"),
        ("127.0.0.1:1", "127.0.0.1 port 1"),
    ],
)
def test_it_asks_where_the_environment_has_the_api_listen(
    listen: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(address: tuple[str, int], *rest: object) -> None:
        assert f"{address[0]} port {address[1]}" == where
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setenv("PROGPOW_MINER_API_LISTEN", listen)
    monkeypatch.setattr("socket.create_connection", connect)
    assert refused().startswith(f"no miner answers at {where}: Connection refused; ")


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:4067", "https://a", "http://", "http://a:b", "http://a:99999", "http://["],
)
def test_an_address_that_is_none(url: str) -> None:
    result = asked("--url", url)
    assert isinstance(result.exception, MinerError)
    assert result.exception.exit_code == 2
    assert str(result.exception).startswith("--url: ")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "601"])
def test_a_timeout_that_is_none(seconds: str) -> None:
    error = asked("--timeout", seconds).exception
    assert isinstance(error, (click.BadParameter, BadValue))
    assert error.exit_code == 2


def test_it_needs_none_of_the_libraries_that_take_long_to_load() -> None:
    import subprocess

    script = (
        "import sys; import miner.cli.health; "
        "print([m for m in ('aiohttp', 'numpy', 'numba', 'pydantic') if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert loaded.stdout == "[]\n"

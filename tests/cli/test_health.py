"""The command `health`, with healthy, unhealthy and other servers."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from miner.cli import cli
from miner.errors import BadValue, CheckFailed, MinerError
from tests.harness.child import captured


def run_health(*arguments: str) -> Result:
    """Run the command; the result contains its exception."""
    return CliRunner().invoke(cli, ["health", *arguments], standalone_mode=False)


def failure(*arguments: str) -> str:
    """Return the message of a failed check."""
    result = run_health(*arguments)
    assert isinstance(result.exception, CheckFailed), result
    assert result.exception.exit_code == 1
    return str(result.exception)


@contextmanager
def serving(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Answer one request with `answer`; yield the URL and the received requests."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:
        server.settimeout(10)

        def serve() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(10)
                requests.append(client.recv(4096))
                client.sendall(answer)

        done = threads.submit(serve)
        yield f"http://127.0.0.1:{server.getsockname()[1]}", requests
        done.result()


def response(status: int, body: object) -> bytes:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return b"HTTP/1.1 %d So\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text


@pytest.mark.parametrize(
    ("flags", "path", "word"), [((), b"/livez", "alive\n"), (("--ready",), b"/readyz", "ready\n")]
)
def test_a_healthy_miner(flags: tuple[str, ...], path: bytes, word: str) -> None:
    with serving(response(200, {"ok": True, "reasons": []})) as (url, requests):
        result = run_health("--url", url, *flags)
    assert (result.exit_code, result.output) == (0, word)
    assert requests[0].startswith(b"GET " + path + b" HTTP/1.1\r\nHost: 127.0.0.1:")


def test_the_answer_as_json() -> None:
    for status, body, code in (
        (200, {"ok": True, "reasons": []}, 0),
        (503, {"ok": False, "reasons": ["no job"]}, 1),
    ):
        with serving(response(status, body)) as (url, _):
            result = run_health("--url", url, "--ready", "--json")
        assert (result.return_value or 0) == code, "the exit code of the process"
        assert json.loads(result.output) == {**body, "checked": "readyz"}


def test_an_unhealthy_miner() -> None:
    body = {"ok": False, "reasons": ["lost a: b", "cuda:0: building \x1b[2Jthe dataset"]}
    with serving(response(503, body)) as (url, _):
        sentence = failure("--url", url, "--ready")
    assert sentence == "the miner is not ready: lost a: b; cuda:0: building [2Jthe dataset"
    with serving(response(503, {"ok": False, "reasons": ["cuda:0: hung: so"]})) as (url, _):
        assert failure("--url", url) == "the miner is not healthy: cuda:0: hung: so"


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (response(421, {"error": "not this name"}), "answers /livez with 421: not this name"),
        (response(200, b"<html>"), "with 200: this is not a miner; check --url"),
        (response(200, [1]), "with 200: this is not a miner; check --url"),
        (response(200, {"ok": "yes", "reasons": []}), "this is not a miner; check --url"),
        (response(503, {"ok": False, "reasons": "so"}), "this is not a miner; check --url"),
        (response(200, b"[" * 60_000), "this is not a miner; check --url"),
        (response(200, b"\xff\xfe"), "this is not a miner; check --url"),
        (b"SSH-2.0-other\r\n", "does not speak HTTP"),
        (b"", "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{", "this is not a miner; check --url"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "this is not a miner; check"),
    ],
)
def test_a_server_that_is_not_a_miner(answer: bytes, message: str) -> None:
    with serving(answer) as (url, _):
        assert message in failure("--url", url)


def test_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        silent = failure("--url", f"http://127.0.0.1:{port}", "--timeout", "0.05")
    assert silent == f"no answer from 127.0.0.1 port {port} within 0.05 s"
    sentence = failure("--url", f"http://127.0.0.1:{port}")
    assert sentence.startswith(f"no miner answers at 127.0.0.1 port {port}: Connection refused; ")


@pytest.mark.parametrize(
    ("listen", "where"),
    [
        ("", "127.0.0.1 port 4067"),
        ("0.0.0.0:1", "127.0.0.1 port 1"),
        ("[::]:1", "::1 port 1"),
        ("127.0.0.1:1", "127.0.0.1 port 1"),
        (" 127.0.0.1:1 \r", "127.0.0.1 port 1"),
    ],
)
def test_the_default_address_is_from_the_environment(
    listen: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(address: tuple[str, int], *rest: object) -> None:
        assert f"{address[0]} port {address[1]}" == where
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setenv("PROGPOW_MINER_API_LISTEN", listen)
    monkeypatch.setattr("socket.create_connection", connect)
    assert failure().startswith(f"no miner answers at {where}: Connection refused; ")


def test_the_address_that_the_run_wrote_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "address"
    monkeypatch.setenv("PROGPOW_MINER_API_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("PROGPOW_MINER_API_ADDRESS_FILE", f"{file}\r")
    assert "127.0.0.1 port 1:" in failure(), "no run has written it yet"
    with serving(response(200, {"ok": True, "reasons": []})) as (url, _):
        file.write_text(f"0.0.0.0:{url.rpartition(':')[2]}\n", encoding="utf-8")
        assert run_health().output == "alive\n"


def test_the_address_in_the_settings_file_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "rig.toml"
    monkeypatch.setenv("PROGPOW_MINER_CONFIG", str(file))
    monkeypatch.setattr("miner.cli.health.DEFAULT_URL", "http://127.0.0.1:9")
    for text in ("api", "api = 1", "[api]\nlisten = 1", "coin = 'RVN'"):
        file.write_text(text, encoding="utf-8")
        assert "127.0.0.1 port 9:" in failure()
    file.write_text("[api]\nlisten = '0.0.0.0:1'", encoding="utf-8")
    assert "127.0.0.1 port 1:" in failure()
    file.write_text("[api]\nlisten = ''", encoding="utf-8")
    assert run_health().output == "the API is off, so nothing is checked\n"


@pytest.mark.parametrize("name", ["PROGPOW_MINER_API_ADDRESS_FILE", "PROGPOW_MINER_API_LISTEN"])
def test_a_miner_without_an_api_is_not_reported_as_unhealthy(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "address"
    file.write_text("off\n", encoding="utf-8")
    monkeypatch.setattr("miner.cli.health.DEFAULT_URL", "http://127.0.0.1:9")  # 4067 may be in use
    monkeypatch.setenv(name, str(file) if name.endswith("FILE") else "off")
    result = run_health()
    assert (result.exit_code, result.output) == (0, "the API is off, so nothing is checked\n")
    as_json = run_health("--json")
    assert as_json.exit_code == 0
    assert json.loads(as_json.output) == {"ok": True, "checked": None, "reasons": []}
    assert "no miner answers" in failure("--ready")


@pytest.mark.parametrize(
    "url",
    ["", "127.0.0.1:4067", "https://a", "http://", "http://a:b", "http://a:99999", "http://["],
)
def test_invalid_urls(url: str) -> None:
    result = run_health("--url", url)
    assert isinstance(result.exception, MinerError)
    assert result.exception.exit_code == 2
    assert str(result.exception).startswith("--url: ")


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon", "601"])
def test_invalid_timeouts(seconds: str) -> None:
    error = run_health("--timeout", seconds).exception
    assert isinstance(error, (click.BadParameter, BadValue))
    assert error.exit_code == 2


def test_health_imports_no_slow_libraries() -> None:

    script = (
        "import sys; import miner.cli.health; "
        "print([m for m in ('aiohttp', 'numpy', 'numba', 'pydantic') if m in sys.modules])"
    )
    loaded = captured([sys.executable, "-c", script], check=True)
    assert loaded.stdout == "[]\n"

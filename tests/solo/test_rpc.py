from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from miner.errors import ConnectionLost, PoolRefused, ProtocolError
from miner.net.address import Transport
from miner.net.tls import fingerprint
from miner.work import Outcome
from tests.fakes.node import LOGIN, Cut, PprpcNode, Raw, serving
from tests.net.serving import server_context
from tests.net.test_socks import Socks, proxied
from tests.solo.bench import mining, running, solved


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_https_with_a_private_authority(authority: trustme.CA, ca_file: str) -> None:
    async with (
        serving(PprpcNode(), server_context(authority)) as node,
        running(node, "pprpc", transport=Transport.HTTPS, ca_file=ca_file) as bench,
    ):
        job = await bench.job()
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


async def test_a_ca_file_that_cannot_be_read_later_is_retried(ca_file: str) -> None:
    Path(ca_file).unlink()
    url = {"transport": Transport.HTTPS, "ca_file": ca_file}
    async with serving(PprpcNode()) as node, running(node, "pprpc", **url) as bench:
        assert f"CA file {ca_file}: No such file" in await bench.fails(ConnectionLost)


async def test_https_refuses_an_unknown_authority(authority: trustme.CA) -> None:
    async with (
        serving(PprpcNode(), server_context(authority)) as node,
        running(node, "pprpc", transport=Transport.HTTPS) as bench,
    ):
        error = await bench.fails(PoolRefused)
        assert error.startswith(f"127.0.0.1, port {node.port}: the certificate is not trusted")
        assert node.requests == []


async def test_https_to_a_plain_port_is_reported() -> None:
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", transport=Transport.HTTPS) as bench,
    ):
        assert "http://" in await bench.fails(ConnectionLost)


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_only_the_pinned_certificate_is_accepted(
    authority: trustme.CA, through_proxy: bool
) -> None:
    issued = authority.issue_cert("other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issued.configure_cert(context)
    pem = issued.cert_chain_pems[0].bytes().decode("ascii")
    pinned = fingerprint(ssl.PEM_cert_to_DER_cert(pem))
    async with serving(PprpcNode(), context) as node, proxied(Socks()) as address:
        proxy = address if through_proxy else None
        values = {"transport": Transport.HTTPS, "proxy": proxy}
        async with running(node, "pprpc", tls_fingerprint=pinned, **values) as bench:
            await bench.job()
        node.requests.clear()
        async with running(node, "pprpc", tls_fingerprint="ab" * 32, **values) as bench:
            assert pinned in await bench.fails(PoolRefused)
        assert node.requests == []


async def test_the_proxy_resolves_the_name() -> None:
    socks = Socks(login=("me", "hunter2"), names={"node.invalid": "127.0.0.1"})
    async with serving(PprpcNode()) as node, proxied(socks) as proxy:
        async with running(node, "pprpc", host="node.invalid", proxy=proxy) as bench:
            job = await bench.job()
            assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        assert set(socks.asked) == {("node.invalid", node.port)}


async def test_https_through_a_proxy_checks_the_name_of_the_node(
    authority: trustme.CA, ca_file: str
) -> None:
    socks = Socks(names={"node.invalid": "127.0.0.1", "other.invalid": "127.0.0.1"})
    context = server_context(authority, "node.invalid")
    async with serving(PprpcNode(), context) as node, proxied(socks) as proxy:
        values = {"proxy": proxy, "transport": Transport.HTTPS, "ca_file": ca_file}
        async with running(node, "pprpc", host="node.invalid", **values) as bench:
            await bench.job()
        async with running(node, "pprpc", host="other.invalid", **values) as bench:
            assert "for another host" in await bench.fails(PoolRefused)


@pytest.mark.parametrize(
    ("socks", "reason"),
    [
        (Socks(code=5), "connection refused by destination host"),
        (Socks(login=("me", "hunter2")), "no acceptable authentication methods"),
        (Socks(bound=b"\x03\x01\xff\x00\x00"), "its answer is not SOCKS5"),
        (Socks(bound=b"\x01\x00"), "connection closed unexpectedly"),
    ],
)
async def test_a_proxy_failure_is_explained(socks: Socks, reason: str) -> None:
    async with serving(PprpcNode()) as node, proxied(socks) as address:
        proxy = address.replace("me:hunter2@", "")
        async with running(node, "pprpc", proxy=proxy) as bench:
            error = await bench.fails(ConnectionLost)
        assert f"could not connect to 127.0.0.1, port {node.port}: {reason}" in error
        assert node.requests == []


async def test_an_unreachable_proxy_is_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        proxy = f"socks5://127.0.0.1:{held.getsockname()[1]}"
        async with serving(PprpcNode()) as node, running(node, "pprpc", proxy=proxy) as bench:
            error = await bench.fails(ConnectionLost)
    assert f"the proxy {proxy} cannot be reached" in error


async def test_the_path_of_the_url_is_requested() -> None:
    async with mining(PprpcNode(), path="/wallet/a") as (node, _, _):
        assert {request.path for request in node.requests} == {"/wallet/a"}
        assert node.requests[0].headers["User-Agent"] == "progpow-miner/0"


async def test_an_unknown_name_is_reported() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc", host="node.invalid") as bench:
        assert "cannot be resolved" in await bench.fails(ConnectionLost)


async def test_refused_credentials_end_the_session_without_showing_them() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc", password="wr0ng") as bench:
        error = await bench.fails(PoolRefused)
        assert "check user and password" in error
        assert "wr0ng" not in error
        assert LOGIN[0] not in error


async def test_refused_access_mentions_rpcallowip() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", Raw(403, b""))
        async with running(node, "pprpc") as bench:
            assert "rpcallowip=" in await bench.fails(PoolRefused)


async def test_the_cookie_file_is_read_for_each_request(tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00ff\n")
    async with (
        serving(PprpcNode(login=("__cookie__", "00ff"))) as node,
        running(node, "pprpc", cookie_file=str(cookie), user="", password="x") as bench,
    ):
        job = await bench.job()
        node.login = ("__cookie__", "11ee")
        cookie.write_text("__cookie__:11ee")
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


async def test_a_missing_cookie_file_is_retried(tmp_path: Path) -> None:
    missing = tmp_path / ".cookie"
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", cookie_file=str(missing)) as bench,
    ):
        assert str(missing) in await bench.fails(ConnectionLost)
        assert node.calls == []


async def test_an_empty_cookie_file_is_retried(tmp_path: Path) -> None:
    (tmp_path / ".cookie").write_text("")
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", cookie_file=str(tmp_path / ".cookie")) as bench,
    ):
        assert "is empty" in await bench.fails(ConnectionLost)


async def test_a_cookie_changed_during_the_request_is_retried(tmp_path: Path) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00ff")

    class Restarting(PprpcNode):
        async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
            cookie.write_text("__cookie__:11ee")
            return await super().answer(request)

    async with (
        serving(Restarting(login=("__cookie__", "11ee"))) as node,
        running(node, "pprpc", cookie_file=str(cookie)) as bench,
    ):
        assert "new cookie" in await bench.fails(ConnectionLost)


async def test_a_file_other_than_a_cookie_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wallet.dat"
    file.write_bytes(b"\xff\xfe no text")
    async with serving(PprpcNode()) as node, running(node, "pprpc", cookie_file=str(file)) as bench:
        assert isinstance(await bench.end(), PoolRefused)


async def test_a_closed_port_is_reported() -> None:
    async with serving(PprpcNode()) as node:
        pass
    async with running(node, "pprpc") as bench:
        error = await bench.fails(ConnectionLost)
        assert f"port {node.port}: nothing listens there; check" in error


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Cut(), ConnectionLost),
        (Raw(503, b"overloaded"), ConnectionLost),
        (Raw(502, b"\n<!DOCTYPE html><html>"), ConnectionLost),
        (Raw(200, b"<html>"), ProtocolError),
        (Raw(200, b"[1]"), ProtocolError),
        (Raw(200, b"[" * 100_000), ProtocolError),
        (Raw(302, b""), ProtocolError),
    ],
    ids=str,
)
async def test_an_unusable_answer_ends_the_session(fault: Exception, kind: type[Exception]) -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", fault)
        async with running(node, "pprpc") as bench:
            error = await bench.fails(kind)
            assert "DOCTYPE" not in error, "the page of a proxy"


@pytest.mark.parametrize("error", [None, [], {}, False, 0, ""], ids=repr)
async def test_an_empty_error_is_none(error: Any) -> None:
    async with serving(PprpcNode()) as node:
        body = {"result": node.template(), "error": error, "id": 1}
        node.fails("getblocktemplate", Raw(200, json.dumps(body).encode()))
        async with running(node, "pprpc") as bench:
            await bench.job()
            assert bench.messages == []


@pytest.mark.parametrize("encoding", ["gbk", "cp1251", "utf-8-sig"])
async def test_errors_are_read_in_any_encoding(encoding: str) -> None:
    text = {"cp1251": "нет связи"}.get(encoding, "没有连接")
    body = f'{{"result":null,"error":{{"code":-9,"message":"{text}\t"}},"id":1}}'
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", Raw(500, body.encode(encoding)))
        async with running(node, "pprpc") as bench:
            await bench.job(step=0.5)
            (message,) = bench.messages
            assert "no connection to other nodes" in message


async def test_a_request_times_out() -> None:
    node = PprpcNode()

    async def never(params: list[Any]) -> None:
        await node.until_changed()

    node.rpc_getblocktemplate = never  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.until(lambda: node.calls)
        assert "getblocktemplate within 30 s" in await bench.fails(ConnectionLost, step=10)

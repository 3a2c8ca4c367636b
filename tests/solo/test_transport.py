from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest
import trustme

from miner.errors import ConnectionLost, PoolRefused
from miner.net.pool_url import Transport
from miner.net.tls import fingerprint
from miner.work import Outcome
from tests.fakes.node import PprpcNode, serving
from tests.net.test_socks import Socks, proxied
from tests.pool.serving import server_context
from tests.solo.bench import running, solved


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_https_with_an_authority_of_ones_own(authority: trustme.CA, ca_file: str) -> None:
    async with (
        serving(PprpcNode(), server_context(authority)) as node,
        running(node, "pprpc", transport=Transport.HTTPS, ca_file=ca_file) as bench,
    ):
        job = await bench.job()
        assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")


async def test_https_refuses_an_unknown_authority(authority: trustme.CA) -> None:
    async with (
        serving(PprpcNode(), server_context(authority)) as node,
        running(node, "pprpc", transport=Transport.HTTPS) as bench,
    ):
        error = await bench.end()
        assert isinstance(error, PoolRefused)
        assert str(error).startswith(f"127.0.0.1, port {node.port}: its certificate is not trusted")
        assert node.requests == []


async def test_https_to_a_port_without_it() -> None:
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", transport=Transport.HTTPS) as bench,
    ):
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert "http://" in str(error)


@pytest.mark.parametrize("through_proxy", [False, True])
async def test_a_pinned_certificate(authority: trustme.CA, through_proxy: bool) -> None:
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
            error = await bench.end()
            assert isinstance(error, PoolRefused)
            assert pinned in str(error)
        assert node.requests == []


async def test_a_proxy_that_looks_up_the_name() -> None:
    socks = Socks(login=("me", "hunter2"), names={"node.invalid": "127.0.0.1"})
    async with serving(PprpcNode()) as node, proxied(socks) as proxy:
        async with running(node, "pprpc", host="node.invalid", proxy=proxy) as bench:
            job = await bench.job()
            assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")
        assert set(socks.asked) == {("node.invalid", node.port)}


async def test_https_through_a_proxy_checks_the_nodes_own_name(
    authority: trustme.CA, ca_file: str
) -> None:
    socks = Socks(names={"node.invalid": "127.0.0.1", "other.invalid": "127.0.0.1"})
    context = server_context(authority, "node.invalid")
    async with serving(PprpcNode(), context) as node, proxied(socks) as proxy:
        values = {"proxy": proxy, "transport": Transport.HTTPS, "ca_file": ca_file}
        async with running(node, "pprpc", host="node.invalid", **values) as bench:
            await bench.job()
        async with running(node, "pprpc", host="other.invalid", **values) as bench:
            error = await bench.end()
            assert isinstance(error, PoolRefused)
            assert "for another host" in str(error)


@pytest.mark.parametrize(
    ("socks", "reason"),
    [
        (Socks(code=5), "connection refused by destination host"),
        (Socks(login=("me", "hunter2")), "no acceptable authentication methods"),
        (Socks(bound=b"\x03\x01\xff\x00\x00"), "its answer is no SOCKS5"),
        (Socks(bound=b"\x01\x00"), "connection closed unexpectedly"),
    ],
)
async def test_a_proxy_failure_is_explained(socks: Socks, reason: str) -> None:
    async with serving(PprpcNode()) as node, proxied(socks) as address:
        proxy = address.replace("me:hunter2@", "")
        async with running(node, "pprpc", proxy=proxy) as bench:
            error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert f"opened no way to 127.0.0.1, port {node.port}: {reason}" in str(error)
        assert node.requests == []


async def test_an_unreachable_proxy_is_named() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        proxy = f"socks5://127.0.0.1:{held.getsockname()[1]}"
        async with serving(PprpcNode()) as node, running(node, "pprpc", proxy=proxy) as bench:
            error = await bench.end()
    assert isinstance(error, ConnectionLost)
    assert f"the proxy {proxy} cannot be reached" in str(error)


async def test_a_path_is_part_of_the_address() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc", path="/wallet/a") as bench:
        await bench.job()
        assert {request.path for request in node.requests} == {"/wallet/a"}
        assert node.requests[0].headers["User-Agent"] == "progpow-miner/0"


async def test_a_name_that_does_not_exist() -> None:
    async with (
        serving(PprpcNode()) as node,
        running(node, "pprpc", host="node.invalid") as bench,
    ):
        error = await bench.end()
        assert isinstance(error, ConnectionLost)
        assert "cannot be resolved" in str(error)

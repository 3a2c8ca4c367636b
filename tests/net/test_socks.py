"""SOCKS5 proxies."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import trustme

from miner.errors import ConfigError, ConnectionLost, PoolRefused
from miner.net.address import Transport
from miner.net.dial import NetworkDial
from miner.net.socks import parse_proxy
from tests.net.serving import exchanged, server_context, serving, url


@dataclass
class Socks:
    """A SOCKS5 proxy, with or without a login: the part of RFC 1928 and 1929 that clients use."""

    login: tuple[str, str] | None = None
    code: int = 0
    """Reply to a request to connect."""
    bound: bytes = b"\x01\x00\x00\x00\x00\x00\x00"
    """Type, address and port in the reply."""
    names: dict[str, str] = field(default_factory=dict)
    """Addresses of host names."""
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        assert version == 5
        offered = await reader.readexactly(count)
        method = 2 if self.login else 0
        writer.write(bytes([5, method if method in offered else 255]))
        if method not in offered or (method == 2 and not await self._admit(reader, writer)):
            await writer.drain()
            return
        assert await reader.readexactly(3) == b"\x05\x01\x00"
        host, port = await self._address(reader)
        self.asked.append((host, port))
        writer.write(bytes([5, self.code, 0]) + self.bound)
        await writer.drain()
        if self.code or len(self.bound) != 7:
            return
        onward = await asyncio.open_connection(self.names.get(host, host), port)
        async with asyncio.TaskGroup() as group:
            group.create_task(passed_on(reader, onward[1]))
            group.create_task(passed_on(onward[0], writer))
        onward[1].transport.abort()

    async def _admit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        assert await reader.readexactly(1) == b"\x01"
        given = []
        for _ in range(2):
            (length,) = await reader.readexactly(1)
            given.append((await reader.readexactly(length)).decode("ascii"))
        good = tuple(given) == self.login
        writer.write(bytes([1, 0 if good else 1]))
        return good

    async def _address(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        (kind,) = await reader.readexactly(1)
        if kind == 3:
            (length,) = await reader.readexactly(1)
            host = (await reader.readexactly(length)).decode("ascii")
        else:
            family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
            host = socket.inet_ntop(family, await reader.readexactly(size))
        return host, int.from_bytes(await reader.readexactly(2), "big")


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
    except OSError:
        writer.transport.abort()


@asynccontextmanager
async def proxied(socks: Socks) -> AsyncIterator[str]:
    async with serving(socks.serve) as port:
        login = ":".join(socks.login) + "@" if socks.login else ""
        yield f"socks5://{login}127.0.0.1:{port}"


async def test_the_proxy_resolves_the_host_name() -> None:
    socks = Socks(names={"pool.invalid": "127.0.0.1"})
    async with serving() as port, proxied(socks) as proxy:
        to = replace(url(port, host="pool.invalid"), proxy=proxy)
        assert await exchanged(NetworkDial(), to) == b"hello\n"
    assert socks.asked == [("pool.invalid", port)]


async def test_user_and_password() -> None:
    socks = Socks(login=("me", "hunter2"))
    async with serving() as port, proxied(socks) as proxy:
        assert await exchanged(NetworkDial(), replace(url(port), proxy=proxy)) == b"hello\n"
        encoded = proxy.replace("hunter2", "h%75nter2").replace("socks5", "SOCKS5H")
        assert await exchanged(NetworkDial(), replace(url(port), proxy=encoded)) == b"hello\n"
    assert socks.asked == [("127.0.0.1", port)] * 2


async def test_tls_is_between_miner_and_pool(tmp_path: Path) -> None:
    authority = trustme.CA()
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    context = server_context(authority, "pool.invalid")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    socks = Socks(names={"pool.invalid": "127.0.0.1", "other.invalid": "127.0.0.1"})
    async with serving(tls=context) as port, proxied(socks) as proxy:
        to = replace(url(port, Transport.TLS, "pool.invalid", ca_file), proxy=proxy)
        assert await exchanged(NetworkDial(), to) == b"hello\n"
        assert names == ["pool.invalid"]
        with pytest.raises(PoolRefused, match="for another host"):
            await NetworkDial().open(replace(to, host="other.invalid"))
        with pytest.raises(PoolRefused, match="has the fingerprint"):
            await NetworkDial().open(replace(to, tls_fingerprint="ab" * 32))


@pytest.mark.parametrize(
    ("socks", "reason"),
    [
        (Socks(code=5), "connection refused by destination host"),
        (Socks(code=4), "host unreachable"),
        (Socks(code=2), "connection not allowed by ruleset"),
        (Socks(code=99), "invalid reply code"),
        (Socks(login=("me", "hunter2")), "no acceptable authentication methods"),
        (Socks(bound=b"\x09\x00"), "invalid address type"),
        (Socks(bound=b"\x03\x01\xff\x00\x00"), "its answer is not SOCKS5"),
        (Socks(bound=b"\x01\x00"), "connection closed unexpectedly"),
    ],
)
async def test_the_error_contains_the_reason_of_the_proxy(socks: Socks, reason: str) -> None:
    async with proxied(socks) as proxy:
        to = replace(url(3333), proxy=proxy.replace("me:hunter2@", ""))
        with pytest.raises(
            ConnectionLost, match=rf"could not connect to .* port 3333: {reason}.*; check"
        ):
            await NetworkDial().open(to)


async def test_the_error_for_a_wrong_password_does_not_contain_it() -> None:
    async with proxied(Socks(login=("me", "right"))) as proxy:
        to = replace(url(3333), proxy=proxy.replace("right", "hunter2"))
        with pytest.raises(ConnectionLost, match="password authentication failure") as caught:
            await NetworkDial().open(to)
    assert "hunter2" not in f"{caught.value}{caught.value.__cause__}{to!r}"
    assert proxy.replace("me:right@", "") in str(caught.value)


async def test_an_unreachable_proxy() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        at = f"socks5://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(ConnectionLost, match=f"the proxy {at} cannot be reached; check"):
            await NetworkDial().open(replace(url(3333), proxy=at))


async def test_a_silent_proxy() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with serving(silent) as port:
        to = replace(url(3333), proxy=f"socks5://127.0.0.1:{port}")
        with pytest.raises(ConnectionLost, match=rf"proxy socks5://.*:{port}: no answer within"):
            await NetworkDial(limit=0.05).open(to)


async def test_an_invalid_host_name_is_not_sent_to_the_proxy() -> None:
    async with proxied(socks := Socks()) as proxy:
        with pytest.raises(PoolRefused, match="not a valid host name"):
            await NetworkDial().open(replace(url(1, host="a..b"), proxy=proxy))
    assert socks.asked == []


def test_parsing_a_proxy() -> None:
    got = parse_proxy("socks5://me%40home:a%3Ab@[2001:DB8::1]:1080/")
    assert (got.host, got.port, got.user, got.password) == ("2001:db8::1", 1080, "me@home", "a:b")
    assert got.label == "socks5://[2001:db8::1]:1080"
    assert "a:b" not in repr(got)
    assert parse_proxy("socks5h://tor:9050") == parse_proxy("SOCKS5://tor:9050")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "written as socks5://"),
        ("tor:9050", "written as socks5://"),
        ("http://me:hunter2@tor:9050", "written as socks5://"),
        ("socks4://tor:9050", "written as socks5://"),
        ("socks5://tor", "has no port; write socks5://host:port"),
        ("socks5://tor:0", "proxy tor: the port is not a number"),
        ("socks5://::1:1080", "proxy: an IPv6 address needs brackets"),
        ("socks5://me@tor:1", "user and password are both needed"),
        ("socks5://:hunter2@tor:1", "user and password are both needed"),
        ("socks5://me:hunter2%0A@tor:1", "user and password are both needed"),
        (f"socks5://me:{'hunter2' * 40}@tor:1", "user and password are both needed"),
    ],
)
def test_the_error_for_an_invalid_proxy_says_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as caught:
        parse_proxy(text)
    assert "hunter2" not in str(caught.value)

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from miner.errors import ConfigError, ConnectionLost, PoolRefused
from miner.pool.dial import NetworkDial, tls_context
from miner.pool.url import PoolUrl, Transport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(100):
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def serving(serve: Serve = echo, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    done: list[asyncio.Event] = []

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        done.append(asyncio.Event())
        finished = done[-1]
        try:
            await serve(reader, writer)
        except OSError:
            pass
        finally:
            writer.transport.abort()
            finished.set()

    server = await asyncio.start_server(attend, "127.0.0.1", 0, ssl=tls)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for event in done:
        await event.wait()


def url(
    port: int,
    transport: Transport = Transport.TCP,
    host: str = "127.0.0.1",
    ca_file: Path | None = None,
) -> PoolUrl:
    return PoolUrl(host, port, "user", "x", transport, ca_file=str(ca_file) if ca_file else None)


async def exchanged(dial: NetworkDial, to: PoolUrl) -> bytes:
    stream = await dial.open(to)
    try:
        stream.write(b"hello\n")
        await stream.drain()
        return await stream.read(100)
    finally:
        await stream.close()


async def test_tcp() -> None:
    async with serving() as port:
        assert await exchanged(NetworkDial(), url(port)) == b"hello\n"


async def test_small_lines_go_at_once_and_a_dead_peer_is_noticed() -> None:
    async with serving() as port:
        stream = await NetworkDial().open(url(port))
        found = stream._writer.get_extra_info("socket")  # type: ignore[attr-defined]
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await stream.close()


async def test_tls_with_an_authority_of_ones_own(authority: trustme.CA, ca_file: Path) -> None:
    async with serving(tls=server_context(authority)) as port:
        to = url(port, Transport.TLS, ca_file=ca_file)
        assert await exchanged(NetworkDial(), to) == b"hello\n"


async def test_tls_sends_the_name_and_checks_it(authority: trustme.CA, ca_file: Path) -> None:
    context = server_context(authority, "localhost")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with serving(tls=context) as port:
        to = url(port, Transport.TLS, "localhost", ca_file=ca_file)
        assert await exchanged(NetworkDial(), to) == b"hello\n"
        assert names == ["localhost"]
        with pytest.raises(PoolRefused, match="not trusted"):
            await NetworkDial().open(url(port, Transport.TLS, ca_file=ca_file))


async def test_tls_refuses_an_unknown_authority_and_says_what_to_do(
    authority: trustme.CA,
) -> None:
    async with serving(tls=server_context(authority)) as port:
        with pytest.raises(PoolRefused, match="CA file, or switch verification off"):
            await NetworkDial().open(url(port, Transport.TLS))


async def test_tls_insecure_trusts_everybody(authority: trustme.CA) -> None:
    async with serving(tls=server_context(authority, "other.example")) as port:
        to = replace(url(port, Transport.TLS), tls_insecure=True)
        assert await exchanged(NetworkDial(), to) == b"hello\n"


@pytest.mark.parametrize(
    ("transport", "version"), [(Transport.TLS, "TLSv1.3"), (Transport.TLS12, "TLSv1.2")]
)
async def test_tls12_is_nothing_newer(
    authority: trustme.CA, ca_file: Path, transport: Transport, version: str
) -> None:
    async with serving(tls=server_context(authority)) as port:
        stream = await NetworkDial().open(url(port, transport, ca_file=ca_file))
        found = stream._writer.get_extra_info("ssl_object")  # type: ignore[attr-defined]
        assert found.version() == version
        await stream.close()


async def test_tls_to_a_port_without_it_says_so(ca_file: Path) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"id":null,"method":"client.show_message","params":["hello"]}\n' * 9)
        await reader.read(100)

    async with serving(plain) as port:
        with pytest.raises(ConnectionLost, match=r"stratum\+tcp"):
            await NetworkDial().open(url(port, Transport.TLS, ca_file=ca_file))


async def test_nothing_listens() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionLost, match="nothing listens there; check the port"):
            await NetworkDial().open(url(held.getsockname()[1]))


async def test_no_answer_within_the_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with serving(silent) as port:
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.05 s"):
            await NetworkDial(limit=0.05).open(url(port, Transport.TLS))


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example"])
async def test_a_name_that_no_host_can_have(host: str) -> None:
    with pytest.raises(PoolRefused, match="no usable host name"):
        await NetworkDial().open(url(1, host=host))


async def test_a_name_that_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ConnectionLost, match="cannot be resolved; check its spelling"):
        await NetworkDial().open(url(1, host="pool.invalid"))


async def test_a_reset_is_a_lost_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        found = writer.get_extra_info("socket")
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async with serving(reset) as port:
        stream = await NetworkDial().open(url(port))
        stream.write(b"x")
        with pytest.raises(ConnectionLost, match="the connection broke"):
            await stream.read(1)
        await stream.close()


async def test_the_other_side_closes() -> None:
    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()

    async with serving(leave) as port:
        stream = await NetworkDial().open(url(port))
        assert await stream.read(1) == b""
        await stream.close()


def test_a_missing_ca_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.pem: No such file"):
        tls_context(url(1, Transport.TLS, ca_file=tmp_path / "none.pem"))
    (tmp_path / "bad.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=r"bad\.pem"):
        tls_context(url(1, Transport.TLS, ca_file=tmp_path / "bad.pem"))

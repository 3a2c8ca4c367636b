"""TCP connections."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from dataclasses import replace

import pytest

from miner.clock import SystemClock
from miner.errors import ConnectionLost, PoolRefused
from miner.net.address import Transport
from miner.net.dial import NetworkDial
from miner.pool.pool_addresses import parse_pool_url
from tests.net.serving import exchanged, serving, url


async def test_tcp() -> None:
    async with serving() as port:
        assert await exchanged(NetworkDial(), url(port)) == b"hello\n"


async def test_an_unlisted_port_of_a_name_that_leads_to_this_machine_gets_no_login() -> None:
    received: list[bytes] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            received.append(await reader.read(-1))
        writer.close()

    async with serving(keep) as port:
        with pytest.raises(ConnectionLost, match="this port is not listed"):
            await NetworkDial().open(replace(url(port), unlisted=True))
    assert b"".join(received) == b""


async def test_small_lines_are_sent_at_once_and_keepalive_is_on() -> None:
    async with serving() as port:
        stream = await NetworkDial().open(url(port))
        found = stream._writer.get_extra_info("socket")  # type: ignore[attr-defined]
        assert found.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await stream.close()


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "without an answer; check whether this port is for stratum"),
        (b"\x15\x03\x03\x00\x02\x02\x46", r"is for TLS; write stratum\+tls://"),
    ],
)
async def test_the_error_of_a_port_for_tls_that_is_reached_without_it(
    answer: bytes, problem: str
) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with serving(refuse) as port:
        with pytest.raises(ConnectionLost, match=problem):
            await exchanged(NetworkDial(), url(port))


async def test_a_connection_closed_after_an_answer_reads_nothing() -> None:
    async with serving() as port:
        stream = await NetworkDial().open(url(port))
        stream.write(b"hello")
        assert await stream.read(100) == b"hello"
        stream._writer.write_eof()  # type: ignore[attr-defined]
        assert await stream.read(100) == b""
        await stream.close()


async def test_a_refused_connection() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionLost, match="nothing listens there; check the port"):
            await NetworkDial().open(url(held.getsockname()[1]))


@pytest.mark.parametrize(
    ("numbers", "problem"),
    [
        ((111, 111), "nothing listens there"),
        ((101, 111), "nothing listens there"),
        ((113,), r"no connection \(No route to host\)"),
    ],
)
async def test_the_error_of_several_addresses_is_that_of_the_system(
    numbers: tuple[int, ...], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*args: object, **options: object) -> None:
        # As asyncio does.
        texts = [f"[Errno {number}] Connect call failed ('192.0.2.1', 1)" for number in numbers]
        raise OSError(f"Multiple exceptions: {', '.join(texts)}")

    monkeypatch.setattr(asyncio, "open_connection", fail)
    with pytest.raises(ConnectionLost, match=problem):
        await NetworkDial().open(url(1))


async def test_no_answer_within_the_limit() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async with serving(silent) as port:
        with pytest.raises(ConnectionLost, match=r"no answer within 0\.05 s"):
            await NetworkDial(limit=0.05).open(url(port, Transport.TLS))


class SuspendedClock(SystemClock):
    """The process was suspended while the first sleep lasted."""

    def __init__(self) -> None:
        self.suspended = 0.0

    def now(self) -> float:
        return super().now() + self.suspended

    async def sleep(self, seconds: float) -> None:
        if not self.suspended:
            self.suspended = seconds + 3600.0
        else:
            await asyncio.Event().wait()


async def test_time_for_which_the_process_was_suspended_does_not_count() -> None:
    async with serving() as port:
        dial = NetworkDial(clock=SuspendedClock())
        assert await exchanged(dial, url(port)) == b"hello\n"


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example"])
async def test_an_invalid_host_name(host: str) -> None:
    with pytest.raises(PoolRefused, match="not a valid host name"):
        await NetworkDial().open(url(1, host=host))


async def test_an_unknown_host_name(monkeypatch: pytest.MonkeyPatch) -> None:
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


async def test_an_ipv6_address_in_brackets_connects() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python knows no IPv6")

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(greet, "::1", 0)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    async with server, asyncio.timeout(20):
        port = server.sockets[0].getsockname()[1]
        there = parse_pool_url(f"stratum+tcp://w@[::1]:{port}")
        assert there.label == f"stratum+tcp://[::1]:{port}"
        stream = await NetworkDial().open(there)
        assert await stream.read(100) == b"hello\n"
        await stream.close()

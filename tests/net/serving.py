"""Servers on loopback for tests, and their addresses."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trustme

from miner.net.address import PoolUrl, Transport
from miner.net.dial import NetworkDial

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


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

"""TCP connections, with or without TLS or a proxy."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from miner.errors import ConnectionLost, PoolError, PoolRefused
from miner.net.pool_url import PoolUrl
from miner.net.socks import Proxy, connected, parse_proxy
from miner.net.tls import distrusted, tls_context


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds; none is so short that a loaded pool counts as dead."""

    connect: float = 10.0
    """For name, connection and TLS handshake together."""
    login: float = 30.0
    """For all answers up to the accepted login together."""
    answer: float = 30.0
    """A share without an answer for so long counts as lost; it is not sent again."""
    silence: float = 600.0
    """A pool without a new job for so long is taken for dead."""


CLOSE_SECONDS = 1.0

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""A peer that vanished is noticed after two minutes, where the system can be told so."""


class Stream(Protocol):
    """An open connection; every failure is a `ConnectionLost`."""

    async def read(self, count: int) -> bytes:
        """Return 1 to `count` bytes, or none when the other side has closed."""

    def write(self, data: bytes) -> None:
        """Queue `data`; failures show at the next read or drain."""

    async def drain(self) -> None:
        """Wait until the other side has taken most of what is queued."""

    async def close(self) -> None:
        """Close within about a second; raises nothing."""


class Dial(Protocol):
    """Opens streams."""

    async def open(self, url: PoolUrl) -> Stream:
        """Return a stream to `url`.

        Raises `ConnectionLost` for what may pass, `PoolRefused` for what will not.
        """


class NetworkDial:
    """The machine's own network; `limit` is seconds for name, proxy, connection and TLS handshake
    together."""

    def __init__(self, limit: float = Timeouts().connect) -> None:
        self._limit = limit

    async def open(self, url: PoolUrl) -> Stream:
        """Return a connected stream, for TLS after the handshake."""
        proxy = parse_proxy(url.proxy) if url.proxy is not None else None
        tls: dict[str, Any] = {}
        if url.transport.has_tls:
            tls = {
                "ssl": tls_context(url),
                "server_hostname": url.host,
                "ssl_shutdown_timeout": CLOSE_SECONDS,
            }
        try:
            async with asyncio.timeout(self._limit):
                if proxy is None:
                    reader, writer = await asyncio.open_connection(
                        url.host, url.port, happy_eyeballs_delay=0.25, **tls
                    )
                else:
                    way = await connected(proxy, url.host, url.port, self._limit)
                    reader, writer = await asyncio.open_connection(sock=way, **tls)
        except (OSError, ValueError) as error:
            raise _translated(error, url, self._limit, proxy) from error
        _keep_alive(writer)
        return NetworkStream(reader, writer)


class NetworkStream:
    """An asyncio stream whose failures are the miner's own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self, count: int) -> bytes:
        try:
            return await self._reader.read(count)
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {_reason(error)}") from error

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {_reason(error)}") from error

    async def close(self) -> None:
        self._writer.close()
        try:
            with suppress(OSError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._writer.wait_closed()
        finally:
            self._writer.transport.abort()


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Send small lines at once, notice a dead peer; what a system refuses is done without."""
    found = writer.get_extra_info("socket")
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ]
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        with suppress(OSError):
            found.setsockopt(level, option, value)


def _translated(
    error: OSError | ValueError, url: PoolUrl, limit: float, proxy: Proxy | None
) -> PoolError:
    where = f"{url.host}, port {url.port}"
    if proxy:
        where += f", through the proxy {proxy.label}"
    match error:
        case ssl.SSLCertVerificationError():
            return distrusted(url, error)
        case ssl.SSLError():
            return ConnectionLost(
                f"{where}: no TLS connection ({_reason(error)}); check whether this port is for "
                "stratum+tcp://"
            )
        case TimeoutError():
            return ConnectionLost(
                f"{where}: no answer within {limit:g} s; check the port, the firewall and, for "
                "TLS, whether this port is for stratum+tcp://"
            )
        case socket.gaierror():
            return ConnectionLost(
                f"{where}: the name cannot be resolved; check its spelling and this machine's DNS"
            )
        case ConnectionRefusedError():
            return ConnectionLost(f"{where}: nothing listens there; check the port")
        case ConnectionResetError() if url.transport.has_tls:
            return ConnectionLost(
                f"{where}: it hung up during the TLS handshake; check whether this port is for "
                "stratum+tcp://"
            )
        case OSError():
            return ConnectionLost(
                f"{where}: no connection ({_reason(error)}); check the network and the address"
            )
    return PoolRefused(f"{where}: this is no usable host name; check its spelling")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown reason").replace("_", " ").lower()
    return error.strerror or str(error) or type(error).__name__

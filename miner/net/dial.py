"""TCP connections, with or without TLS or a proxy."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from contextlib import suppress
from typing import Any, Protocol

from miner.clock import Clock, SystemClock, within
from miner.errors import Cause, ConnectionLost, PoolError, PoolRefused
from miner.net.address import PoolUrl, Timeouts, is_local
from miner.net.socks import Proxy, connect_through, parse_proxy
from miner.net.tls import certificate_error, tls_context

CLOSE_SECONDS = 1.0

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}
"""Socket options that detect a vanished peer after two minutes, where the system has them."""

TLS_ALERT = b"\x15\x03"
"""First bytes of a TLS alert, with which some servers answer plain text."""

TLS_HINT = "; check whether this port is for stratum+tls://"


class Stream(Protocol):
    """An open connection; every failure raises `ConnectionLost`."""

    async def read(self, count: int) -> bytes:
        """Return 1 to `count` bytes, or none after the other side closed the connection."""

    def write(self, data: bytes) -> None:
        """Queue `data`; the next read or drain reports failures."""

    async def drain(self) -> None:
        """Wait until most of the queued data has been sent."""

    async def close(self) -> None:
        """Close within about a second; raises nothing."""


class Dial(Protocol):
    """Opens streams."""

    async def open(self, url: PoolUrl) -> Stream:
        """Return a stream to `url`.

        Raises `ConnectionLost` if a retry may help, else `PoolRefused`.
        """


class NetworkDial:
    """Opens TCP and TLS connections, directly or through a proxy, within `limit` seconds.

    Time for which the process was suspended does not count: what arrived meanwhile is read first.
    """

    def __init__(self, limit: float = Timeouts().connect, clock: Clock | None = None) -> None:
        self._limit = limit
        self._clock = clock or SystemClock()

    async def open(self, url: PoolUrl) -> Stream:
        proxy = parse_proxy(url.proxy) if url.proxy is not None else None
        opened: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

        async def connect() -> None:
            opened.append(await _connected(url, proxy))

        try:
            if not await within(self._clock, self._limit, connect()):
                raise TimeoutError
        except (OSError, ValueError) as error:
            raise _connection_error(_of_system(error), url, self._limit, proxy) from error
        ((reader, writer),) = opened
        if url.unlisted and proxy is None and _peer_is_local(writer):
            writer.transport.abort()
            raise ConnectionLost(
                f"{url.label}: this port is not listed, and {url.host} is in the local network"
            )
        _set_socket_options(writer)
        return NetworkStream(reader, writer, tls=url.transport.has_tls)


async def _connected(
    url: PoolUrl, proxy: Proxy | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    tls: dict[str, Any] = {}
    if url.transport.has_tls:
        tls = {
            "ssl": tls_context(url),
            "server_hostname": url.host.removesuffix("."),  # no certificate names the DNS root
            "ssl_shutdown_timeout": CLOSE_SECONDS,
        }
    if proxy is not None:
        tunnel = await connect_through(proxy, url.host, url.port)
        return await asyncio.open_connection(sock=tunnel, **tls)
    return await asyncio.open_connection(url.host, url.port, happy_eyeballs_delay=0.25, **tls)


class NetworkStream:
    """An asyncio stream that raises the miner's errors.

    A connection without TLS on which nothing came before its end, or an alert of TLS, is lost.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tls: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._may_need_tls = not tls
        """Whether nothing has arrived yet on a connection without TLS."""

    async def read(self, count: int) -> bytes:
        first, self._may_need_tls = self._may_need_tls, False
        try:
            data = await self._reader.read(count)
        except OSError as error:
            hint = TLS_HINT if first else ""
            raise ConnectionLost(f"the connection broke: {_reason(error)}{hint}") from error
        if first and not data:
            raise ConnectionLost(f"the pool closed the connection without an answer{TLS_HINT}")
        if first and data.startswith(TLS_ALERT):
            raise ConnectionLost(
                "the port is for TLS; write stratum+tls:// before its address", Cause.NO_TLS
            )
        return data

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


def _peer_is_local(writer: asyncio.StreamWriter) -> bool:
    peer = writer.get_extra_info("peername")
    return peer is None or is_local(peer[0])


def _set_socket_options(writer: asyncio.StreamWriter) -> None:
    """Send small lines at once and detect dead peers, as far as the system supports it."""
    connection = writer.get_extra_info("socket")
    options = [
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    ]
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    for level, option, value in options:
        with suppress(OSError):
            connection.setsockopt(level, option, value)


def _of_system(error: OSError | ValueError) -> OSError | ValueError:
    """Return the system's error that is named in the text of asyncio's. Of the errors of several
    addresses, a refused connection tells most."""
    if not isinstance(error, OSError) or isinstance(error, ssl.SSLError | socket.gaierror):
        return error
    numbers = sorted({int(digits) for digits in re.findall(r"\[Errno (\d+)\]", str(error))})
    if not numbers:
        return error
    number = errno.ECONNREFUSED if errno.ECONNREFUSED in numbers else numbers[-1]
    return OSError(number, os.strerror(number))


def _connection_error(
    error: OSError | ValueError, url: PoolUrl, limit: float, proxy: Proxy | None
) -> PoolError:
    where = f"{url.host}, port {url.port}"
    if proxy:
        where += f", through the proxy {proxy.label}"
    match error:
        case ssl.SSLCertVerificationError():
            return certificate_error(url, error)
        case ssl.SSLError():
            return ConnectionLost(
                f"{where}: no TLS connection ({_reason(error)}); check whether this port is for "
                "stratum+tcp://",
                Cause.NO_TLS,
            )
        case TimeoutError():
            return ConnectionLost(
                f"{where}: no answer within {limit:g} s; check the port, the firewall and, for "
                "TLS, whether this port is for stratum+tcp://"
            )
        case socket.gaierror():
            return ConnectionLost(
                f"{where}: the name cannot be resolved; check its spelling and this machine's DNS",
                Cause.HOST_UNKNOWN,
            )
        case ConnectionRefusedError():
            return ConnectionLost(
                f"{where}: nothing listens there; check the port", Cause.PORT_CLOSED
            )
        case ConnectionResetError() if url.transport.has_tls:
            return ConnectionLost(
                f"{where}: the connection was closed during the TLS handshake; check whether this "
                "port is for stratum+tcp://",
                Cause.NO_TLS,
            )
        case OSError():
            return ConnectionLost(
                f"{where}: no connection ({_reason(error)}); check the network and the address"
            )
    return PoolRefused(f"{where}: not a valid host name; check its spelling", Cause.ADDRESS)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown reason").replace("_", " ").lower()
    return error.strerror or str(error) or type(error).__name__

"""How a byte stream to a pool is opened, over TCP or TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Protocol

from miner.errors import ConfigError, ConnectionLost, PoolError, PoolRefused
from miner.pool.url import PoolUrl, Transport

CONNECT_SECONDS = 10.0
"""Limit for name, connection and TLS handshake together."""

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
    """The machine's own network."""

    def __init__(self, limit: float = CONNECT_SECONDS) -> None:
        self._limit = limit

    async def open(self, url: PoolUrl) -> Stream:
        """Return a connected stream, for TLS after the handshake."""
        context = None if url.transport is Transport.TCP else tls_context(url)
        tls = {"server_hostname": url.host, "ssl_shutdown_timeout": CLOSE_SECONDS}
        try:
            async with asyncio.timeout(self._limit):
                reader, writer = await asyncio.open_connection(
                    url.host,
                    url.port,
                    ssl=context,
                    happy_eyeballs_delay=0.25,
                    **(tls if context else {}),  # type: ignore[arg-type]
                )
        except (OSError, ValueError) as error:
            raise _translated(error, url, self._limit) from error
        _keep_alive(writer)
        return NetworkStream(reader, writer)


def tls_context(url: PoolUrl) -> ssl.SSLContext:
    """Return how `url` wants its peer checked; raises `ConfigError` for an unusable CA file."""
    context = ssl.create_default_context()
    if url.ca_file is not None:
        try:
            context.load_verify_locations(url.ca_file)
        except OSError as error:
            reason = error.strerror or "no certificate in it"
            raise ConfigError(f"CA file {url.ca_file}: {reason}") from error
    if url.transport is Transport.TLS12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if url.tls_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


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


def _translated(error: OSError | ValueError, url: PoolUrl, limit: float) -> PoolError:
    where = f"{url.host}, port {url.port}"
    match error:
        case ssl.SSLCertVerificationError():
            return PoolRefused(
                f"{where}: its certificate is not trusted ({error.verify_message}); check the "
                "address, name the pool's own CA file, or switch verification off at your own risk"
            )
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
        case OSError():
            return ConnectionLost(
                f"{where}: no connection ({_reason(error)}); check the network and the address"
            )
    return PoolRefused(f"{where}: this is no usable host name; check its spelling")


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "unknown reason").replace("_", " ").lower()
    return error.strerror or str(error) or type(error).__name__

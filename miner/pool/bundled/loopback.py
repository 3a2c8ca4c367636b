"""Listening on this machine's loopback and nowhere else."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from contextlib import suppress

from miner.errors import BadValue, ConfigError

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


async def bind(host: str, port: int, connected: Connected, read_bytes: int) -> asyncio.Server:
    """Return a server that does not accept yet; port 0: any free one.

    Raises `ConfigError` for a host that is not loopback or an address that cannot be listened
    on, `BadValue` for an impossible port.
    """
    address = _loopback(host)
    if not 0 <= port < 65536:
        raise BadValue("port", f"{port} is outside 0 to 65535")
    try:
        return await asyncio.start_server(
            connected, address, port, limit=read_bytes, start_serving=False
        )
    except OSError as error:
        raise ConfigError(
            f"the bundled pool cannot listen on {address} port {port}: {error.strerror}"
        ) from error


def _loopback(host: str) -> str:
    """Return the loopback address meant by `host`, or raise `ConfigError`."""
    if host == "localhost":
        return "127.0.0.1"
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    raise ConfigError(
        f"the bundled pool serves this machine alone: listen on 127.0.0.1, not on {host!r}"
    )

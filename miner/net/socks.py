"""How a pool is reached through a SOCKS5 proxy, which also looks up its name."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote

from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy as Connector

from miner.errors import ConfigError, ConnectionLost
from miner.net.address import HostPort, parse_host_port

_CREDENTIAL_LIMIT = 255
"""Bytes, of the wire protocol."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS5 proxy; only `label` is fit to be shown."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The address without any credentials."""
        return f"socks5://{HostPort(self.host, self.port)}"


def parse_proxy(text: str) -> Proxy:
    """Return the proxy that `socks5://[user:password@]host:port` names, credentials
    percent-decoded; raises `ConfigError`, which repeats no password."""
    scheme, _, rest = text.strip().rpartition("://")
    if scheme.lower() not in ("socks5", "socks5h"):
        raise ConfigError("a proxy is written as socks5://[user:password@]host:port")
    login, _, address = rest.removesuffix("/").rpartition("@")
    host, port = parse_host_port(address, "proxy", example="socks5://host:port")
    user, _, password = (unquote(part) for part in login.partition(":"))
    if login and not (_fits(user) and _fits(password)):
        raise ConfigError(
            f"proxy {host}:{port}: user and password are both needed, each of up to "
            f"{_CREDENTIAL_LIMIT} printable ASCII characters"
        )
    return Proxy(host, port, user, password)


def _fits(value: str) -> bool:
    return bool(re.fullmatch(rf"[ -~]{{1,{_CREDENTIAL_LIMIT}}}", value))


async def connected(proxy: Proxy, host: str, port: int, limit: float) -> socket.socket:
    """Return a socket through which `proxy` passes on to `host`, whose name is looked up there.

    Raises `ConnectionLost`, TimeoutError after `limit` seconds, UnicodeError for a name that no
    host can have.
    """
    host.encode("idna")
    connector = Connector(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username=proxy.user or None,
        password=proxy.password or None,
        rdns=True,
    )
    try:
        return await connector.connect(host, port, timeout=limit)
    except TimeoutError:
        raise
    except (ProxyError, OSError, ValueError) as error:
        raise proxy_failure(proxy, host, port, error) from error


def proxy_failure(
    proxy: Proxy, host: str, port: int, error: BaseException | None
) -> ConnectionLost:
    """Return the sentence for what python-socks raised on the way to `host`, but a timeout."""
    if isinstance(error, ProxyConnectionError):
        return ConnectionLost(
            f"the proxy {proxy.label} cannot be reached; check its address and whether it runs"
        )
    return ConnectionLost(
        f"the proxy {proxy.label} opened no way to {host}, port {port}: {_reason(error)}; "
        "check the proxy's user and password, and what it lets through"
    )


def _reason(error: BaseException | None) -> str:
    match error:
        case ProxyError():
            return str(error)[:1].lower() + str(error)[1:]
        case EOFError():
            return "connection closed unexpectedly"
        case OSError():
            return error.strerror or "it broke off"
    return "its answer is no SOCKS5"

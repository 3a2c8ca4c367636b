"""Connections through a SOCKS5 proxy, which also resolves the host name."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from urllib.parse import unquote

from python_socks import ProxyConnectionError, ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy as Connector

from miner.errors import Cause, ConfigError, ConnectionLost
from miner.net.address import HostPort, parse_host_port

_CREDENTIAL_LIMIT = 255
"""Bytes (RFC 1929)."""

_NO_LIMIT = 86400.0
"""Seconds: python-socks has 60 if it is given none."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS5 proxy; only `label` is safe to show."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """The address without credentials."""
        return f"socks5://{HostPort(self.host, self.port)}"


def parse_proxy(text: str) -> Proxy:
    """Parse "socks5://[user:password@]host:port" with percent-encoded credentials.

    Raises `ConfigError`, whose message contains no password.
    """
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


async def connect_through(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Return a socket connected to `host` through `proxy`, which resolves the name.

    The caller limits the time. Raises `ConnectionLost`, or `UnicodeError` for an invalid host name.
    """
    host.encode("idna")
    connector = Connector(
        ProxyType.SOCKS5, proxy.host, proxy.port, username=proxy.user or None,
        password=proxy.password or None, rdns=True,
    )  # fmt: skip
    try:
        return await connector.connect(host, port, timeout=_NO_LIMIT)
    except TimeoutError:
        raise
    except (ProxyError, OSError, ValueError) as error:
        raise proxy_failure(proxy, host, port, error) from error


def proxy_failure(
    proxy: Proxy, host: str, port: int, error: BaseException | None
) -> ConnectionLost:
    """Return the error for an exception of python-socks other than a timeout."""
    if isinstance(error, ProxyConnectionError):
        return ConnectionLost(
            f"the proxy {proxy.label} cannot be reached; check its address and whether it runs",
            Cause.PROXY,
        )
    return ConnectionLost(
        f"the proxy {proxy.label} could not connect to {host}, port {port}: {_reason(error)}; "
        "check the proxy's user, password and rules",
        Cause.PROXY,
    )


def _reason(error: BaseException | None) -> str:
    match error:
        case ProxyError():
            return str(error)[:1].lower() + str(error)[1:]
        case EOFError():
            return "connection closed unexpectedly"
        case OSError():
            return error.strerror or "connection closed unexpectedly"
    return "its answer is not SOCKS5"

"""A pool's address with its login, as users of other miners write it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from miner.errors import ConfigError
from miner.pool.schemes import PLAIN, Scheme, Transport, find_scheme

__all__ = [
    "DEFAULT_PASSWORD",
    "LOGIN_LIMIT",
    "PoolUrl",
    "Transport",
    "parse_address",
    "parse_pool_url",
]

DEFAULT_PASSWORD = "x"

_NODE_ADDRESS = "http://host:port with the node's RPC port"

LOGIN_LIMIT = 256
"""Characters of a user or a password, so that no line of ours reaches 1024 bytes."""


_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_ADDRESS = re.compile(r"@[^@/]*:[0-9]+(/|$)")
"""After the first slash: then that stood in a login. An e-mail address has no port."""
_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


@dataclass(frozen=True, slots=True)
class PoolUrl:
    """Where a pool is, how it is reached, who we are there; only `label` is fit to be shown."""

    host: str
    """A name or an IP address, without brackets."""
    port: int
    user: str = field(default="", repr=False)
    """As it is sent: account, or account.worker."""
    password: str = field(default=DEFAULT_PASSWORD, repr=False)
    transport: Transport = Transport.TCP
    tls_insecure: bool = False
    """Accept any certificate: whoever is in between can take the hash rate."""
    ca_file: str | None = None
    """PEM; trusted besides the system's authorities."""
    protocol: str | None = None
    """What is spoken, by name; None: find out."""
    tls_fingerprint: str | None = None
    """64 lower hex digits: SHA-256 of the one certificate (DER) that is accepted, whatever it
    says of host and authority."""
    proxy: str | None = field(default=None, repr=False)
    """socks5://[user:password@]host:port"""
    path: str = field(default="", repr=False)
    """With its leading slash, over HTTP only; empty where there is none. It may hold a key."""
    cookie_file: str | None = None
    """Where a node on this machine leaves its user and password."""

    reward: str = ""
    """Address that a node's block rewards, where that is not said to the node itself."""

    @property
    def label(self) -> str:
        """The address without any credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if self.transport.is_http:
            return f"{self.transport.value}://{host}:{self.port}"
        return f"stratum+{self.transport.value}://{host}:{self.port}"

    def is_beside(self, other: PoolUrl) -> bool:
        """Return whether both lead to the same pool, be it under different logins."""
        return (self.host, self.port, self.path) == (other.host, other.port, other.path)

    def __str__(self) -> str:
        return self.label


def parse_pool_url(
    text: str,
    user: str | None = None,
    password: str | None = None,
    worker: str | None = None,
    fallback: str = DEFAULT_PASSWORD,
) -> PoolUrl:
    """Return the pool that `[scheme://][user[:password]@]host:port[/path]` names.

    Credentials in the address are percent-decoded; a path is appended to the user after a slash,
    `worker` after a dot. Over HTTP a path stays one, and a node knows no workers. `user` and
    `password` go before the address's own, except that a password of "x" gives way; `fallback` is
    the password where neither names one. The protocol is the one that the scheme names. Raises
    `ConfigError` with what to write instead; no sentence of it repeats a password.
    """
    scheme, rest = _scheme(text.strip())
    over_http = scheme.transport.is_http
    authority, _, path = rest.removesuffix("#xnsub").partition("/")
    login, _, address = authority.rpartition("@")
    if (not login and "@" in path) and (
        _ADDRESS.search(path) or not re.fullmatch(r".+:[0-9]+", authority)
    ):
        raise ConfigError("a slash in a pool's user or password is written as %2F")
    host, port = parse_address(address, "pool", _NODE_ADDRESS if over_http else "host:port")
    own_user, _, own_password = (unquote(part) for part in login.partition(":"))
    name = user or own_user
    if over_http:
        worker, path = None, f"/{path}" if path else ""
    elif path := unquote(path).strip("/"):
        name, path = f"{name}/{path}", ""
    if worker:
        _check_login(f"pool {host}:{port}", "worker", worker)
        if not name:
            raise ConfigError(f"pool {host}:{port}: a worker needs a user that it belongs to")
        name = f"{name}.{worker}"
    if not password or password == DEFAULT_PASSWORD:
        password = own_password or password or fallback
    for what, value in (("user", name), ("password", password), ("path", path)):
        _check_login(f"pool {host}:{port}", what, value)
    return PoolUrl(
        host, port, name, password, scheme.transport, protocol=scheme.protocol, path=path
    )


def _scheme(text: str) -> tuple[Scheme, str]:
    match = _SCHEME.fullmatch(text)
    return (find_scheme(match[1]), match[2]) if match else (PLAIN, text)


def _check_login(where: str, what: str, value: str) -> None:
    if len(value) > LOGIN_LIMIT or not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"{where}: the {what} is not up to {LOGIN_LIMIT} printable ASCII characters"
        )


def parse_address(text: str, what: str = "pool", wanted: str = "host:port") -> tuple[str, int]:
    """Return host and port of `host:port` or `[IPv6 address]:port`; raises `ConfigError`, in
    whose sentences `what` is addressed and `wanted` is to be written."""
    if text.startswith("["):
        host, closed, port = text[1:].partition("]:")
        if not closed or not _is_ipv6(host):
            raise ConfigError(f"a {what}'s IPv6 address is written as [address]:port")
    else:
        host, _, port = text.rpartition(":")
        if ":" in host:
            raise ConfigError(f"a {what}'s IPv6 address needs brackets: [address]:port")
        if not host:
            raise ConfigError(f"{what} {text[:80]!r} has no port; write {wanted}")
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{what} {host[:80]!r} is no host name")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ConfigError(f"{what} {host[:80]}: the port is not a number from 1 to 65535")
    return host.lower(), int(port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True

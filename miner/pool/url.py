"""A pool's address with its login, as users of other miners write it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import unquote

from miner.errors import ConfigError

DEFAULT_PASSWORD = "x"

LOGIN_LIMIT = 256
"""Characters of a user or a password, so that no line of ours reaches 1024 bytes."""


class Transport(Enum):
    """How the bytes travel."""

    TCP = "tcp"
    TLS = "tls"
    TLS12 = "tls12"
    """TLS 1.2 and nothing newer, for pools that cannot negotiate."""


SCHEMES = {
    "stratum+tcp": Transport.TCP,
    "stratum+tls": Transport.TLS,
    "stratum+ssl": Transport.TLS,
    "stratum+tls12": Transport.TLS12,
    "stratum+tcps": Transport.TLS,
    "stratum": Transport.TCP,
    "stratums": Transport.TLS,
    "stratumss": Transport.TLS12,
}
"""What each scheme stands for; an address without one is TCP."""

_NOT_SPOKEN = re.compile(
    r"(stratum[123]|ethproxy|ethstratum2?|nicehash|node|solo|daemon|getwork|http|https)"
    r"(\+[a-z0-9]+)*"
)
_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
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

    @property
    def label(self) -> str:
        """The address without any credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"stratum+{self.transport.value}://{host}:{self.port}"

    def __str__(self) -> str:
        return self.label


def parse_pool_url(
    text: str, user: str | None = None, password: str | None = None, worker: str | None = None
) -> PoolUrl:
    """Return the pool that `[scheme://][user[:password]@]host:port[/path]` names.

    Credentials in the address are percent-decoded; a path is appended to the user after a slash,
    `worker` after a dot. `user` and `password` go before the address's own, except that a
    password of "x" gives way. Raises `ConfigError` with what to write instead; no sentence of
    it repeats a password.
    """
    transport, rest = _transport(text.strip())
    authority, _, path = rest.removesuffix("#xnsub").partition("/")
    login, _, address = authority.rpartition("@")
    if not login and "@" in path and not re.fullmatch(r".+:[0-9]+", authority):
        raise ConfigError("a slash in a pool's user or password is written as %2F")
    host, port = _address(address)
    own_user, _, own_password = (unquote(part) for part in login.partition(":"))
    name = user or own_user
    if path := unquote(path).strip("/"):
        name = f"{name}/{path}"
    if worker:
        if not name:
            raise ConfigError(f"pool {host}:{port}: a worker needs a user that it belongs to")
        name = f"{name}.{worker}"
    if not password or password == DEFAULT_PASSWORD:
        password = own_password or DEFAULT_PASSWORD
    for what, value in (("user", name), ("password", password)):
        if len(value) > LOGIN_LIMIT or not value.isascii() or not value.isprintable():
            raise ConfigError(
                f"pool {host}:{port}: the {what} is not up to {LOGIN_LIMIT} printable ASCII "
                "characters"
            )
    return PoolUrl(host, port, name, password, transport)


def _transport(text: str) -> tuple[Transport, str]:
    match = _SCHEME.fullmatch(text)
    if not match:
        return Transport.TCP, text
    scheme = match[1].lower()
    if transport := SCHEMES.get(scheme):
        return transport, match[2]
    known = ", ".join(f"{name}://" for name in SCHEMES)
    if _NOT_SPOKEN.fullmatch(scheme):
        raise ConfigError(
            f"the protocol of {scheme}:// is not spoken yet; spoken is KawPow Stratum, as {known}"
        )
    raise ConfigError(f"unknown scheme {scheme[:40]}://; known are {known}")


def _address(text: str) -> tuple[str, int]:
    if text.startswith("["):
        host, closed, port = text[1:].partition("]:")
        if not closed or not _is_ipv6(host):
            raise ConfigError("a pool's IPv6 address is written as [address]:port")
    else:
        host, _, port = text.rpartition(":")
        if ":" in host:
            raise ConfigError("a pool's IPv6 address needs brackets: [address]:port")
        if not host:
            raise ConfigError(f"pool {text[:80]!r} has no port; write host:port")
        if not _HOST.fullmatch(host):
            raise ConfigError(f"pool {host[:80]!r} is no host name")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise ConfigError(f"pool {host[:80]}: the port is not a number from 1 to 65535")
    return host.lower(), int(port)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True

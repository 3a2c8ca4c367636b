"""Addresses: host and port, and a pool's URL with its login; time limits of pool connections."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from miner.errors import AddressTaken, ConfigError

_LOCAL_NAMES = (".local", ".localhost", ".localdomain", ".lan", ".home", ".internal", ".home.arpa")

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


class HostPort(NamedTuple):
    """A TCP address; `str` formats it as "host:port", with brackets around an IPv6 address."""

    host: str
    """A name or an IP address, without brackets."""
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def local_host(self) -> str:
        """The host to connect to from this machine if a server listens on this address."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect to it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_host_port(
    text: str, what: str = "pool", *, example: str = "host:port", lowest_port: int = 1
) -> HostPort:
    """Parse "host:port" or "[IPv6 address]:port"; the host is returned in lower case, apart from
    the interface of an IPv6 address.

    Raises `ConfigError`, whose message begins with `what` and suggests `example`. `lowest_port`
    is 0 for an address to listen on, where 0 means any free port.
    """
    if text.startswith("["):
        host, closed, port = text[1:].partition("]:")
        if not closed or not _is_ipv6(host):
            raise ConfigError(f"{what}: an IPv6 address is written as [address]:port")
    else:
        host, _, port = text.rpartition(":")
        if ":" in host and re.fullmatch(r"[0-9A-Fa-f:.]+", host):
            raise ConfigError(f"{what}: an IPv6 address needs brackets: [address]:port")
        if ":" in host:
            raise ConfigError(f"{what} {text[:80]!r} has two colons; write {example}")
        if not host:
            raise ConfigError(f"{what} {text[:80]!r} has no port; write {example}")
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{what} {host[:80]!r} is not a valid host name")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not lowest_port <= int(port) < 65536:
        raise ConfigError(
            f"{what} {host[:80]}: the port is not a number from {lowest_port} to 65535"
        )
    # The name of an interface after the % keeps its case; in a URL that sign is written as %25.
    address, percent, interface = host.partition("%")
    interface = re.sub(r"^25(?=\D)", "", interface)
    return HostPort(address.lower() + percent + interface, int(port))


def is_local(host: str) -> bool:
    """Return whether a name or IP address belongs to this machine or its local network."""
    host = host.lower().removesuffix(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def exposure_problem(key: str, address: HostPort, *, has_token: bool) -> str | None:
    """Return why `key` under [api] must not listen on `address`, None where it may: an address
    that other machines can reach needs a token."""
    if has_token or address.is_loopback:
        return None
    return (
        f"{key} = {str(address)!r} lets other machines in: give token_file (or token), or "
        "listen on 127.0.0.1"
    )


def check_exposure(key: str, address: HostPort, *, has_token: bool) -> None:
    """Raise `ConfigError` where there is an `exposure_problem`."""
    if (problem := exposure_problem(key, address, has_token=has_token)) is not None:
        raise ConfigError(f"[api] {problem}")


def listen_problem(error: Exception) -> str:
    """Return why an address cannot be listened on."""
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            return "another program uses it, perhaps another miner"
        case errno.EADDRNOTAVAIL:
            return "this machine does not have this address"
        case errno.EACCES:
            return "ports below 1024 are for root only"
        case None | socket.EAI_NONAME:
            return "no such address or port"
    # asyncio's message has a prefix before the system's.
    return str(getattr(error, "strerror", None) or error).rpartition(": ")[2]


def listen_error(sentence: str, error: Exception) -> AddressTaken | ConfigError:
    """Return the error for an address that cannot be listened on: one that may mend itself, or a
    mistake in the settings."""
    passing = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, socket.EAI_AGAIN)
    passes = isinstance(error, OSError) and error.errno in passing
    return AddressTaken(sentence) if passes else ConfigError(sentence)


DEFAULT_PASSWORD = "x"

PASSWORD_VARIABLE = "PROGPOW_MINER_POOL_PASSWORD"
"""Environment variable with the password of pools without one."""


class Transport(Enum):
    """Transport of a connection."""

    TCP = "tcp"
    TLS = "tls"
    TLS12 = "tls12"
    """TLS 1.2 at most, for pools that fail to negotiate."""
    HTTP = "http"
    HTTPS = "https"

    @property
    def is_http(self) -> bool:
        """Whether it carries HTTP requests, as nodes expect."""
        return self in (Transport.HTTP, Transport.HTTPS)

    @property
    def has_tls(self) -> bool:
        """Whether it is encrypted, so that the other side has a certificate."""
        return self not in (Transport.TCP, Transport.HTTP)


@dataclass(frozen=True, slots=True)
class PoolUrl:
    """Address, login and options of a pool or node; only `label` is safe to show."""

    host: str
    """A name or an IP address, without brackets."""
    port: int
    user: str = field(default="", repr=False)
    """Account or account.worker, as it is sent."""
    password: str = field(default=DEFAULT_PASSWORD, repr=False)
    transport: Transport = Transport.TCP
    tls_insecure: bool = False
    """Accept any certificate, so that anyone in between can take the shares."""
    ca_file: str | None = None
    """PEM file with certificates to trust besides the system's."""
    protocol: str | None = None
    """Name of the protocol; None: detect it."""
    tls_fingerprint: str | None = None
    """SHA-256 of the only accepted certificate (DER), 64 lower-case hex digits. Its host name and
    its issuer are not checked."""
    proxy: str | None = field(default=None, repr=False)
    """socks5://[user:password@]host:port"""
    path: str = field(default="", repr=False)
    """Over HTTP only, with its leading slash; empty if there is none. It may contain an API key."""
    cookie_file: str | None = None
    """File in which a node on this machine writes its RPC user and password."""
    unlisted: bool = field(default=False, compare=False)
    """A pool asked for this port, which is not in the settings: it must not be a local one."""
    reward: str = ""
    """Address for block rewards, where it is not `user`; nodes only."""

    @property
    def account(self) -> str:
        """The wallet or account that is mined for, with the worker; "" if only a node knows it."""
        if not self.transport.is_http or self.password == DEFAULT_PASSWORD:
            return self.reward or self.user
        return self.reward  # the user is the node's RPC user

    @property
    def label(self) -> str:
        """The address without credentials."""
        stratum = "" if self.transport.is_http else "stratum+"
        return f"{stratum}{self.transport.value}://{HostPort(self.host, self.port)}"

    def may_move_to(self, port: int) -> bool:
        """Return whether the login may be sent to another `port` of this host because the pool
        asks for it.

        It may not be sent to a host of the local network, where other services listen and the other
        ports of a tunnel are not the pool's, nor to ports of system services, except web servers.
        """
        return not is_local(self.host) and (port >= 1024 or port in (80, 443))

    def is_beside(self, other: PoolUrl) -> bool:
        """Return whether both are the same pool, possibly with different logins."""
        return (self.host, self.port, self.path) == (other.host, other.port, other.path)

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits in seconds, long enough for a pool under heavy load."""

    connect: float = 10.0
    """Name lookup, connection and TLS handshake together."""
    login: float = 30.0
    """From the first request to the accepted login."""
    answer: float = 30.0
    """Answer to a share. Without one the share is lost; it is not sent again."""
    silence: float = 600.0
    """Without a new job for this long, the miner reconnects."""

"""The address of a pool or node, with login, transport and protocol."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from miner.net.address import HostPort

DEFAULT_PASSWORD = "x"


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
    reward: str = ""
    """Address for block rewards, for nodes that are told it in each request."""

    @property
    def label(self) -> str:
        """The address without credentials."""
        stratum = "" if self.transport.is_http else "stratum+"
        return f"{stratum}{self.transport.value}://{HostPort(self.host, self.port)}"

    def is_beside(self, other: PoolUrl) -> bool:
        """Return whether both are the same pool, possibly with different logins."""
        return (self.host, self.port, self.path) == (other.host, other.port, other.path)

    def __str__(self) -> str:
        return self.label

"""A pool's address with its login, and how it is reached."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from miner.net.address import HostPort

DEFAULT_PASSWORD = "x"


class Transport(Enum):
    """How the bytes travel."""

    TCP = "tcp"
    TLS = "tls"
    TLS12 = "tls12"
    """TLS 1.2 and nothing newer, for pools that cannot negotiate."""
    HTTP = "http"
    HTTPS = "https"

    @property
    def is_http(self) -> bool:
        """Whether each request stands alone, as a node wants it."""
        return self in (Transport.HTTP, Transport.HTTPS)

    @property
    def has_tls(self) -> bool:
        """Whether the other side shows a certificate."""
        return self not in (Transport.TCP, Transport.HTTP)


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
        stratum = "" if self.transport.is_http else "stratum+"
        return f"{stratum}{self.transport.value}://{HostPort(self.host, self.port)}"

    def is_beside(self, other: PoolUrl) -> bool:
        """Return whether both lead to the same pool, be it under different logins."""
        return (self.host, self.port, self.path) == (other.host, other.port, other.path)

    def __str__(self) -> str:
        return self.label

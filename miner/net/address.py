"""Host and port: parsing, formatting, and whether other machines can reach an address."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from miner.errors import ConfigError

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
    """Parse "host:port" or "[IPv6 address]:port"; the host is returned in lower case.

    Raises `ConfigError`, whose message begins with `what` and suggests `example`. `lowest_port`
    is 0 for an address to listen on, where 0 means any free port.
    """
    if text.startswith("["):
        host, closed, port = text[1:].partition("]:")
        if not closed or not _is_ipv6(host):
            raise ConfigError(f"{what}: an IPv6 address is written as [address]:port")
    else:
        host, _, port = text.rpartition(":")
        if ":" in host:
            raise ConfigError(f"{what}: an IPv6 address needs brackets: [address]:port")
        if not host:
            raise ConfigError(f"{what} {text[:80]!r} has no port; write {example}")
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{what} {host[:80]!r} is not a valid host name")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not lowest_port <= int(port) < 65536:
        raise ConfigError(
            f"{what} {host[:80]}: the port is not a number from {lowest_port} to 65535"
        )
    return HostPort(host.lower(), int(port))


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

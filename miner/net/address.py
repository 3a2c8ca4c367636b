"""Host and port: parsing, writing, and which addresses only this machine reaches."""

from __future__ import annotations

import ipaddress
import re

from miner.errors import ConfigError

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,252})")


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach what listens on `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def written(host: str, port: int) -> str:
    """Return "host:port", with brackets where `host` is of IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def exposure(key: str, host: str, port: int, guarded: bool) -> str | None:
    """Return why `key` under [api] must not ask for that address: others can reach it and no token
    is set, which `guarded` tells; None where it may."""
    if guarded or is_loopback(host):
        return None
    return (
        f"{key} = {written(host, port)!r} lets other machines in: give token_file (or token), or "
        "listen on 127.0.0.1"
    )


def keep_apart(key: str, host: str, port: int, guarded: bool) -> None:
    """Raise `ConfigError` where there is an `exposure`."""
    if (problem := exposure(key, host, port, guarded)) is not None:
        raise ConfigError(f"[api] {problem}")


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

"""Addresses to listen on."""

from __future__ import annotations

import ipaddress

from miner.errors import ConfigError


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

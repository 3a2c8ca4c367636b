"""Addresses to listen on."""

from __future__ import annotations

import ipaddress


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

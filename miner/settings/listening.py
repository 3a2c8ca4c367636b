"""Addresses to listen on, as a person writes them."""

from __future__ import annotations

import ipaddress
import re

OFF = "off"
"""What may be written in place of an empty address."""

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):([0-9]{1,5})")


def checked(text: str) -> str:
    """Return "host:port", or "" for off; raises ValueError for anything else."""
    if text in ("", OFF):
        return ""
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match[2]) > 65535:
        raise ValueError('is written as "host:port", as in "127.0.0.1:4067", or "off"')
    return text


def address_of(listen: str) -> tuple[str, int] | None:
    """Return host (without brackets) and port of a checked "host:port"; None for "", which is
    off. Port 0 is any free one."""
    if not listen:
        return None
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(listen: str) -> bool:
    """Tell whether only this machine can reach the checked "host:port"; nobody reaches ""."""
    address = address_of(listen)
    if address is None or address[0].lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return False

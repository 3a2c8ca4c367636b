"""Addresses to listen on as a person writes them, and the token that guards them."""

from __future__ import annotations

import re

from miner.net.address import HostPort

OFF = "off"
"""What may be written in place of an empty address."""

SHORTEST_TOKEN = 16
"""Characters, where other machines may try."""

_EVERYWHERE = {"0.0.0.0", "::"}
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


def lets_in_others(listen: str) -> bool:
    """Tell whether other machines can reach the checked "host:port"; nobody reaches ""."""
    address = address_of(listen)
    return address is not None and not HostPort(*address).is_loopback


def collide(one: str, other: str) -> bool:
    """Tell whether two checked addresses cannot both be listened on."""
    first, second = address_of(one), address_of(other)
    if first is None or second is None or first[1] != second[1] or not first[1]:
        return False
    hosts = {host.lower().replace("localhost", "127.0.0.1") for host, _ in (first, second)}
    return len(hosts) == 1 or not hosts.isdisjoint(_EVERYWHERE)


def token_problem(token: str, others: bool) -> str | None:
    """Return why `token` cannot guard the API, None where it can; `others`: also against other
    machines."""
    if not re.fullmatch("[!-~]+", token):
        return "must be printable ASCII without blanks, as `openssl rand -hex 32` prints it"
    if others and len(token) < SHORTEST_TOKEN:
        return (
            f"has {len(token)} characters: one that lets other machines in needs "
            f"{SHORTEST_TOKEN} or more, as `openssl rand -hex 32` prints it"
        )
    return None

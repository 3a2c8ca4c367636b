"""Checks of the addresses that the miner listens on: form, conflicts, token."""

from __future__ import annotations

import re

from miner.errors import ConfigError
from miner.net.address import HostPort, parse_host_port

OFF = "off"

SHORTEST_TOKEN = 16
"""Characters of a token that other machines can try to guess."""

_ANY_ADDRESS = {"0.0.0.0", "::"}


def check_listen(text: str) -> str:
    """Return `text`, which must be "host:port", or "" for "off"; raise ValueError otherwise."""
    if text in ("", OFF):
        return ""
    try:
        parse_host_port(text, lowest_port=0)
    except ConfigError as error:
        raise ValueError(
            'must be written as "host:port", such as "127.0.0.1:4067", or "off"'
        ) from error
    return text


def listen_address(text: str) -> HostPort | None:
    """Return the address of a checked text, None if it is "". Port 0 means any free port."""
    return parse_host_port(text, lowest_port=0) if text else None


def conflict(one: HostPort, other: HostPort) -> bool:
    """Whether both addresses cannot be listened on at the same time."""
    if one.port != other.port or one.port == 0:
        return False
    hosts = {address.host.replace("localhost", "127.0.0.1") for address in (one, other)}
    return len(hosts) == 1 or not hosts.isdisjoint(_ANY_ADDRESS)


def token_problem(token: str, is_reachable: bool) -> str | None:
    """Return why `token` cannot protect the API, None if it can. It must be longer where the API
    `is_reachable` from other machines."""
    if not re.fullmatch("[!-~]+", token):
        return "must be printable ASCII without blanks; `openssl rand -hex 32` prints one"
    if is_reachable and len(token) < SHORTEST_TOKEN:
        return (
            f"has {len(token)} characters, but needs {SHORTEST_TOKEN} or more because other "
            "machines can connect; `openssl rand -hex 32` prints one"
        )
    return None

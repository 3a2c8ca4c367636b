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


def keep_apart(key: str, host: str, port: int, guarded: bool) -> None:
    """Raise `ConfigError` where others can reach `host` and no token is set, which `guarded`
    tells; `key` under [api] asks for it."""
    if not guarded and not is_loopback(host):
        raise ConfigError(
            f'[api] {key} = "{written(host, port)}" lets other machines in: set [api] token_file, '
            f"or listen on 127.0.0.1:{port}"
        )

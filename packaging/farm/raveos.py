"""RaveOS: its task's configuration as settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sheet import DEFAULT_LISTEN, Pool, Sheet, SheetError, write_settings

_SSL, _HTTP, _TLS = 2, 4, 8
"""Bits of a pool's `pool_type`."""


def _address(pool: Mapping[str, Any]) -> str:
    url = _stripped(pool, "url")
    if not url or "://" in url:
        return url
    kind = int(pool.get("pool_type") or 0)
    plain, secret = ("http", "https") if kind & _HTTP else ("stratum+tcp", "stratum+tls")
    return f"{secret if kind & (_SSL | _TLS) else plain}://{url}"


def configure(text: str, config: Path) -> None:
    """Write the settings for what `ravinos.get_config()` returned, as JSON; raises `SheetError`."""
    config.unlink(missing_ok=True)  # an older task's account is not mined for
    try:
        sheet = _sheet(json.loads(text))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SheetError(f"RaveOS's task cannot be read: {error}") from error
    write_settings(config, sheet)


def _sheet(task: Mapping[str, Any]) -> Sheet:
    coins = task.get("coins") or []
    if len(coins) != 1:
        raise SheetError("one coin at a time is mined: choose a single one for this miner")
    pools = tuple(
        Pool(_address(p), _stripped(p, "user"), _stripped(p, "password"))
        for p in coins[0].get("pools") or []
        if p.get("url")
    )
    port = task.get("api_port")
    return Sheet(
        algorithm=_stripped(coins[0], "algo"),
        pools=pools,
        log_file=str(task.get("log_file") or ""),
        listen=f"127.0.0.1:{int(port)}" if port else DEFAULT_LISTEN,
        devices=tuple(str(m["pci"]) for m in task.get("mpus") or [] if m.get("pci")),
        own=str(task.get("user_config") or ""),
    )


def _stripped(pool: Mapping[str, Any], key: str) -> str:
    return str(pool.get(key) or "").strip()

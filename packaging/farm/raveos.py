"""RaveOS: the configuration of a task to settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sheet import DEFAULT_LISTEN, Pool, Sheet, SheetError, write_settings

_SSL, _HTTP, _TLS = 2, 4, 8
"""Bits of a pool's `pool_type`."""


def configure(text: str, config: Path) -> None:
    """Write the settings for the JSON of `ravinos.get_config()`; raises `SheetError`."""
    config.unlink(missing_ok=True)  # the account of an older task must not be mined for
    try:
        sheet = _sheet(json.loads(text))
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise SheetError(f"RaveOS's task cannot be read: {error}") from error
    write_settings(config, sheet)


def _sheet(task: Mapping[str, Any]) -> Sheet:
    coins = task.get("coins") or []
    if len(coins) != 1:
        raise SheetError("one coin at a time is mined: choose a single one for this miner")
    pools = tuple(
        Pool(_url(pool), _text(pool, "user"), _text(pool, "password"))
        for pool in coins[0].get("pools") or []
        if pool.get("url")
    )
    port = task.get("api_port")
    return Sheet(
        algorithm=_text(coins[0], "algo"),
        pools=pools,
        log_file=str(task.get("log_file") or ""),
        listen=f"127.0.0.1:{int(port)}" if port else DEFAULT_LISTEN,
        devices=tuple(str(m["pci"]) for m in task.get("mpus") or [] if m.get("pci")),
        extra=str(task.get("user_config") or ""),
    )


def _url(pool: Mapping[str, Any]) -> str:
    url = _text(pool, "url")
    if not url or "://" in url:
        return url
    kind = int(pool.get("pool_type") or 0)
    plain, encrypted = ("http", "https") if kind & _HTTP else ("stratum+tcp", "stratum+tls")
    return f"{encrypted if kind & (_SSL | _TLS) else plain}://{url}"


def _text(table: Mapping[str, Any], key: str) -> str:
    return str(table.get(key) or "").strip()

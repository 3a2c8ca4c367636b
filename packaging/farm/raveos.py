"""RaveOS: its task's configuration as settings."""

from __future__ import annotations

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
    if kind & _HTTP:
        return f"http://{url}"
    return f"stratum+tls://{url}" if kind & (_SSL | _TLS) else f"stratum+tcp://{url}"


def configure(task: Mapping[str, Any], config: Path) -> None:
    """Write the settings for what `ravinos.get_config()` returned; raises `SheetError`."""
    coins = task.get("coins") or []
    if len(coins) != 1:
        raise SheetError("one coin at a time is mined: choose a single one for this miner")
    pools = tuple(
        Pool(_address(p), _stripped(p, "user"), _stripped(p, "password"))
        for p in coins[0].get("pools") or []
        if p.get("url")
    )
    port = task.get("api_port")
    sheet = Sheet(
        algorithm=_stripped(coins[0], "algo"),
        pools=pools,
        log_file=str(task.get("log_file") or ""),
        listen=f"127.0.0.1:{int(port)}" if port else DEFAULT_LISTEN,
        devices=tuple(str(m["pci"]) for m in task.get("mpus") or [] if m.get("pci")),
        own=str(task.get("user_config") or ""),
    )
    write_settings(config, sheet)


def _stripped(pool: Mapping[str, Any], key: str) -> str:
    return str(pool.get(key) or "").strip()

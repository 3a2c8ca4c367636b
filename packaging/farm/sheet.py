"""What a farm system hands over, turned into the miner's settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toml_text import toml_text

DEFAULT_LISTEN = "127.0.0.1:4067"


class SheetError(Exception):
    """One sentence about what the farm's page has to say differently."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool; what is empty is left out of the settings."""

    url: str
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What every farm system knows of a run."""

    algorithm: str
    """A variant's name; empty where the user's own lines name a variant or a coin."""
    pools: tuple[Pool, ...]
    """In the order in which they are tried."""
    rig: str = ""
    log_file: str = ""
    listen: str = DEFAULT_LISTEN
    devices: tuple[str, ...] = ()
    """As `devices.use` takes them; empty: all."""
    own: str = ""
    """The user's lines of TOML. They win; `[[pools]]` are added, `[pool]` holds for all of the
    sheet's own pools."""


def settings(sheet: Sheet) -> dict[str, Any]:
    """Return the miner's settings; raises `SheetError`."""
    own = _own(sheet.own)
    common, more = own.pop("pool", {}), own.pop("pools", [])
    if not isinstance(common, dict) or not isinstance(more, list):
        raise SheetError("extra settings: [pool] is one table, [[pools]] are several")
    values: dict[str, Any] = {}
    if not ("variant" in own or "coin" in own):
        if not sheet.algorithm:
            raise SheetError(
                'no algorithm is chosen: choose one, or write coin = "RVN" into the extra settings'
            )
        values["variant"] = sheet.algorithm
    if sheet.rig:
        values["rig"] = sheet.rig
    values["api"] = {"listen": sheet.listen, "panels": True}
    if sheet.log_file:
        values["log"] = {"file": sheet.log_file}
    if sheet.devices:
        values["devices"] = {"use": list(sheet.devices)}
    values = _merged(values, own)
    pools = [_merged(_pool(pool), common) for pool in sheet.pools] + more
    if not pools:
        raise SheetError("no pool is named: enter its address, as in stratum+tcp://HOST:PORT")
    values["pools"] = pools
    return values


def _own(text: str) -> dict[str, Any]:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if first.startswith("-"):
        raise SheetError(
            "extra settings: are lines of a settings file, not flags; for instance "
            '[devices] and, in the next line, use = ["opencl:0.0"]'
        )
    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise SheetError(f"extra settings: are not valid TOML: {error}") from error


def _pool(pool: Pool) -> dict[str, Any]:
    return {key: value for key, value in asdict(pool).items() if value}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables key by key; anything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merged(below, value)
        result[key] = value
    return result


def pools_of(addresses: str, user: str, password: str) -> tuple[Pool, ...]:
    """Return the pools of a field in which white space or commas separate the addresses; they
    share one account."""
    urls = addresses.replace(",", " ").split()
    return tuple(Pool(url, user.strip(), password.strip()) for url in urls)


def write_settings(path: Path, sheet: Sheet) -> None:
    """Write the settings so that only their owner can read them, whole or not at all; raises
    `SheetError`, and then leaves no older settings behind that would be mined with."""
    path.unlink(missing_ok=True)
    try:
        text = toml_text(settings(sheet))
    except ValueError as error:
        raise SheetError(f"the farm's settings cannot be used: {error}") from error
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    fresh.replace(path)


def listening(path: Path) -> str:
    """Return the address on which a miner with the settings at `path` answers."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return DEFAULT_LISTEN
    api = values.get("api", {})
    listen = api.get("listen", DEFAULT_LISTEN) if isinstance(api, dict) else DEFAULT_LISTEN
    return listen if isinstance(listen, str) else DEFAULT_LISTEN

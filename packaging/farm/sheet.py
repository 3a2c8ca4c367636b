"""The configuration of a farm system (HiveOS calls it a flight sheet) as the miner's settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tomli_w

from miner.errors import ConfigError
from miner.resources import QUOTED, is_quoted, parse_toml, read_text
from miner.settings.toml_lines import syntax_problem

DEFAULT_LISTEN = "127.0.0.1:4067"


class SheetError(Exception):
    """A mistake in the farm system's configuration, in one sentence."""


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool; an empty field is left out of the settings."""

    url: str
    user: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The fields that farm systems have in common."""

    algorithm: str
    """A variant's name; may be empty if the extra settings name a variant or a coin."""
    pools: tuple[Pool, ...]
    """In order of preference."""
    rig: str = ""
    log_file: str = ""
    listen: str = DEFAULT_LISTEN
    devices: tuple[str, ...] = ()
    """As in `devices.use`; empty: all."""
    extra: str = ""
    """The user's lines of a settings file. They override the other fields; `[[pools]]` adds pools,
    `[pool]` applies to all pools of the sheet."""


def settings(sheet: Sheet) -> dict[str, Any]:
    """Return the miner's settings; raises `SheetError`."""
    extra = _parse_extra(sheet.extra)
    of_each_pool, more_pools = extra.pop("pool", {}), extra.pop("pools", [])
    if not isinstance(of_each_pool, dict) or not isinstance(more_pools, list):
        raise SheetError("extra settings: [pool] is one table, [[pools]] are several")
    values: dict[str, Any] = {}
    if not ("variant" in extra or "coin" in extra):
        if not sheet.algorithm:
            raise SheetError(
                'no algorithm is chosen: choose one, or write coin = "RVN" into the extra settings'
            )
        values["variant"] = sheet.algorithm
    if sheet.rig:
        values["rig"] = sheet.rig
    values["api"] = {"listen": sheet.listen, "panels": True}
    # Farm systems record the terminal as text; a live view fills it with control characters.
    values["log"] = {"console": "plain"}
    if sheet.log_file:
        values["log"]["file"] = sheet.log_file
    if sheet.devices:
        values["devices"] = {"use": list(sheet.devices)}
    values = _merge(values, extra)
    for pool in sheet.pools:
        for name, value in asdict(pool).items():
            if is_quoted(value):
                raise SheetError(f"the {name} of the pool {QUOTED}")
    pools = [_merge(_pool_table(pool), of_each_pool) for pool in sheet.pools] + more_pools
    if not pools:
        raise SheetError("no pool is named: enter its address, as in stratum+tcp://HOST:PORT")
    values["pools"] = pools
    return values


def _parse_extra(text: str) -> dict[str, Any]:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    if first.startswith("-"):
        raise SheetError(
            "extra settings: are lines of a settings file, not flags; for instance "
            '[devices] and, in the next line, use = ["opencl:0.0"]'
        )
    text = text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    try:
        return parse_toml(text, "extra settings")
    except ConfigError as error:
        raise SheetError(str(error)) from error
    except tomllib.TOMLDecodeError as error:
        line, problem = syntax_problem(text, error)
        sentence = f"extra settings: line {line}: are not valid TOML: {problem}"
        raise SheetError(sentence) from error


def _pool_table(pool: Pool) -> dict[str, Any]:
    return {key: value for key, value in asdict(pool).items() if value}


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """Return both merged, tables key by key; `upper` wins."""
    result = dict(lower)
    for key, value in upper.items():
        replaced = result.get(key)
        if isinstance(replaced, dict) and isinstance(value, dict):
            value = _merge(replaced, value)
        result[key] = value
    return result


def pools_of(addresses: str, user: str, password: str) -> tuple[Pool, ...]:
    """Return the pools of a field with addresses between blanks, commas or semicolons; they share a
    login."""
    urls = addresses.replace(",", " ").replace(";", " ").split()
    return tuple(Pool(url, user.strip(), password.strip()) for url in urls)


def write_settings(path: Path, sheet: Sheet) -> None:
    """Write the settings of `sheet`, readable by their owner only, whole or not at all.

    Raises `SheetError`. Older settings are removed in any case: their account must not be mined
    for.
    """
    path.unlink(missing_ok=True)
    try:
        text = tomli_w.dumps(settings(sheet)).encode()
    except UnicodeEncodeError as error:
        raise SheetError("the farm's settings are not UTF-8 text") from error
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
    fresh.replace(path)


def listen_of(path: Path) -> str:
    """Return the address of the API in the settings file at `path`, else the default."""
    try:
        values = parse_toml(read_text(path, str(path)), str(path))
    except (ConfigError, tomllib.TOMLDecodeError):
        return DEFAULT_LISTEN
    api = values.get("api", {})
    listen = api.get("listen", DEFAULT_LISTEN) if isinstance(api, dict) else DEFAULT_LISTEN
    return listen if isinstance(listen, str) else DEFAULT_LISTEN

"""Checks of settings beyond the model that need neither the network nor devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from miner.catalog import Coin, find_variant
from miner.devices.device_names import CPU
from miner.devices.tuning import PARTS, start_for
from miner.errors import BadValue, ConfigError, MinerError
from miner.net.socks import parse_proxy
from miner.net.tls import parse_fingerprint, tls_context
from miner.pool.pool_addresses import PLAIN, choose_protocol, known_protocols
from miner.run.resolve_pools import chosen_coin, login_notes, pool_url, wallet_notes
from miner.safe_text import without_login, without_wallets
from miner.settings.loading import Loaded, validate
from miner.settings.model import ApiSettings, DeviceSettings, PoolSettings, Settings
from miner.settings.secrets import (
    api_token,
    expand_home,
    file_to_write,
    read_secret,
    secret_file_warnings,
    settings_file_warnings,
)
from miner.settings.sources import merge_sources
from miner.settings.toml_lines import Place, key_name
from miner.settings.toml_text import tables

LOGIN_KEYS = ("user", "worker", "password")
"""Keys that are parsed together with a pool's URL."""


def check(path: Path | None, environ: Mapping[str, str]) -> tuple[Loaded | None, list[str]]:
    """Return (settings, []), or (None, a sentence for each mistake), which begins with the origin
    of the value."""
    try:
        raw = merge_sources(path, {}, environ)
    except ConfigError as error:
        return None, [str(error)]
    loaded, problems = validate(raw)
    if loaded is not None:
        problems = [*problems, *_further_problems(loaded)]
    return (None, problems) if problems else (loaded, [])


def _further_problems(loaded: Loaded) -> Iterator[str]:
    settings = loaded.settings
    coin, problems = _try(loaded, ("coin",), chosen_coin, settings)
    yield from problems
    if coin is None and settings.variant is not None:
        yield from _try(loaded, ("variant",), find_variant, settings.variant)[1]
    yield from _temperature_problems(loaded)
    if not problems:  # the protocols of the pools depend on the coin
        for number, pool in enumerate(settings.pools):
            yield from _pool_problems(loaded, ("pools", number), pool, coin)
    yield from _try(loaded, ("api", "token_file"), api_token, settings.api)[1]
    for place, path, purpose in (
        (("log", "file"), settings.log.file, "the log"),
        (("record",), settings.record, "the recording"),
        (("ledger", "file"), settings.ledger.file, "the ledger"),
        (("api", "address_file"), settings.api.address_file, "the address"),
    ):
        yield from _try(loaded, place, file_to_write, path, purpose)[1]
    yield from overwritten_files(loaded)


WRITTEN = (("log", "file"), ("ledger", "file"), ("api", "address_file"), ("record",))
"""Keys of the files that a run writes."""


def overwritten_files(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for each file that a run would write over another one of the settings."""
    named = {
        (*place, name): value
        for place, values in tables(loaded.settings)
        for name, value in values.items()
        if isinstance(value, Path)
    }
    known = {} if loaded.raw.path is None else {_real(loaded.raw.path): "the settings file"}
    known |= {_real(path): key_name(place) for place, path in named.items() if place not in WRITTEN}
    for place in WRITTEN:
        if place not in named or (path := _real(named[place])).startswith("/dev/"):
            continue
        if path in known:
            where = f"{loaded.raw.nearest_origin(place).where}: {key_name(place)}"
            yield f"{where}: {named[place]} is {known[path]} too; name another file"
        known.setdefault(path, key_name(place))


def _real(path: Path) -> str:
    return os.path.realpath(os.path.expanduser(path))


def notes(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for each thing that is valid but probably not intended."""
    yield from settings_file_warnings(loaded)
    yield from secret_file_warnings(loaded.settings)
    coin = chosen_coin(loaded.settings)
    urls = [pool_url(pool, coin) for pool in loaded.settings.pools]
    yield from login_notes(loaded.settings.pools)
    yield from wallet_notes(urls, coin, loaded.settings.variant)
    yield from unused_api_settings(loaded.settings.api)
    for number, pool in enumerate(loaded.settings.pools, 1):
        host = without_login(pool.url).rpartition("://")[2].partition(":")[0]
        if host.lower().endswith(".example"):
            yield f"pools[{number}] has an example address; replace it with your pool's"


def unused_api_settings(api: ApiSettings) -> Iterator[str]:
    """Yield a sentence if the API is off although other settings need it."""
    given = [name for name in ("panels", "hosts") if getattr(api, name)]
    if given and not api.listen:
        yield f"[api] {given[0]} has no effect, since listen is off"


def summary(settings: Settings) -> str:
    """Return the most important settings in one line."""
    first = without_login(settings.pools[0].url)
    count = len(settings.pools)
    devices = settings.devices
    return ", ".join(
        [
            settings.coin or settings.variant or "",
            f"pool {first}" if count == 1 else f"{count} pools, first {first}",
            f"devices {', '.join(devices.use)}" if devices.use else _default_devices(devices),
            f"API on {settings.api.listen}" if settings.api.listen else "no API",
        ]
    )


def _default_devices(devices: DeviceSettings) -> str:
    return "the CPU" if devices.backend == CPU else "every usable GPU"


def _temperature_problems(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for each start temperature for which no table has a stop temperature."""
    devices = loaded.settings.devices
    tables: dict[Place, object] = {("devices",): devices}
    tables |= {("devices", "tune", number): block for number, block in enumerate(devices.tune)}
    for part in PARTS:
        if any(getattr(table, f"{part}temperature_stop") is not None for table in tables.values()):
            continue
        for place, table in tables.items():
            try:
                start_for(part, None, getattr(table, f"{part}temperature_start"))
            except BadValue as error:
                where = loaded.raw.nearest_origin((*place, error.field)).where
                yield f"{where}: {key_name(place)}.{error}"


def _pool_problems(
    loaded: Loaded, place: Place, pool: PoolSettings, coin: Coin | None
) -> Iterator[str]:
    checks: dict[str, Callable[[Any], Any]] = {
        "password_file": lambda path: read_secret(path, "password file"),
        "tls_ca_file": lambda path: expand_home(path, "CA file"),
        "cookie_file": lambda path: expand_home(path, "cookie file"),
        "proxy": parse_proxy,
        "tls_fingerprint": parse_fingerprint,
        "protocol": _check_protocol,
    }
    problems: list[str] = []
    for key, check in checks.items():
        value = getattr(pool, key)
        if value is not None:
            problems += _try(loaded, (*place, key), check, value)[1]
    if not problems:
        url, problems = _try(loaded, (*place, "url"), pool_url, pool, coin)
        for key in LOGIN_KEYS if problems else ():
            # The mistake is in this key if a harmless value removes it.
            harmless = SecretStr("x") if key == "password" else "x"
            other = pool.model_copy(update={key: harmless})
            if key in pool.model_fields_set and not _try(loaded, place, pool_url, other, coin)[1]:
                problems = _try(loaded, (*place, key), pool_url, pool, coin)[1]
        # The system's certificates are not checked: reading them takes long.
        if url is not None and url.ca_file is not None:
            problems = _try(loaded, (*place, "tls_ca_file"), tls_context, url)[1]
    yield from problems


def _check_protocol(name: str) -> None:
    if name.lower() not in known_protocols():
        choose_protocol(name, PLAIN, None)  # raises an error that suggests the nearest name


def _try(
    loaded: Loaded, place: Place, function: Callable[..., Any], *values: Any
) -> tuple[Any, list[str]]:
    """Return (result of `function`, []), or (None, [a message about `place`]) if it raises."""
    try:
        return function(*values), []
    except (MinerError, OSError, ValueError, RuntimeError) as error:
        where = loaded.raw.nearest_origin(place).where
        return None, [f"{where}: {key_name(place)}: {without_wallets(str(error))}"]

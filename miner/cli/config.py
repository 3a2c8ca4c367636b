"""The commands about settings: a new file, what is wrong with one, what is in effect."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import settings_file

if TYPE_CHECKING:
    from miner.catalog import Coin
    from miner.settings import Loaded, PoolSettings, Settings
    from miner.settings.toml_lines import Place

NEW_FILE = "progpow-miner.toml"

LOGIN = ("user", "worker", "password")
"""Keys that become one with a pool's url, in which they may be wrong."""

CONFIG_OPTION = click.option(
    "-c", "--config", "option", type=click.Path(path_type=Path), help="The file, as a flag."
)


@click.group()
def config() -> None:
    """Write, check and show settings."""


@config.command("init")
@click.argument("file", default=NEW_FILE)
@click.option("--force", is_flag=True, help="Overwrite a file that is there.")
def init(file: str, force: bool) -> None:
    """Write a commented settings file (FILE: progpow-miner.toml; "-" prints it)."""
    from miner.errors import ConfigError
    from miner.settings.settings_page import new_file

    if file == "-":
        click.echo(new_file(), nl=False)
        return
    if not file.strip() or Path(file).is_dir():
        raise ConfigError(f"{file!r} is no file; name one, as in {NEW_FILE}")
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as written:
            written.write(new_file())
    except FileExistsError as error:
        raise ConfigError(f"{file}: is there already; --force overwrites it") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    click.echo(f"{file} is written; put your wallet and your pool in, then: config check {file}")


@config.command("check")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@CONFIG_OPTION
def check(file: Path | None, option: Path | None) -> None:
    """Say what is wrong with FILE, under the environment as it is now."""
    from miner.settings import examine
    from miner.settings.secrets import exposed_file

    path = _one(file, option)
    if path is None:
        raise click.UsageError("name the file to check")
    loaded, problems = examine(path, environ=os.environ)
    if loaded is not None:
        problems = list(_problems(loaded))
    for sentence in problems:
        click.echo(sentence, err=True)
    if problems or loaded is None:
        raise click.exceptions.Exit(2)
    for sentence in [*exposed_file(loaded), *_notes(loaded.settings)]:
        click.echo(f"note: {sentence}")
    click.echo(f"{path}: ok: {_digest(loaded.settings)}")


@config.command("show")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@CONFIG_OPTION
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(file: Path | None, option: Path | None, as_json: bool) -> None:
    """Print the settings in effect and where each came from, without secrets."""
    from miner.settings import load
    from miner.settings.environment import OTHER_VARIABLES
    from miner.settings.toml_text import as_object, effective

    loaded = load(_one(file, option), environ=os.environ)
    others = {name: words for name, words in OTHER_VARIABLES.items() if os.environ.get(name)}
    if as_json:
        shown = as_object(loaded) | {"variables": list(others)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo(effective(loaded), nl=False)
    for name, words in others.items():
        click.echo(f"\n# environment {name} is set: {words}", nl=False)
    click.echo("\n" if others else "", nl=False)


@config.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of a settings file."""
    from miner.settings.settings_page import schema

    click.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@config.command("reference", hidden=True)
def reference() -> None:
    """Print docs/settings.md."""
    from miner.settings.settings_page import page

    click.echo(page(), nl=False)


def _one(file: Path | None, option: Path | None) -> Path | None:
    if file is not None and option is not None:
        raise click.UsageError("name one file, as FILE or with -c")
    return file or option or settings_file()


def _problems(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for what is wrong and can be known without network and devices."""
    from miner.catalog import find_coin, find_variant
    from miner.settings.secrets import home, token_of

    settings = loaded.settings
    coin: Coin | None = None
    if settings.coin is not None:
        coin, problem = _tried(loaded, ("coin",), find_coin, settings.coin)
        yield from problem
        if coin is None:
            return  # what pools may speak depends on it
    else:
        yield from _tried(loaded, ("variant",), find_variant, settings.variant or "")[1]
    yield from _heat_problems(loaded)
    for number, pool in enumerate(settings.pools):
        yield from _pool_problems(loaded, ("pools", number), pool, coin)
    yield from _tried(loaded, ("api", "token_file"), token_of, settings.api)[1]
    for place, path in {
        ("record",): settings.record,
        ("log", "file"): settings.log.file,
        ("ledger", "file"): settings.ledger.file,
    }.items():
        yield from _tried(loaded, place, home, path, "file")[1]


def _heat_problems(loaded: Loaded) -> Iterator[str]:
    """Yield a sentence for a start that no device can have a stop for."""
    from miner.devices.selection import PARTS, start_of
    from miner.errors import BadValue
    from miner.settings.messages import key_name

    devices = loaded.settings.devices
    places: dict[Place, object] = {("devices",): devices}
    places |= {("devices", "tune", number): block for number, block in enumerate(devices.tune)}
    for part in PARTS:
        if any(getattr(table, f"{part}temperature_stop") is not None for table in places.values()):
            continue
        for place, table in places.items():
            try:
                start_of(part, None, getattr(table, f"{part}temperature_start"))
            except BadValue as error:
                where = loaded.gathered.nearest((*place, error.field)).where
                yield f"{where}: {key_name(place)}.{error}"


def _pool_problems(
    loaded: Loaded, place: Place, pool: PoolSettings, coin: Coin | None
) -> Iterator[str]:
    from pydantic import SecretStr

    from miner.net.socks import parse_proxy
    from miner.net.tls import parse_fingerprint, tls_context
    from miner.pool.pool_addresses import known_protocols
    from miner.run.resolve import pool_url
    from miner.settings.secrets import first_line

    def known_protocol(name: str) -> None:
        from miner.pool.pool_addresses import PLAIN, protocol_of

        if name.lower() not in known_protocols():
            protocol_of(name, PLAIN, None)

    parts: list[tuple[str, Callable[[Any], Any]]] = [
        ("password_file", lambda path: first_line(path, "password file")),
        ("proxy", parse_proxy),
        ("tls_fingerprint", parse_fingerprint),
        ("protocol", known_protocol),
    ]
    problems: list[str] = []
    for key, parse in parts:
        value = getattr(pool, key)
        if value is not None:
            problems += _tried(loaded, (*place, key), parse, value)[1]
    if not problems:
        url, problems = _tried(loaded, (*place, "url"), pool_url, pool, coin)
        for key in LOGIN if problems else ():
            harmless = SecretStr("x") if key == "password" else "x"
            other = pool.model_copy(update={key: harmless})
            if key in pool.model_fields_set and not _tried(loaded, place, pool_url, other, coin)[1]:
                problems = _tried(loaded, (*place, key), pool_url, pool, coin)[1]
        # Only that file can be wrong, and the system's certificates take long to read.
        if url is not None and url.ca_file is not None:
            problems = _tried(loaded, (*place, "tls_ca_file"), tls_context, url)[1]
    yield from problems


def _tried(
    loaded: Loaded, place: Place, function: Callable[..., Any], *values: Any
) -> tuple[Any, list[str]]:
    """Return (what `function` makes of `values`, no sentence), or (None, the one about `place`)."""
    from miner.errors import MinerError
    from miner.safe_text import without_wallets
    from miner.settings.messages import key_name

    try:
        return function(*values), []
    except (MinerError, OSError, ValueError, RuntimeError) as error:
        where = loaded.gathered.nearest(place).where
        return None, [f"{where}: {key_name(place)}: {without_wallets(str(error))}"]


def _notes(settings: Settings) -> Iterator[str]:
    from miner.safe_text import without_login
    from miner.settings.secrets import exposed

    yield from exposed(settings)
    for number, pool in enumerate(settings.pools, 1):
        if "YOUR_WALLET" in pool.user + pool.url:
            yield f"pools[{number}] still names YOUR_WALLET; write your own in its place"
        host = without_login(pool.url).rpartition("://")[2].partition(":")[0]
        if host.lower().endswith(".example"):
            yield f"pools[{number}] is no real pool; write the address of yours"


def _digest(settings: Settings) -> str:
    from miner.safe_text import without_login

    pools = len(settings.pools)
    first = without_login(settings.pools[0].url)
    devices = settings.devices
    return ", ".join(
        [
            settings.coin or settings.variant or "",
            f"pool {first}" if pools == 1 else f"{pools} pools, first {first}",
            f"devices {', '.join(devices.use)}" if devices.use else "every usable device",
            f"API on {settings.api.listen}" if settings.api.listen else "no API",
        ]
    )

"""The command `mine`, with a flag for each setting whose model has one."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import config_option, split_names
from miner.signals import STOPPED_AT_ONCE, handled

if TYPE_CHECKING:
    from miner.settings.field_types import Flag
    from miner.settings.key_table import Key


@cache
def setting_options() -> Sequence[click.Option]:
    """Return an option for each setting that has a flag, in the order of the model."""
    from miner.settings.key_table import flag_keys

    return [_option(key, flag) for key, flag in flag_keys().values()]


def _option(key: Key, flag: Flag) -> click.Option:
    declarations = [*flag.names, _parameter(key.place)]
    description = key.description.replace("`", "")
    if key.type is bool:
        return click.Option(declarations, is_flag=True, default=None, help=flag.off or description)
    if key.default:
        description += f" Default: {key.default}."
    return click.Option(
        declarations,
        type=key.type if key.type in (int, float) else str,
        metavar="|".join(key.type) if isinstance(key.type, tuple) else flag.metavar,
        multiple=flag.repeatable,
        help=description + (" Repeat for more pools." if key.place == ("pools", "url") else ""),
    )


def _parameter(place: tuple[str, ...]) -> str:
    return "_".join(place)


class _MineCommand(click.Command):
    """Adds the options of the settings when they are needed: importing the model takes time."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*setting_options(), *super().get_params(ctx)]


@click.command(cls=_MineCommand)
@click.option(
    "-P", "--pool", "combined", multiple=True, metavar="URL",
    help="Pool with its login: scheme://user.worker:pass@host:port. Repeat for more pools.",
)  # fmt: skip
@config_option("config", "Settings file in TOML; the flags override it.")
def mine(combined: tuple[str, ...], config: Path | None, **options: Any) -> None:
    """Mine with the wallet or account that you name.

    The settings come from the flags, the environment (PROGPOW_MINER_...) and a settings file.
    """
    from miner.settings.environment import settings_file

    config = config or settings_file(os.environ)
    given = _settings(options, combined, config)
    # A reload signal during the start must not end the process.
    with handled("SIGHUP", signal.SIG_IGN):
        try:
            _mine(config, given)
        except KeyboardInterrupt:
            click.echo("progpow-miner: stopped at once", err=True)
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED_AT_ONCE)  # an orderly exit waits for threads in drivers and compilers


def _mine(config: Path | None, given: Mapping[str, Any]) -> None:
    import asyncio

    from miner.engine.threads import WorkPool
    from miner.run.mining import mine as run_mine
    from miner.run.resolve import resolve_settings
    from miner.settings import load

    # In a thread, because a driver that compiles would keep this one from seeing signals.
    with WorkPool("start", 1, time_left=lambda: 0.0) as start:
        mining = start.submit(resolve_settings, lambda: load(config, given, os.environ)).result()
    asyncio.run(run_mine(mining))


def _settings(
    options: Mapping[str, Any], combined: Sequence[str], config: Path | None
) -> dict[str, Any]:
    """Return the values of the flags in the form of a settings file, None where not given.

    Raises `UsageError` for flags of pools that do not fit together.
    """
    from miner.settings.key_table import flag_keys

    given: dict[str, Any] = {}
    of_each_pool: dict[str, Any] = {}
    of_one_pool: dict[str, Sequence[str]] = {}
    for place, (key, flag) in flag_keys().items():
        value = options[_parameter(place)]
        if key.type is bool and value:
            value = not flag.off
        elif key.type is tuple:
            value = split_names(value)
        if not key.repeated:
            table = given
            for part in place[:-1]:
                table = table.setdefault(part, {})
            table[key.name] = value
        elif flag.repeatable:
            of_one_pool[key.name] = value
        else:
            of_each_pool[key.name] = value
    pools = paired(of_one_pool) + [{"url": url} for url in combined]
    if not pools:
        _check_unused(of_each_pool, config)
    return given | {"pools": [pool | of_each_pool for pool in pools] or None}


def paired(values: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return a pool for each URL, with the user and password given in the same position; the last
    user and password serve the remaining URLs."""
    urls = values["url"]
    others = {key: given for key, given in values.items() if key != "url" and given}
    for key, given in others.items():
        if not urls:
            raise click.UsageError(f"{_flag(key)} needs a pool: give -o URL too")
        if len(given) > len(urls):
            raise click.UsageError(
                f"{_flag(key)} is given {len(given)} times, but -o {len(urls)} times"
            )
    return [
        {"url": url} | {key: given[min(i, len(given) - 1)] for key, given in others.items()}
        for i, url in enumerate(urls)
    ]


def _check_unused(of_each_pool: Mapping[str, Any], config: Path | None) -> None:
    """Raise `UsageError` for a flag of pools without a pool on the command line, where the pools
    come from elsewhere."""
    from miner.settings.key_table import flag_keys

    if config is None and flag_keys()["pools", "url"][0].variable not in os.environ:
        return  # the missing pool is reported instead
    for name, value in of_each_pool.items():
        if value is not None:
            key, flag = flag_keys()["pools", name]
            instead = f"write {name} under [[pools]] in {config}"
            if config is None:
                instead = f"set {key.variable}"
            raise click.UsageError(
                f"{flag.names[0]} applies to pools given with -o or -P; {instead}"
            )


def _flag(key: str) -> str:
    """Return the flag of a pool's key."""
    from miner.settings.key_table import flag_keys

    return flag_keys()["pools", key][1].names[0]

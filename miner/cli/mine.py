"""The command `mine`, with a flag for each setting whose model has one."""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.completion import VALUES, complete_value
from miner.cli.options import (
    UserPath,
    config_option,
    reserve_output,
    settings_path,
    split_names,
    write,
)
from miner.cli.other_miners import Translation, check_count
from miner.signals import STOPPED_AT_ONCE, handled

if TYPE_CHECKING:
    from miner.settings.field_types import Flag
    from miner.settings.key_table import Key

TRANSLATION = "miner.translation"
"""Key of the `Translation` in the data of the command's context."""

SIGNAL_SECONDS = 0.2
"""Longest time until a signal during the start is seen."""

_BARE_ADDRESS = re.compile(r"([A-Za-z0-9+.-]+://)?([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]+")


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
        multiple=flag.repeatable or key.type is tuple,
        callback=_list if key.type is tuple else None,
        shell_complete=complete_value if VALUES.keys() & flag.names else None,
        help=description + (" Repeat for more pools." if key.place == ("pools", "url") else ""),
    )


def _list(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> str | None:
    """Return the values of a flag for a list, joined by commas; None without one."""
    return ",".join(values) if values else None


def _parameter(place: tuple[str, ...]) -> str:
    return "_".join(place)


class _MineCommand(click.Command):
    """Adds the options of the settings when they are needed, since importing the model takes time,
    and accepts flags of other miners."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*setting_options(), *super().get_params(ctx)]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not ctx.resilient_parsing:
            options = [p for p in self.get_params(ctx) if isinstance(p, click.Option)]
            try:
                translation = Translation(args, {name: o for o in options for name in o.opts})
            except click.UsageError as error:
                error.ctx = ctx
                raise
            args, ctx.meta[TRANSLATION] = translation.arguments, translation
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one section for each table of the settings, and one for the other options."""
        from miner.settings.key_table import flag_keys, one_paragraph

        sections: dict[str, list[click.Parameter]] = {}
        for (key, _), option in zip(flag_keys().values(), setting_options(), strict=True):
            title = one_paragraph(key.table.__doc__).partition(". ")[0].removesuffix(".")
            sections.setdefault(title, []).append(option)
            if key.place == ("pools", "url"):
                sections[title] += [p for p in self.params if p.name == "combined"]
        shown = {id(option) for options in sections.values() for option in options}
        sections["Other options"] = [
            p for p in self.get_params(ctx) if isinstance(p, click.Option) and id(p) not in shown
        ]
        for title, options in sections.items():
            records = [record for o in options if (record := o.get_help_record(ctx)) is not None]
            with formatter.section(title):
                formatter.write_dl(records)


@click.command(cls=_MineCommand)
@click.argument("file", type=UserPath(path_type=Path), required=False)
@click.option(
    "-P", "--pool", "combined", multiple=True, metavar="URL",
    help="Pool with its login: scheme://user.worker:pass@host:port. Repeat for more pools.",
)  # fmt: skip
@config_option("config", "The same as FILE: settings in TOML, which the flags override.")
def mine(file: Path | None, combined: tuple[str, ...], config: Path | None, **options: Any) -> None:
    """Mine on this machine's GPUs with your wallet or account.

    The settings come from the flags, the environment (PROGPOW_MINER_...) and a settings FILE.
    "mine" may be left out before a flag. Many flags of other miners work too.

    \b
    Examples:
      progpow-miner mine --coin RVN -o stratum+tcp://pool.example:3333 -u WALLET
      progpow-miner mine --coin RVN -o a.example:33,b.example:33 -u WALLET -w rig1
      progpow-miner mine -a firopow -P stratum+tls://WALLET.rig1@pool.example:3334
      progpow-miner mine rig.toml -d '*RTX*' --shares 100
    """
    config = settings_path(file, config)
    if file is not None:
        _check_file(file)
    given = _settings(options, combined, config)
    # A reload signal during the start must not end the process.
    with handled("SIGHUP", signal.SIG_IGN):
        try:
            _mine(config, given, click.get_current_context().meta[TRANSLATION].overridden)
        except KeyboardInterrupt:
            click.echo("progpow-miner: stopped at once", err=True)
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED_AT_ONCE)  # an orderly exit waits for threads in drivers and compilers


def _check_file(file: Path) -> None:
    if re.search(":[0-9]+$", file.name) and not os.path.exists(file):
        text = f"{file.name!r} is not a flag; give each pool with -o, or separate pools by commas"
        raise click.UsageError(text)
    if file.suffix != ".toml" and not _is_file(file):
        text = f"{str(file)!r} is neither a flag nor a settings file"
        unclear = click.get_current_context().meta[TRANSLATION].unclear
        raise click.UsageError("; ".join([text, *unclear]))


def _is_file(file: Path) -> bool:
    """Return whether `file` is not a folder; True if that is unknown, as loading it reports why."""
    try:
        return not stat.S_ISDIR(file.stat().st_mode)
    except PermissionError:
        return True
    except OSError:
        return False


def _is_output(file: Path | None) -> bool:
    """Return whether `file` is our standard output, as /dev/stdout is."""
    with suppress(OSError):
        return file is not None and os.path.samestat(file.stat(), os.fstat(1))
    return False


def _mine(config: Path | None, given: Mapping[str, Any], overridden: Sequence[str]) -> None:
    """Mine with the settings; `overridden` holds a sentence for each flag that was replaced."""
    import asyncio
    from concurrent.futures import wait
    from dataclasses import replace

    from miner.clock import SystemClock
    from miner.console.plain import beginning_on
    from miner.console.start_lines import StartLines
    from miner.errors import ConfigError
    from miner.run.check_settings import overwritten_files
    from miner.run.resolve_pools import check_pools
    from miner.safe_text import without_login
    from miner.settings.loading import load
    from miner.settings.secrets import api_token, check_new_recording, file_to_write

    # First, because loading the drivers and what the run needs takes a second or two.
    loaded = load(config, given, os.environ)
    settings = loaded.settings
    for sentence in overwritten_files(loaded):
        raise ConfigError(sentence)
    check_pools(settings)
    api_token(settings.api)
    file_to_write(settings.log.file)
    check_new_recording(settings.record)
    if settings.log.console == "json" and not _is_output(settings.log.file):
        reserve_output()
    begin = beginning_on(sys.stdout, os.environ)
    lines = StartLines(write, SystemClock(), settings.log.console, begin)
    shown = [without_login(pool.url) for pool in settings.pools]
    lines.starting(settings.coin or settings.variant or "", shown)

    from miner.engine.threads import WorkPool
    from miner.run.mining import mine as run_mine
    from miner.run.resolve import resolve_settings

    # In a thread, because a driver that compiles would keep this one from seeing signals.
    with WorkPool("start", 1, time_left=lambda: 0.0) as start:
        resolving = start.submit(resolve_settings, lambda: load(config, given, os.environ), lines)
        while not resolving.done():
            # A signal that arrives just before a wait is only seen after it.
            wait([resolving], SIGNAL_SECONDS)
        mining = resolving.result()
    mining = replace(mining, notes=(*(("note", text) for text in overridden), *mining.notes))
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
    if given["variant"] and given["coin"]:  # as on command lines of some other miners
        _check_agreement(given["variant"], given["coin"])
        given["variant"] = None
    of_one_pool["url"] = [
        url
        for given_url in (*of_one_pool["url"], *(url for url in combined if "@" not in url))
        for url in separated(given_url)
    ]
    pools = paired(of_one_pool) + [{"url": url} for url in combined if "@" in url]
    if not pools:
        _check_unused(of_each_pool, config)
    return given | {"pools": [pool | of_each_pool for pool in pools] or None}


def _check_agreement(variant: str, coin: str) -> None:
    """Raise `UsageError` if `coin` is not mined with `variant`."""
    from miner.catalog import coin_called, find_coin, find_variant

    wanted = find_coin(coin)
    if variant.lower() == "progpow" and wanted.variant.startswith("progpow"):
        return  # T-Rex's name for several algorithms, between which the coin decides
    if find_variant(variant).name != wanted.variant or coin_called(variant) not in (None, wanted):
        raise click.UsageError(
            f"-a {variant} and --coin {coin} contradict each other: {wanted.name} is mined with "
            f"{wanted.variant}; leave one of them out"
        )


def separated(text: str) -> list[str]:
    """Return the addresses in a list separated by commas, semicolons, blanks or, as in SRBMiner,
    exclamation marks, each with the scheme of the one before it if it has none. These signs in a
    login separate nothing."""
    parts = list(filter(None, re.split(r"[,;!\s]+", text)))
    if not parts or not all(map(_BARE_ADDRESS.fullmatch, parts)):
        return [text]
    urls: list[str] = []
    scheme = ""
    for part in parts:
        scheme = part.partition("://")[0] if "://" in part else scheme
        urls.append(part if "://" in part or not scheme else f"{scheme}://{part}")
    return urls


def paired(values: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Return a pool for each URL, with the user and password given in the same position; the last
    user and password serve the remaining URLs."""
    urls = values["url"]
    others = {key: given for key, given in values.items() if key != "url" and given}
    if not urls and any("://" in p or _BARE_ADDRESS.fullmatch(p) for p in values["password"]):
        raise click.UsageError("-p is the password; the address of a pool is given with -o")
    for key, given in others.items():
        check_count(_flag(key), given, len(urls))
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
            instead = f"write {name} under [[pools]] in {config}"
            if config is None:
                instead = f"set {flag_keys()['pools', name][0].variable}"
            raise click.UsageError(f"{_flag(name)} applies to pools given with -o or -P; {instead}")


def _flag(key: str) -> str:
    """Return the flag of a pool's key as the user wrote it."""
    from miner.settings.key_table import flag_keys

    name = flag_keys()["pools", key][1].names[0]
    context = click.get_current_context(silent=True)
    translation = context.meta.get(TRANSLATION) if context else None
    return translation.written.get(name, name) if translation else name

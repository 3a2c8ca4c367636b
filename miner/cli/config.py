"""The command `config`: write, check and show settings."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from miner.cli.options import JSON_OPTION, UserPath, config_option, print_json, settings_path

NEW_FILE = "progpow-miner.toml"

CONFIG_OPTION = config_option("option", "The same as the argument FILE.")


@click.group()
def config() -> None:
    """Write, check and show settings."""


@config.command("init")
@click.argument("file", default=NEW_FILE)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(file: str, force: bool) -> None:
    """Write a commented settings file.

    FILE is progpow-miner.toml if it is left out; "-" prints it.
    """
    from miner.errors import ConfigError
    from miner.settings.settings_page import new_file

    if file == "-":
        click.echo(new_file(), nl=False)
        return
    if not file.strip() or os.path.isdir(file):
        raise ConfigError(f"{file!r} is not a file name; name one, such as {NEW_FILE}")
    try:
        with Path(file).open("w" if force else "x", encoding="utf-8") as written:
            written.write(new_file())
    except FileExistsError as error:
        raise ConfigError(f"{file}: exists already; --force overwrites it") from error
    except OSError as error:
        if not force:
            with suppress(OSError):
                os.unlink(file)  # a part of it, if the disk is full
        raise ConfigError(f"{file}: cannot be written: {error.strerror}") from error
    click.echo(f"wrote {file}; add your wallet and your pool, then run: config check {file}")


@config.command("check")
@click.argument("file", type=UserPath(path_type=Path), required=False)
@CONFIG_OPTION
@JSON_OPTION
def check(file: Path | None, option: Path | None, as_json: bool) -> None:
    """Report each mistake in FILE and in the environment variables.

    Neither the network nor devices are used.
    """
    from miner.run import check_settings

    path = settings_path(file, option)
    if path is None:
        raise click.UsageError(f"name the file to check, as in: config check {NEW_FILE}")
    loaded, problems = check_settings.check(path, os.environ)
    if as_json:
        report = {
            "file": str(path),
            "ok": loaded is not None,
            "problems": problems,
            "notes": list(check_settings.notes(loaded)) if loaded else [],
        }
        print_json(report)
        raise click.exceptions.Exit(0 if loaded else 2)
    for sentence in problems:
        click.echo(sentence, err=True)
    if loaded is None:
        raise click.exceptions.Exit(2)
    for sentence in check_settings.notes(loaded):
        click.echo(f"note: {sentence}")
    click.echo(f"{path}: ok: {check_settings.summary(loaded.settings)}")


@config.command("show")
@click.argument("file", type=UserPath(path_type=Path), required=False)
@CONFIG_OPTION
@JSON_OPTION
def show(file: Path | None, option: Path | None, as_json: bool) -> None:
    """Print the settings in effect and the origin of each.

    Secrets are hidden, and wallets shortened.
    """
    from miner.settings.environment import OTHER_VARIABLES
    from miner.settings.loading import load
    from miner.settings.toml_text import effective_json, effective_toml

    loaded = load(settings_path(file, option), environ=os.environ)
    others = {name: meaning for name, meaning in OTHER_VARIABLES.items() if os.environ.get(name)}
    if as_json:
        shown = effective_json(loaded) | {"variables": list(others)}
        print_json(shown)
        return
    click.echo(effective_toml(loaded), nl=False)
    for name, meaning in others.items():
        click.echo(f"\n# environment {name} is set: {meaning}", nl=False)
    click.echo("\n" if others else "", nl=False)


@config.command("schema")
def schema() -> None:
    """Print the JSON Schema of a settings file."""
    from miner.settings.settings_page import json_schema

    print_json(json_schema())


@config.command("reference", hidden=True)
def reference() -> None:
    """Print docs/settings.md."""
    from miner.settings.settings_page import reference_page

    click.echo(reference_page(), nl=False)


@config.command("other-miners", hidden=True)
def other_miners() -> None:
    """Print the table in docs/howto/coming-from-other-miners.md."""
    from miner.cli.foreign_flags import flag_table

    click.echo(flag_table(), nl=False)

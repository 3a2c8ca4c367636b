"""The command `completion`, and the values that a shell completes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import click
from click.shell_completion import CompletionItem, get_completion_class

PROGRAM = "progpow-miner"

VARIABLE = "_PROGPOW_MINER_COMPLETE"
"""Variable with which the shell's script asks for completions."""


@click.command()
@click.argument("shell", required=False)
def completion(shell: str | None) -> None:
    """Print the script that completes this command in a shell.

    SHELL is bash, zsh or fish. Commands, flags, coins, algorithms and devices are completed.

    \b
    bash:  eval "$(progpow-miner completion bash)"   in ~/.bashrc
    zsh:   eval "$(progpow-miner completion zsh)"    in ~/.zshrc
    fish:  progpow-miner completion fish | source    in ~/.config/fish/config.fish
    """
    from miner.cli import cli

    kind = get_completion_class(shell or "")
    if kind is None:
        raise click.UsageError("name the shell: bash, zsh or fish")
    click.echo(kind(cli, {}, PROGRAM, VARIABLE).source())


def algorithms() -> Sequence[str]:
    """Return variants and coins."""
    from miner.catalog import variants

    return [*variants(), *coin_symbols()]


def coin_symbols() -> Sequence[str]:
    """Return the symbols of the coins."""
    from miner.catalog import coins

    return list(coins())


def protocols() -> Sequence[str]:
    """Return the values of `--protocol`."""
    from miner.pool.pool_addresses import known_protocols

    return known_protocols()


def device_names() -> Sequence[str]:
    """Return the names of the devices of this machine; none if they cannot be listed."""
    from miner.devices.selection import find_devices
    from miner.errors import MinerError

    try:
        return [found.info.name for found in find_devices()[0]]
    except (MinerError, OSError):
        return []


VALUES: Mapping[str, Callable[[], Sequence[str]]] = {
    "-a": algorithms,
    "--coin": coin_symbols,
    "--protocol": protocols,
    "-d": device_names,
    "--devices": device_names,
    "--device": device_names,
}
"""Values by flag."""


def complete_value(
    context: click.Context, parameter: click.Parameter, beginning: str
) -> list[CompletionItem]:
    """Return the values of a flag that begin with `beginning`, ignoring case; the last of a list
    separated by commas is completed."""
    find = next((VALUES[flag] for flag in parameter.opts if flag in VALUES), None)
    before, comma, last = beginning.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{value}")
        for value in (find() if find is not None else ())
        if value.lower().startswith(last.lower())
    ]

"""Options and output that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

import click

from miner.cli.completion import complete_value
from miner.signals import redirect_to_null

F = TypeVar("F", bound=Callable[..., Any])

VARIANT_HELP = "Variant of ProgPoW: its name, an alias, a coin or a file that defines one."


def variant_option(
    help_text: str = VARIANT_HELP, *, required: bool = False, default: str | None = None
) -> Callable[[F], F]:
    """Return the option `-a`."""
    # To click, None as a default is a value, with which a required option is complete.
    given: dict[str, Any] = {} if default is None else {"default": default}
    return click.option(
        "-a", "--variant", "--algo", "variant", metavar="NAME|FILE", required=required, **given,
        show_default=True, help=help_text, shell_complete=complete_value,
    )  # fmt: skip


VARIANT_OPTION = variant_option(required=True)

DEVICE_OPTION = click.option(
    "-d", "--device", metavar="NAME", help="Use only this device.", shell_complete=complete_value
)

HEIGHT_OPTION = click.option(
    "--height",
    type=int,
    metavar="N",
    help="Block height, which determines dataset and program. Default: a block of a coin's main "
    "chain in 2026, if one is known.",
)


def reserve_output() -> None:
    """Let only this program write to the standard output; what drivers and compilers in this
    process write to descriptor 1 goes to the standard error stream.

    Does nothing on a terminal, which shows both.
    """
    stream = sys.stdout
    if not isinstance(stream, TextIOWrapper) or stream is not sys.__stdout__ or stream.isatty():
        return
    stream.flush()
    own = os.dup(stream.fileno())  # which other programs do not inherit
    sys.stdout = open(  # noqa: SIM115
        own, "w", encoding=stream.encoding, errors=stream.errors, closefd=False
    )
    sys.stdout.reconfigure(line_buffering=stream.line_buffering, write_through=stream.write_through)
    os.dup2(2, stream.fileno())


def _json_chosen(ctx: click.Context, parameter: click.Parameter, as_json: bool) -> bool:
    if as_json:
        reserve_output()
    return as_json


JSON_OPTION = click.option(
    "--json", "as_json", is_flag=True, callback=_json_chosen, help="Print JSON."
)


class UserPath(click.Path):
    """A path, with a home directory in place of "~", which shells leave in `--file=~/x`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value:
            self.fail("the name of the file is empty", param, ctx)
        return super().convert(os.path.expanduser(value), param, ctx)


class Seconds(click.FloatRange):
    """A range of durations; without NaN, which click's range accepts."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        seconds = super().convert(value, param, ctx)
        return seconds if seconds == seconds else self.fail("nan is not a number.", param, ctx)


def _only_file(
    ctx: click.Context, parameter: click.Parameter, files: tuple[Path, ...]
) -> Path | None:
    if len(set(files)) > 1:
        raise click.UsageError(
            f"-c is given {len(files)} times: name one settings file; variables and flags override "
            "it"
        )
    return files[0] if files else None


def config_option(parameter: str, help_text: str) -> Callable[[F], F]:
    """Return the option `-c`, whose value is a `Path` or None; a second use is an error."""
    return click.option(
        "-c",
        "--config",
        parameter,
        type=UserPath(path_type=Path),
        multiple=True,
        callback=_only_file,
        metavar="FILE",
        help=help_text,
    )


def settings_path(file: Path | None, option: Path | None) -> Path | None:
    """Return the settings file that the argument FILE, the option `-c` or the environment names;
    raises `UsageError` if the first two do."""
    from miner.settings.environment import settings_file

    if file is not None and option is not None:
        raise click.UsageError("name one settings file, as FILE or with -c")
    return file or option or settings_file(os.environ)


def print_line(line: str) -> None:
    """Print a line of a check, which continues if the reader of the output left early, as `head`
    does: its exit code is the result."""
    try:
        click.echo(line)
    except BrokenPipeError:
        discard_output()


def print_json(value: object) -> None:
    """Print JSON as `print_line` does, in ASCII: it stays valid in any encoding of the output."""
    import json

    print_line(json.dumps(value, indent=2))


def write(line: str) -> None:
    """Print a line of a long-running command, which continues if its output is closed or full."""
    with suppress(OSError):
        print_line(line)


def print_nothing(line: str) -> None:
    """Print nothing, for a command whose only output is JSON."""


def discard_output() -> None:
    """Redirect the standard output and its buffered text to the null device."""
    redirect_to_null(sys.stdout.fileno())


def split_names(text: str | None) -> list[str] | None:
    """Return the names in a list separated by commas; None for None or ""."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None

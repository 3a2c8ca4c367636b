"""Options and output that several commands share."""

from __future__ import annotations

import os
import sys

import click

VARIANT_HELP = "Variant of ProgPoW: its name, an alias or a file that defines one."

VARIANT_OPTION = click.option(
    "-a", "--variant", "--algo", "variant", metavar="NAME|FILE", required=True, help=VARIANT_HELP
)

DEVICE_OPTION = click.option("-d", "--device", metavar="NAME", help="Use only this device.")

JSON_OPTION = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def write(line: str) -> None:
    """Print a line of a long-running command, which continues if its output is closed or full."""
    try:
        click.echo(line)
    except BrokenPipeError:
        discard_output()
    except OSError:
        pass


def discard_output() -> None:
    """Redirect the standard output and its buffered text to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def split_names(text: str | None) -> list[str] | None:
    """Return the names in a list separated by commas; None for None or ""."""
    return [name.strip() for name in text.split(",") if name.strip()] if text else None

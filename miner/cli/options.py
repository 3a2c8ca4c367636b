"""Options and output that several commands share."""

from __future__ import annotations

import os
import sys

import click

VARIANT_OPTION = click.option(
    "-a", "--variant", "--algo", "variant", metavar="NAME|FILE", required=True,
    help="A variant's name or alias, or a file that writes one down.",
)  # fmt: skip

DEVICE_OPTION = click.option("-d", "--device", metavar="NAME", help="Only this device.")


def write(line: str) -> None:
    """Print a line; when nobody reads any more (`| head`), mining goes on in silence, and where
    the disk is full, without this line."""
    try:
        click.echo(line)
    except BrokenPipeError:
        to_nowhere()
    except OSError:
        pass


def to_nowhere() -> None:
    """Let go of the standard output, with what it still holds."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def names(devices: str | None) -> list[str] | None:
    """Return the names in a list separated by commas; None where there is none."""
    return [n.strip() for n in devices.split(",") if n.strip()] if devices else None

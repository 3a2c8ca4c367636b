"""The command `replay`: recorded pool sessions, replayed and compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import JSON_OPTION, UserPath, print_json, print_line, variant_option

if TYPE_CHECKING:
    from miner.progpow.variant import Variant
    from miner.recordings.replayer import ReplayResult


@click.command()
@click.argument("file", type=UserPath(path_type=Path))
@variant_option(
    "Variant to use in place of the recorded one, of which only the name is recorded. Default for "
    "one that is not shipped: NAME.toml in the folder of FILE."
)
@JSON_OPTION
def replay(file: Path, variant: str | None, as_json: bool) -> None:
    """Replay the recorded sessions in FILE and compare every byte.

    `mine --record FILE` writes a recording.
    """
    from miner.errors import CheckFailed
    from miner.recordings.reader import load_recording
    from miner.recordings.replayer import replay as replay_all

    results = replay_all(load_recording(file), lambda name: _variant(variant, name, file.parent))
    if as_json:
        print_json([_as_object(result) for result in results])
    for result in results if not as_json else ():
        _print_replayed(result)
    different = sum(result.difference is not None for result in results)
    if different:
        raise CheckFailed(
            f"{different} of {len(results)} connections in {file} differ from the recording"
        )


def _variant(option: str | None, recorded: str, folder: Path) -> Variant:
    """Return the variant of the option if it is given, else the recorded one, shipped or in
    `folder`."""
    from miner.catalog import variants
    from miner.errors import UsageError
    from miner.verify import chosen_variant

    if option is not None or recorded in variants():
        return chosen_variant(option or recorded)
    beside = folder / f"{Path(recorded).name}.toml"
    if os.path.isfile(beside):
        return chosen_variant(str(beside))
    raise UsageError(
        f"variant {recorded!r} is not known: give its file with -a, or copy it to {beside}"
    )


def _print_replayed(result: ReplayResult) -> None:
    shares = ", ".join(f"{count} {kind.value}" for kind, count in result.shares.items())
    print_line(f"connection {result.connection}: {result.url}, {result.protocol}")
    print_line(f"  jobs    {result.jobs}")
    print_line(f"  shares  {shares or 'none'}")
    for text in result.messages:
        print_line(f"  note    {text}")
    print_line(f"  ended   {result.ended}")
    print_line(f"  {'same bytes' if result.difference is None else result.difference}")


def _as_object(result: ReplayResult) -> dict[str, Any]:
    return {
        "connection": result.connection,
        "url": result.url,
        "protocol": result.protocol,
        "jobs": result.jobs,
        "shares": {kind.value: count for kind, count in result.shares.items()},
        "messages": result.messages,
        "ended": result.ended,
        "difference": result.difference,
    }

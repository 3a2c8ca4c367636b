"""The command `cache`: the files on disk that can be rebuilt."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from miner.cli.options import JSON_OPTION, print_json


@click.command()
@click.option("--clear", is_flag=True, help="Delete the cache.")
@JSON_OPTION
def cache(clear: bool, as_json: bool) -> None:
    """Show or delete the files on disk that can be rebuilt."""
    import shutil

    from miner.errors import ConfigError
    from miner.formatting import format_bytes, format_count
    from miner.resources import CACHE_PARTS, cache_directory

    folder = cache_directory()
    if os.path.lexists(folder) and not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder; set PROGPOW_MINER_CACHE to the cache's")
    if not as_json:
        click.echo(str(folder))
    # Other files are not ours: PROGPOW_MINER_CACHE may name any folder, also that of the state.
    parts = [part for name in CACHE_PARTS if os.path.lexists(part := folder / name)]
    rows: list[dict[str, object]] = []
    for part in parts:
        sizes = list(_sizes(part))
        rows.append({"name": part.name, "files": len(sizes), "bytes": sum(sizes)})
        if not as_json:
            click.echo(f"  {part.name:<16} {len(sizes):>5} files {format_bytes(sum(sizes)):>12}")
        if clear:
            try:
                linked = part.is_symlink()
                shutil.rmtree(part) if part.is_dir() and not linked else part.unlink()
            except OSError as error:
                raise ConfigError(f"{part}: cannot be deleted: {error.strerror}") from error
    if as_json:
        print_json({"folder": str(folder), "parts": rows, "deleted": clear})
        return
    count = format_count(len(parts), "part")
    click.echo("deleted" if clear else f"{count}; --clear deletes the cache")


def _sizes(part: Path) -> Iterator[int]:
    """Yield the bytes of each file in a folder, or of the file `part`. A running miner may delete
    some meanwhile."""
    inside = () if part.is_symlink() else os.walk(part)
    for path in [part, *(Path(folder, name) for folder, _, names in inside for name in names)]:
        with suppress(OSError):
            state = path.lstat()
            if stat.S_ISREG(state.st_mode):
                yield state.st_size

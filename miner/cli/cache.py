"""The command `cache`: the files on disk that can be rebuilt."""

from __future__ import annotations

import click


@click.command()
@click.option("--clear", is_flag=True, help="Delete the cache.")
def cache(clear: bool) -> None:
    """Show or delete the files on disk that can be rebuilt."""
    import shutil

    from miner.errors import ConfigError
    from miner.formatting import format_bytes
    from miner.resources import cache_directory, state_directory
    from miner.solo.block_store import BLOCKS

    folder, state = cache_directory(), state_directory()
    click.echo(str(folder))
    # Found blocks cannot be rebuilt: earlier versions kept them here, and `state` may be below.
    kept = {folder / BLOCKS, state, *state.parents}
    parts = sorted(set(folder.iterdir()) - kept) if folder.is_dir() else []
    for part in parts:
        files = [file for file in part.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        click.echo(f"  {part.name:<16} {len(files):>5} files {format_bytes(size):>12}")
        if clear:
            try:
                linked = part.is_symlink()
                shutil.rmtree(part) if part.is_dir() and not linked else part.unlink()
            except OSError as error:
                raise ConfigError(f"{part}: cannot be deleted: {error.strerror}") from error
    click.echo("deleted" if clear else f"{len(parts)} parts; --clear deletes them")

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
    from miner.resources import cache_directory

    folder = cache_directory()
    click.echo(str(folder))
    parts = sorted(folder.iterdir()) if folder.is_dir() else []
    for part in parts:
        files = [file for file in part.rglob("*") if file.is_file()]
        size = sum(file.stat().st_size for file in files)
        click.echo(f"  {part.name:<16} {len(files):>5} files {format_bytes(size):>12}")
        if clear:
            try:
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            except OSError as error:
                raise ConfigError(f"{part}: cannot be deleted: {error.strerror}") from error
    click.echo("deleted" if clear else f"{len(parts)} parts; --clear deletes them")

"""The command `cache`: the files on disk that can be made again."""

from __future__ import annotations

import click


@click.command()
@click.option("--clear", is_flag=True, help="Delete all of it.")
def cache(clear: bool) -> None:
    """Show, or empty, what is kept on disk; it can all be made again."""
    import shutil

    from miner.errors import ConfigError
    from miner.formatting import format_bytes
    from miner.resources import cache_directory

    folder = cache_directory()
    click.echo(str(folder))
    parts = sorted(p for p in folder.iterdir()) if folder.is_dir() else []
    for part in parts:
        files = [f for f in part.rglob("*") if f.is_file()]
        size = sum(f.stat().st_size for f in files)
        click.echo(f"  {part.name:<16} {len(files):>5} files {format_bytes(size):>12}")
        if clear:
            try:
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            except OSError as error:
                raise ConfigError(f"{part}: cannot be deleted: {error.strerror}") from error
    click.echo("emptied" if clear else f"{len(parts)} kinds; --clear empties it")

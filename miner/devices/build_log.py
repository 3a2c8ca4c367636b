"""Logs of failed builds, each with the source that failed."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from miner.cached_files import replace_file
from miner.codegen.kernel_source import KernelSource
from miner.resources import cache_directory

KEPT = 10
"""Logs in the folder; the oldest are deleted."""


def write_build_log(source: KernelSource, log: str) -> Path:
    """Write `log` and `source` to a file in the cache, or else in a new private folder for
    temporary files; return the path."""
    text = f"{source.title}\noptions: {' '.join(source.options)}\n\n{log}\n\n{source.text}"
    name = f"{source.sha256[:16]}.log"
    content = text.encode(errors="backslashreplace")
    with suppress(OSError):
        return _written(cache_directory() / "build-logs", name, content)
    with suppress(OSError):
        return _written(_temporary_folder(tempfile.gettempdir()), name, content)
    return Path("(not written: no folder is writable)")


@lru_cache
def _temporary_folder(parent: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="progpow-miner-logs-", dir=parent))


def _written(folder: Path, name: str, content: bytes) -> Path:
    replace_file(folder / name, (content,))
    with suppress(OSError):  # another process may delete them too
        for old in sorted(folder.glob("*.log"), key=lambda p: p.lstat().st_mtime)[:-KEPT]:
            old.unlink(missing_ok=True)
    return folder / name

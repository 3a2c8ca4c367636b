"""Logs of failed builds, each with the source that failed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.resources import cache_directory

KEPT = 10
"""Logs in the cache; the oldest are deleted."""


def write_build_log(source: KernelSource, log: str) -> Path:
    """Write `log` and `source` to a file in the cache, or else in the temporary folder; return
    the path."""
    text = f"{source.title}\noptions: {' '.join(source.options)}\n\n{log}\n\n{source.text}"
    name = f"{source.sha256[:16]}.log"
    cached = cache_directory() / "build-logs"
    for folder in (cached, Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        if folder == cached:
            for old in sorted(folder.glob("*.log"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
        return folder / name
    return Path("(not written: no folder is writable)")

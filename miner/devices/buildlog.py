"""Where the log of a failed build goes, with the source that failed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.resources import cache_directory

KEPT = 10
"""Logs; the oldest goes first."""


def write_build_log(source: KernelSource, log: str) -> Path:
    """Write log and source to one file, and return its path."""
    text = f"{source.title}\noptions: {' '.join(source.options)}\n\n{log}\n\n{source.text}"
    name = f"{source.sha256[:16]}.log"
    for folder in (cache_directory() / "build-logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / name
            path.write_text(text, encoding="utf-8")
        except OSError:
            continue
        if folder.name == "build-logs":
            for old in sorted(folder.glob("*.log"), key=lambda p: p.stat().st_mtime)[:-KEPT]:
                old.unlink(missing_ok=True)
        return path
    return Path("(no folder can be written to)")

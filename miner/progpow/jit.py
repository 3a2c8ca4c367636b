"""Numba set up so that its disk cache is always true to the sources.

Numba does not notice an edited callee in another file and would go on with old code, so the
cache lies in a folder named after a hash of every compiled source; where nothing can be
written (a read-only container) functions are compiled in memory instead.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from miner.resources import cache_directory

_SOURCES = ("jit.py", "keccak.py", "light.py", "hashing.py")
_KEPT = 3
"""Folders of older sources that stay for another installation on the same machine."""


def _prepare() -> bool:
    digest = hashlib.sha256()
    for name in _SOURCES:
        digest.update((Path(__file__).parent / name).read_bytes())
    version = f"src-{digest.hexdigest()[:16]}"
    base = Path(os.environ.get("NUMBA_CACHE_DIR") or cache_directory() / "numba")
    if base.name.startswith("src-"):  # inherited from a parent process of ours
        base = base.parent
    folder = base / version
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable-{os.getpid()}"
        probe.touch()
        probe.unlink()
        os.utime(folder)
    except OSError:
        return False
    others = [p for p in base.glob("src-*") if p != folder]
    others.sort(key=lambda p: p.stat().st_mtime, reverse=True)
    for old in others[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


CACHED = _prepare()
"""Whether compiled code is kept on disk."""

import numba  # noqa: E402  (NUMBA_CACHE_DIR is read when it is imported)

if CACHED:
    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` at its first call, to run without the GIL."""
    jitted: Callable[..., Any] = numba.njit(nogil=True, cache=CACHED)(function)
    return jitted


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile `function` into its callers."""
    jitted: Callable[..., Any] = numba.njit(nogil=True, inline="always")(function)
    return jitted

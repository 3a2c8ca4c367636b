"""Where the miner's own files and its cache lie."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent


def data_directory(name: str) -> Path:
    """Return the folder `name` ("kernels", "configs"): inside an installed package, else in
    the checkout that holds this package."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_directory() -> Path:
    """Return the folder for what can be made again; it may not exist yet.

    `PROGPOW_MINER_CACHE` overrides it, else it lies under `XDG_CACHE_HOME` or `~/.cache`.
    """
    own = os.environ.get("PROGPOW_MINER_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "progpow-miner"

"""Where the miner's own files, its cache and its state lie."""

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


def state_directory() -> Path:
    """Return the folder for what must outlive a run; it may not exist yet.

    `PROGPOW_MINER_STATE` overrides it, else it lies under `XDG_STATE_HOME` or `~/.local/state`.
    """
    own = os.environ.get("PROGPOW_MINER_STATE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "progpow-miner"

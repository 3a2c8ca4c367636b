"""The folders of the miner's own files, its cache and its state."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = Path(__file__).parent


def data_directory(name: str) -> Path:
    """Return the folder `name` ("kernels", "configs"), in the installed package or else in the
    checkout that contains it."""
    installed = _PACKAGE / "_data" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def cache_directory() -> Path:
    """Return the folder for files that can be recreated; it may not exist yet.

    Source: `PROGPOW_MINER_CACHE`, else `XDG_CACHE_HOME`, else `~/.cache`.
    """
    own = os.environ.get("PROGPOW_MINER_CACHE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "progpow-miner"


def state_directory() -> Path:
    """Return the folder for files that must be kept; it may not exist yet.

    Source: `PROGPOW_MINER_STATE`, else `XDG_STATE_HOME`, else `~/.local/state`.
    """
    own = os.environ.get("PROGPOW_MINER_STATE")
    if own:
        return Path(own)
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "progpow-miner"

"""A GPU miner for the ProgPoW family of proofs of work, and a library of its hashes.

docs/library.md describes the names of `__all__`. They are imported when they are first used: numba
and numpy take a second to load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from miner.library import (
        BadValue,
        BadVariant,
        Coin,
        Digest,
        Epoch,
        KernelSource,
        MinerError,
        Outcome,
        OutOfMemory,
        ShareCheck,
        UsageError,
        Variant,
        coins,
        final_hash,
        find_coin,
        find_variant,
        hash,
        kernel_source,
        light_cache,
        variants,
        verify_share,
    )

__version__ = "0.1.0"

USER_AGENT = f"progpow-miner/{__version__}"
"""Name and version that the miner states to pools and nodes."""

__all__ = [
    "BadValue",
    "BadVariant",
    "Coin",
    "Digest",
    "Epoch",
    "KernelSource",
    "MinerError",
    "OutOfMemory",
    "Outcome",
    "ShareCheck",
    "UsageError",
    "Variant",
    "coins",
    "final_hash",
    "find_coin",
    "find_variant",
    "hash",
    "kernel_source",
    "light_cache",
    "variants",
    "verify_share",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("miner.library"), name)

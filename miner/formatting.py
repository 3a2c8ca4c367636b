"""Numbers as a person reads them."""

from __future__ import annotations


def rate(hashes: float) -> str:
    """Return hashes a second with its unit, as in "182.4 kH/s"."""
    for unit, size in (("GH/s", 1e9), ("MH/s", 1e6), ("kH/s", 1e3)):
        if hashes >= size:
            return f"{hashes / size:.2f} {unit}"
    return f"{hashes:.0f} H/s"


def expected(hashes: float) -> str:
    """Return a number of hashes, as in "4.29 G"."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if hashes >= size:
            return f"{hashes / size:.2f} {unit}"
    return f"{hashes:.0f} "

"""How this miner names itself to panels: never as another."""

from __future__ import annotations

from miner.telemetry import Snapshot

PROGRAM = "progpow-miner"


def dashed(snapshot: Snapshot) -> str:
    """Return "progpow-miner-1.2.3"."""
    return f"{PROGRAM}-{snapshot.about.version}"


def spaced(snapshot: Snapshot) -> str:
    """Return "progpow-miner 1.2.3"; scripts take the second word for the version."""
    return f"{PROGRAM} {snapshot.about.version}"

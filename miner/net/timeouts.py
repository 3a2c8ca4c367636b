"""The time limits of pool connections."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Time limits in seconds, long enough for a pool under heavy load."""

    connect: float = 10.0
    """Name lookup, connection and TLS handshake together."""
    login: float = 30.0
    """From the first request to the accepted login."""
    answer: float = 30.0
    """Answer to a share. Without one the share is lost; it is not sent again."""
    silence: float = 600.0
    """Without a new job for this long, the miner reconnects."""

"""How long each part of a connection's life may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds; none is so short that a loaded pool counts as dead."""

    connect: float = 10.0
    """For name, connection and TLS handshake together."""
    login: float = 30.0
    """For all answers up to the accepted login together."""
    answer: float = 30.0
    """A share without an answer for so long counts as lost; it is not sent again."""
    silence: float = 600.0
    """A pool without a new job for so long is taken for dead."""

"""Recognises bans in a pool's texts."""

from __future__ import annotations

import re

from miner.clock import Clock

CLOSE_SECONDS = 5.0
"""A ban message counts if the connection ends within this time after it."""

_BAN = re.compile(r"\bbann?(?:ed|ing)?\b|blacklist|too many (?:connect|request|login)")

_OF_US = re.compile(
    r"\b(?:your?|ip|address)\b(?:(?!\.\s)[^;!?])*(?:\bbann?|blacklist)"
    r"|(?:\bbann?(?:ed|ing)|blacklist(?:ed|ing)?) (?:you|ip|address)|\btoo many\b"
    r"|^\W*bann?ed(?:\W*$| for\b| until\b)"
)
_THREAT = re.compile(r"\b(?:if|when|will|would|may|might|can|could|or)\b")


def is_ban(text: str) -> bool:
    """Return whether a refusal's text means that the pool shuts us out for a while."""
    return bool(_BAN.search(text.lower()))


class Bans:
    """Collects the ban texts of one connection.

    The answer to a share is certainly about us; a message may be addressed to all clients, so it
    must name us and must not be conditional.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answer = self._message = ""
        self._message_at = 0.0

    @property
    def text(self) -> str:
        """The pool's text that makes an end of the connection now a ban; else empty."""
        recent = self._clock.now() - self._message_at <= CLOSE_SECONDS
        return self._answer or (self._message if recent else "")

    def share_answer(self, text: str, *, accepted: bool) -> None:
        """Record the answer to a share; an accepted share cancels an earlier ban text."""
        if accepted:
            self._answer = ""
        elif is_ban(text):
            self._answer = text

    def message(self, text: str) -> None:
        """Record a message."""
        lower = text.lower()
        if is_ban(text) and _OF_US.search(lower) and not _THREAT.search(lower):
            self._message, self._message_at = text, self._clock.now()

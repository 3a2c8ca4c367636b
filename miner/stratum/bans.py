"""Whether the end of a connection means that the pool shut us out."""

from __future__ import annotations

import re

from miner.clock import Clock
from miner.stratum.outcomes import is_ban

CLOSE_SECONDS = 5.0
"""A message of a ban counts where the connection ends so soon after it."""

_OF_US = re.compile(
    r"\b(?:your?|ip|address)\b(?:(?!\.\s)[^;!?])*(?:\bbann?|blacklist)"
    r"|(?:\bbann?(?:ed|ing)|blacklist(?:ed|ing)?) (?:you|ip|address)|\btoo many\b"
    r"|^\W*bann?ed(?:\W*$| for\b| until\b)"
)
_THREAT = re.compile(r"\b(?:if|when|will|would|may|might|can|could|or)\b")


class Bans:
    """What one connection's words say of a ban, before it ends.

    Only an answer to a request of ours is surely about us; a message may be one to everybody.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._answer = self._message = ""
        self._told_at = 0.0

    @property
    def words(self) -> str:
        """The pool's words by which an end now is a ban; empty where it is none."""
        recent = self._clock.now() - self._told_at <= CLOSE_SECONDS
        return self._answer or (self._message if recent else "")

    def answered(self, text: str, *, accepted: bool) -> None:
        """Note the answer to a share; an accepted one belies a threat before it."""
        if accepted:
            self._answer = ""
        elif is_ban(text):
            self._answer = text

    def told(self, text: str) -> None:
        """Note a message."""
        lower = text.lower()
        if is_ban(text) and _OF_US.search(lower) and not _THREAT.search(lower):
            self._message, self._told_at = text, self._clock.now()

"""Recognises bans in a pool's texts."""

from __future__ import annotations

import re

from miner.clock import Clock
from miner.errors import Banned
from miner.wallets import login_parts

CLOSE_SECONDS = 5.0
"""A ban message counts if the connection ends within this time after it."""

_BAN = re.compile(
    r"\bbann?(?:ed|ing)?\b|blacklist|\bblocked\b|\bsuspended\b|\brate.?limit"
    r"|too many (?:connect|request|login)"
)

_BAN_WORD = r"(?:\bbann?|blacklist|\bblocked\b|\bsuspended\b|\brate.?limit)"
_WAS_BANNED = r"(?:\bbann?(?:ed|ing)|blacklist(?:ed|ing)?|\bblocked|\bsuspended)"

_OF_US = re.compile(
    rf"\b(?:your?|ip|address)\b(?:(?!\.\s)[^;!?])*{_BAN_WORD}"
    rf"|{_WAS_BANNED} (?:you|ip|address)|\btoo many\b"
    rf"|^\W*{_WAS_BANNED}(?:\W*$| for\b| until\b)|^\W*rate.?limit"
)
_THREAT = re.compile(r"\b(?:if|when|will|would|may|might|can|could|or)\b")


_DURATION = re.compile(
    r"(\bfor (?:\w+ )??)?(?<![\w.:,])(\d{1,9}(?:\.\d+)?) ?-?"
    r"(?:(ms|msecs?|milliseconds?)|(s|sec|secs|seconds?)|(m|min|mins|minutes?)|(h|hrs?|hours?)"
    r"|(d|days?)|(w|weeks?))\b"
)
_BARE_DURATION = re.compile(r"\b(?:for|in) (\d{1,9})(?![\w.:,])(?! ?(?:ms|milli))")
_UNITS = (0.001, 1, 60, 3600, 86400, 604800)


def ban_seconds(text: str) -> float | None:
    """Return the duration of a ban as its text gives it, None if it gives none.

    Of several durations, the first one after "for" counts, as in "3 shares in 10 s: banned for
    5 min". A number without a unit means seconds.
    """
    found = sorted(_DURATION.finditer(text.lower()), key=lambda match: match[1] is None)
    if found:
        _, number, *units = found[0].groups()
        return float(number) * next(
            seconds for seconds, unit in zip(_UNITS, units, strict=True) if unit
        )
    bare = _BARE_DURATION.search(text.lower())
    return float(bare[1]) if bare else None


def banned(text: str, prefix: str = "the pool banned us", advice: str = "") -> Banned:
    """Return the error for a pool's ban of this text."""
    return Banned(f"{prefix}: {text}{advice}", ban_seconds(text))


def is_ban(text: str) -> bool:
    """Return whether the text of a refusal is about a ban."""
    lower = text.lower()
    return bool(_BAN.search(lower)) and "maintenance" not in lower


class Bans:
    """Collects the ban texts of one connection.

    The answer to a share is certainly about us; a message may be addressed to all clients, so it
    must name us, possibly by the `user` of the login, and must not be conditional.
    """

    def __init__(self, clock: Clock, user: str = "") -> None:
        self._clock = clock
        known = (user, login_parts(user)[0])
        names = "|".join(re.escape(name.lower()) for name in known if name)
        self._of_user = re.compile(
            rf"(?<![\w.-])(?:{names})(?![\w-])(?:(?!\.\s)[^;!?])*{_BAN_WORD}"
            rf"|{_WAS_BANNED}:? (?:\w+ )?(?:{names})(?![\w-])"
            if names
            else r"(?!)"
        )
        self._answer = self._message = ""
        self._message_at = 0.0

    @property
    def text(self) -> str:
        """The pool's text about a ban, if the end of the connection would now count as one; else
        empty."""
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
        of_us = _OF_US.search(lower) or self._of_user.search(lower)
        if is_ban(text) and of_us and not _THREAT.search(lower):
            self._message, self._message_at = text, self._clock.now()

"""Recognises bans in a pool's texts."""

from __future__ import annotations

import re

from miner.clock import Clock
from miner.errors import Banned
from miner.safe_text import SHORTEST_WALLET
from miner.wallets import login_parts

CLOSE_SECONDS = 5.0
"""A ban message counts if the connection ends within this time after it."""

_BAN = re.compile(
    r"\bbann?(?:ed|ing)?\b|blacklist|\bblocked\b|\bsuspended\b|\brate.?limit"
    r"|too many (?:connect|request|login)|\bunban(?:ned)? (?:in|after|at)\b"
)

_BAN_WORD = r"(?:\bbann?|blacklist|\bblocked\b|\bsuspended\b|\brate.?limit)"
_WAS_BANNED = r"(?:\bbann?(?:ed|ing)|blacklist(?:ed|ing)?|\bblocked|\bsuspended)"

_OF_US = re.compile(
    rf"\b(?:your?|ip|address)\b(?:(?!\.\s)[^;!?])*{_BAN_WORD}"
    rf"|{_WAS_BANNED} (?:you|ip|address)|\btoo many\b"
    rf"|^\W*(?:(?:temporarily|permanently|account|disconnected and|kicked and) )?{_WAS_BANNED}"
    r"(?:\W*$|[.:,;!(-]| (?:for|until|due|because|by|forever|permanently|temporarily)\b| \d)"
    r"|^\W*ban(?: time)?:? ?\d|\bunban|^\W*rate.?limit"
)
_THREAT = re.compile(r"\b(?:if|when|will(?! be unban)|would|may|might|can|could|or)\b")


_PART = (
    r"(\d{1,9}(?:\.\d+)?) ?-?"
    r"(?:(ms|msecs?|milliseconds?)|(s|sec|secs|seconds?)|(m|min|mins|minutes?)|(h|hrs?|hours?)"
    r"|(d|days?)|(w|weeks?))(?![a-z])"
)
_DURATION = re.compile(
    rf"(\bfor (?:\w+ )??)?(?<![\w.:,])(?P<parts>{_PART}(?:,? ?(?:and )?{_PART})*)"
)
_CLOCK = re.compile(
    r"\b(?:for|in|banned|ban|time|left|remaining):? (\d{1,3}):([0-5]\d):([0-5]\d)(?![\d:])"
)
_BARE_DURATION = re.compile(r"\b(?:for|in|ban:?|time:?) (\d{1,9})(?![\w.:,])(?! ?(?:ms|milli))")
_UNITS = (0.001, 1, 60, 3600, 86400, 604800)
_NUMBER_WORD = re.compile(
    r"\b(?:(half an)|(an?|one)|(five)|(ten)|(fifteen)|(thirty)) (?=(?:second|minute|hour|day|week))"
)
_NUMBER_WORDS = ("0.5", "1", "5", "10", "15", "30")


def ban_seconds(text: str) -> float | None:
    """Return the duration of a ban as its text gives it, None if it gives none.

    Of several durations, the first one after "for" counts, as in "3 shares in 10 s: banned for
    5 min"; "1 hour 30 minutes" is one. A number without a unit means seconds.
    """
    lower = _NUMBER_WORD.sub(
        lambda found: f"{_NUMBER_WORDS[(found.lastindex or 1) - 1]} ", text.lower()
    )
    durations = sorted(_DURATION.finditer(lower), key=lambda match: match[1] is None)
    if durations:
        return sum(map(_seconds, re.finditer(_PART, durations[0]["parts"])))
    if clock := _CLOCK.search(lower):
        return 3600.0 * int(clock[1]) + 60 * int(clock[2]) + int(clock[3])
    bare = _BARE_DURATION.search(lower)
    return float(bare[1]) if bare else None


def _seconds(part: re.Match[str]) -> float:
    number, *units = part.groups()
    return float(number) * next(s for s, unit in zip(_UNITS, units, strict=True) if unit)


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
        forms = [re.escape(name.lower()) for name in known if name]
        names = "|".join([*forms, *map(_shortened, filter(None, known[1:]))])
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


def _shortened(account: str) -> str:
    """Return the pattern of a long account with its middle left out, as in "rxk3p...9abc"."""
    if len(account) < SHORTEST_WALLET:
        return re.escape(account.lower())
    head, tail = re.escape(account[:4].lower()), re.escape(account[-3:].lower())
    return rf"{head}[a-z0-9]*(?:\.{{2,}}|…|\*{{2,}})[a-z0-9]*{tail}"

"""Tokens of the API, and the limit on wrong ones."""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict
from math import ceil, inf

from aiohttp import web

from miner.clock import Clock
from miner.telemetry import Journal, Level

GUESSES = 10
"""Wrong secrets in a row that somebody may send."""

GUESS_SECONDS = 10.0
"""After them he may send one in this time."""

GUESSERS = 1024
"""Those whose guesses are remembered."""

TELL_SECONDS = 600.0
"""The journal tells of guessing once in this time."""


class Guesses:
    """Counts wrong secrets by who sent them, so that none can be found by trying."""

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._counted: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._told = -inf

    def wait(self, who: str) -> float:
        """Return the seconds for which nothing that `who` sends is looked at, not even the right
        secret; 0 where it is."""
        return max(self._level(who) - (GUESSES - 1), 0.0) * GUESS_SECONDS

    def wrong(self, who: str) -> None:
        """Note a wrong one of `who`, which the journal may name."""
        now = self._clock.now()
        self._counted[who] = (self._level(who) + 1, now)
        self._counted.move_to_end(who)
        if len(self._counted) > GUESSERS:
            self._counted.popitem(last=False)
        if self.wait(who) and now - self._told >= TELL_SECONDS:
            self._told = now
            text = f"{who} sends wrong tokens and is made to wait"
            self._journal.say("api", text, Level.WARNING)

    def _level(self, who: str) -> float:
        """Return the guesses of `who` that still count."""
        count, at = self._counted.get(who, (0.0, 0.0))
        return max(count - (self._clock.now() - at) / GUESS_SECONDS, 0.0)


class Tokens:
    """Checks the token of requests; `token` None: nobody may change anything."""

    def __init__(self, token: str | None, clock: Clock, journal: Journal) -> None:
        self._token = None if token is None else token.encode()
        self._guesses = Guesses(clock, journal)

    def check(self, request: web.Request) -> None:
        """Return if `request` carries the token.

        Raises HTTP's 403 where there is none, 401 for a wrong or missing one, 429 for an address
        that has guessed too often: then even the right one is not looked at.
        """
        if self._token is None:
            raise web.HTTPForbidden(
                text="this miner is read-only; set token_file under [api] to change that"
            )
        address = _network(request.remote)
        if wait := self._guesses.wait(address):
            raise web.HTTPTooManyRequests(
                text="this address sent too many wrong tokens; try again later",
                headers={"Retry-After": str(ceil(wait))},
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise _unauthorized("this needs the header 'Authorization: Bearer TOKEN'")
        if not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token):
            self._guesses.wrong(address)
            raise _unauthorized("this is not the token of this miner")


def _unauthorized(sentence: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=sentence, headers={"WWW-Authenticate": "Bearer"})


def _network(remote: str | None) -> str:
    """Return whom `remote` belongs to: one who has an IPv6 address has 2**64 of them."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "somebody"
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))

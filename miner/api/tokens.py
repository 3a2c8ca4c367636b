"""Who may change something: the holder of the token, and nobody who guesses at it."""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict
from math import ceil, inf

from aiohttp import web

from miner.clock import Clock
from miner.telemetry import Journal, Level

GUESSES = 10
"""Wrong tokens in a row that an address may send."""

GUESS_SECONDS = 10.0
"""After them it may send one in this time."""

ADDRESSES = 1024
"""Addresses whose guesses are remembered."""

TELL_SECONDS = 600.0
"""The journal tells of guessing once in this time."""


class Tokens:
    """Checks the token of requests; `token` None: nobody may change anything."""

    def __init__(self, token: str | None, clock: Clock, journal: Journal) -> None:
        self._token = None if token is None else token.encode()
        self._clock = clock
        self._journal = journal
        self._guesses: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._told = -inf

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
        self._refuse_guesser(address)
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise _unauthorized("this needs the header 'Authorization: Bearer TOKEN'")
        if not hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token):
            self._count(address)
            raise _unauthorized("this is not the token of this miner")

    def _level(self, address: str) -> float:
        """Return the guesses of `address` that still count."""
        count, at = self._guesses.get(address, (0.0, 0.0))
        return max(count - (self._clock.now() - at) / GUESS_SECONDS, 0.0)

    def _refuse_guesser(self, address: str) -> None:
        over = self._level(address) - (GUESSES - 1)
        if over > 0:
            raise web.HTTPTooManyRequests(
                text="this address sent too many wrong tokens; try again later",
                headers={"Retry-After": str(ceil(over * GUESS_SECONDS))},
            )

    def _count(self, address: str) -> None:
        now = self._clock.now()
        level = self._level(address) + 1
        self._guesses[address] = (level, now)
        self._guesses.move_to_end(address)
        if len(self._guesses) > ADDRESSES:
            self._guesses.popitem(last=False)
        if level > GUESSES - 1 and now - self._told >= TELL_SECONDS:
            self._told = now
            self._journal.say(
                "api", f"{address} sends wrong tokens and is made to wait", Level.WARNING
            )


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

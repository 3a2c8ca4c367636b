"""Who may change something: the holder of the token, and nobody who guesses at it."""

from __future__ import annotations

import hmac
import ipaddress
from math import ceil

from aiohttp import web

from miner.api.guesses import Guesses
from miner.clock import Clock
from miner.telemetry import Journal


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

"""The token of the API, and the count of wrong ones."""

from __future__ import annotations

import hmac
import ipaddress
from math import ceil, inf

from aiohttp import web
from cachetools import LRUCache

from miner.clock import Clock
from miner.telemetry import Journal, Level

FREE_FAILURES = 10
"""Wrong tokens in a row before a client is asked to wait."""

FAILURE_SECONDS = 10.0
"""Time after which one wrong token no longer counts."""

MAX_CLIENTS = 1024
"""Clients whose wrong tokens are counted, the latest ones."""

WARNING_SECONDS = 600.0
"""Minimum time between two warnings in the journal."""


class FailedTokens:
    """Counts wrong tokens by client: many are refused with the time to wait, and reported once.

    A right token is accepted at any time, since clients behind one address cannot be told apart.
    The length of the token protects it from guesses.
    """

    def __init__(self, clock: Clock, journal: Journal) -> None:
        self._clock = clock
        self._journal = journal
        self._counted: LRUCache[str, tuple[float, float]] = LRUCache(MAX_CLIENTS)
        self._warned_at = -inf

    def seconds_to_wait(self, client: str) -> float:
        """Return the time that `client` is asked to wait after a wrong token; 0 if it may try
        again now."""
        return max(self._count(client) - (FREE_FAILURES - 1), 0.0) * FAILURE_SECONDS

    def add(self, client: str) -> None:
        """Count a wrong token of `client`; the journal may show its name."""
        now = self._clock.now()
        self._counted[client] = (self._count(client) + 1, now)
        if self.seconds_to_wait(client) and now - self._warned_at >= WARNING_SECONDS:
            self._warned_at = now
            text = f"{client} sends many wrong tokens; correct its token, or block the client"
            self._journal.add("api", text, Level.WARNING)

    def _count(self, client: str) -> float:
        """Return the wrong tokens of `client` that still count."""
        count, at = self._counted.get(client, (0.0, 0.0))
        return max(count - (self._clock.now() - at) / FAILURE_SECONDS, 0.0)


class TokenCheck:
    """Checks the token of requests; without a `token` every request is refused."""

    def __init__(self, token: str | None, clock: Clock, journal: Journal) -> None:
        self._token = None if token is None else token.encode()
        self._failed = FailedTokens(clock, journal)

    @property
    def read_only(self) -> bool:
        return self._token is None

    def require(self, request: web.Request) -> None:
        """Return if `request` carries the token.

        Raises HTTP's 403 if no token is set, 401 for a wrong or missing one, and 429 for a wrong
        one of an address that sent too many.
        """
        if self._token is None:
            raise web.HTTPForbidden(
                text="this miner is read-only; set token_file under [api] to change that"
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise _unauthorized("send the header 'Authorization: Bearer TOKEN'")
        if hmac.compare_digest(given.strip().encode(errors="surrogateescape"), self._token):
            return
        client = network_of(request.remote)
        if wait := self._failed.seconds_to_wait(client):
            raise web.HTTPTooManyRequests(
                text="this address sent too many wrong tokens; try again later",
                headers={"Retry-After": str(ceil(wait))},
            )
        self._failed.add(client)
        raise _unauthorized("this is not the token of this miner")


def _unauthorized(sentence: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(text=sentence, headers={"WWW-Authenticate": "Bearer"})


def network_of(remote: str | None) -> str:
    """Return the network of the address `remote`: the owner of one IPv6 address has 2**64."""
    try:
        address = ipaddress.ip_address((remote or "").partition("%")[0])
    except ValueError:
        return "an unknown address"
    if address.version == 4 or address.is_loopback:
        return str(address)
    return str(ipaddress.ip_network((int(address), 64), strict=False))

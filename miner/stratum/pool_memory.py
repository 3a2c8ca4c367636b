"""What is remembered of a pool from one connection to the next: sent nonces, harmful requests."""

from __future__ import annotations

from cachetools import FIFOCache

from miner.clock import Clock
from miner.stratum.client_side import ClientSide

KEPT_NONCES = 65536
"""Newest nonces sent to a pool that are remembered, of all headers together."""

HARM_SECONDS = 5.0
"""If a pool ends the connection, or sends something other than JSON, this soon after an optional
request, the request counts as the cause, unless the pool accepted it before."""


class SentNonces:
    """The newest nonces sent to one pool, over all its connections: none is sent twice."""

    def __init__(self) -> None:
        self._sent: FIFOCache[tuple[bytes, int], None] = FIFOCache(KEPT_NONCES)

    def add(self, header_hash: bytes, nonce: int) -> bool:
        """Record a nonce before it is sent; return False if it was recorded before."""
        if (header_hash, nonce) in self._sent:
            return False
        self._sent[header_hash, nonce] = None
        return True

    def forget(self, header_hash: bytes, nonce: int) -> None:
        """Remove a nonce that was not sent after all."""
        self._sent.pop((header_hash, nonce), None)


class OptionalRequests:
    """The optional requests on one connection.

    `left_out`, the set in the opening of `protocol`, outlasts the connection: it receives the
    methods that did harm.
    """

    def __init__(self, protocol: ClientSide, left_out: set[str], clock: Clock) -> None:
        self._protocol, self._clock = protocol, clock
        self.left_out = left_out
        self._left_out_at_start = frozenset(left_out)
        self._sent_at: dict[str, float] = {}
        """Clock seconds of the newest request, by method."""

    def note_sent(self) -> None:
        """Note that the newest optional requests are sent now."""
        self._sent_at |= dict.fromkeys(self._protocol.tried, self._clock.now())
        self._protocol.tried.clear()

    def leave_out_harmful(self) -> None:
        """Leave out what was sent just now and was never accepted."""
        since = self._clock.now() - HARM_SECONDS
        recent = {method for method, sent_at in self._sent_at.items() if sent_at >= since}
        self.left_out |= recent - self._protocol.welcome

    def leave_out_unanswered(self) -> None:
        """Leave out what was sent at the login and got no answer: the pool may have stopped reading
        there."""
        sent = self._protocol.dialect.extras & set(self._sent_at)
        self.left_out |= sent - self._protocol.answered

    def connection_failed(self, *, logged_in: bool) -> None:
        """Update `left_out` after the pool ended the connection."""
        if self._left_out_at_start and not logged_in:
            self.left_out.clear()  # leaving them out did not help
        else:
            self.leave_out_harmful()

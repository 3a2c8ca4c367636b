"""The test pool's state of a client, which some dialects resume on a later connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from cachetools import FIFOCache, TTLCache

from miner.stratum.share_rules import Offer, ShareRules
from miner.work import NonceSpace

RESUME_SECONDS = 60.0
"""Time after a disconnect within which a client may resume its session."""

OFFERS_PER_CLIENT = 64
"""Offers whose late shares are still recognised."""


@dataclass(eq=False, slots=True)
class ClientState:
    """One client's extranonce, target, offers and shares."""

    rules: ShareRules
    name: str = ""
    """Session name; empty if the dialect cannot resume."""
    connections: int = 0
    """Open connections that use this session; only counted for named sessions."""
    nonces: NonceSpace | None = None
    """None: not subscribed."""
    share_target: int | None = None
    """None: the chain's."""
    offers: FIFOCache[str, Offer] = field(default_factory=lambda: FIFOCache(OFFERS_PER_CLIENT))
    """By the key that a share names: a job id, or 0x and a header hash's hex digits."""
    renamed: int = 0
    """Number of new job ids that were made for templates offered again."""


class ResumableSessions:
    """Client states by session name; `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._connected: dict[str, ClientState] = {}
        self._disconnected: TTLCache[str, ClientState] = TTLCache(inf, RESUME_SECONDS, now)
        self._opened = 0

    def open(self, state: ClientState) -> str:
        """Keep `state` under a new name and return the name."""
        self._opened += 1
        state.name = f"s-{self._opened:06x}"
        self._connect(state)
        return state.name

    def resume(self, name: str) -> ClientState | None:
        """Return the state of session `name`, or None if unknown or expired.

        The session may still have a connection that is dead but not closed yet.
        """
        state = self._connected.get(name) or self._disconnected.pop(name, None)
        if state is not None:
            self._connect(state)
        return state

    def leave(self, name: str) -> None:
        """Record that a connection of session `name` has ended."""
        state = self._connected[name]
        state.connections -= 1
        if not state.connections:
            self._disconnected[name] = self._connected.pop(name)

    def _connect(self, state: ClientState) -> None:
        state.connections += 1
        self._connected[state.name] = state

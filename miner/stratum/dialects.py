"""The list of dialects, and the order in which they are tried with an unknown pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from miner.stratum.client_side import ClientSide
from miner.stratum.ethproxy import EthProxyClient, SeroClient, ZanoClient
from miner.stratum.ethstratum1 import EthereumStratum1Client
from miner.stratum.ethstratum2 import EthereumStratum2Client
from miner.stratum.kawpow import KawPowClient

PROTOCOLS: Mapping[str, type[ClientSide]] = {
    protocol.name: protocol
    for protocol in (
        KawPowClient,
        EthereumStratum1Client,
        EthProxyClient,
        EthereumStratum2Client,
        SeroClient,
        ZanoClient,
    )
}
"""In the gentle order in which a pool is asked what it speaks."""


class Detection:
    """Goes through `order` until one fits; a named protocol is the only one of its order."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._at = 0
        self.named = len(self._order) == 1
        self.found = self.named
        """Whether `current` is known to fit, or was named."""

    @property
    def current(self) -> str:
        """The protocol that is to be spoken now."""
        return self._order[self._at]

    def fits(self) -> bool:
        """Note that the pool took `current`; True where that is news."""
        news, self.found = not self.found, True
        return news

    def doubt(self) -> None:
        """Note that the pool took `current` before, but not now: once more, and it is no fit."""
        self.found = self.named

    def misfit(self) -> bool:
        """Go on to the next protocol; False where all were tried and it is the first's turn."""
        self.found = self.named
        self._at = (self._at + 1) % len(self._order)
        return self._at > 0

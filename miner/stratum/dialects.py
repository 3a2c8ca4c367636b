"""The table of dialects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from miner.stratum.dialect import Dialect
from miner.stratum.epic import EPIC
from miner.stratum.ethproxy import ETHPROXY, SERO, ZANO
from miner.stratum.ethstratum1 import ETHSTRATUM1
from miner.stratum.ethstratum2 import ETHSTRATUM2
from miner.stratum.kawpow import KAWPOW

DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            KAWPOW,
            ETHSTRATUM1,
            ETHPROXY,
            ETHSTRATUM2,
            SERO,
            ZANO,
            EPIC,
        )
    }
)
"""By name, in the order in which detection tries them on a pool."""


def recognise(method: str, params: object) -> Dialect | None:
    """Return the dialect of a client whose first message this is, None if unknown."""
    version = params[1] if isinstance(params, list) and len(params) > 1 else None
    matching = [
        dialect
        for dialect in DIALECTS.values()
        if dialect.first_method == method and dialect.version in (None, version)
    ]
    return max(matching, key=lambda dialect: dialect.version is not None, default=None)


class Detection:
    """Finds the protocol of one pool by trying those of `order` in turn; a single one is named and
    needs no confirmation."""

    def __init__(self, order: Sequence[str]) -> None:
        self._order = list(order)
        self._at = 0
        self.named = len(self._order) == 1
        self.found = self.named
        """Whether `current` is known to fit, or was named."""

    @property
    def current(self) -> str:
        """The protocol to use for the next connection."""
        return self._order[self._at]

    def confirm(self) -> bool:
        """Record that the pool accepted `current`; return whether this is new."""
        news, self.found = not self.found, True
        return news

    def doubt(self) -> None:
        """Record that the pool refused `current` after accepting it earlier: it may have to be
        detected again."""
        self.found = self.named

    def try_next(self) -> bool:
        """Move to the next protocol; return False after the last, when the first is next."""
        self.found = self.named
        self._at = (self._at + 1) % len(self._order)
        return self._at > 0

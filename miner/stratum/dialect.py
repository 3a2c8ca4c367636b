"""The description of one Stratum dialect, from which everything that lists dialects is derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from miner.stratum.client_side import ClientSide
from miner.stratum.extremes import Extremes
from miner.stratum.opening import Opening
from miner.stratum.pool_side import PoolContext, PoolSide
from miner.stratum.wire_format import DialectFacts


class ClientFactory(Protocol):
    """A `ClientSide` subclass, or a `partial` of one."""

    def __call__(self, dialect: Dialect, opening: Opening) -> ClientSide: ...


class PoolFactory(Protocol):
    """A `PoolSide` subclass, or a `partial` of one."""

    def __call__(self, dialect: Dialect, context: PoolContext) -> PoolSide: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect(DialectFacts):
    """One dialect of Stratum: a row of `dialects.DIALECTS`."""

    client: ClientFactory
    pool: PoolFactory
    extremes: Extremes | None = None
    """The demands and messages of its strictest and oddest servers; None: not known."""

    def connect(self, opening: Opening) -> ClientSide:
        """Return the client side of a new connection."""
        return self.client(self, opening)

    def serve(self, context: PoolContext) -> PoolSide:
        """Return the test pool's side of a new connection."""
        return self.pool(self, context)

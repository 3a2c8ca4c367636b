"""The description of one Stratum dialect, from which everything that lists dialects is derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from miner.stratum.difficulty import DIFF1_KAWPOW

if TYPE_CHECKING:
    from miner.stratum.client_side import ClientSide, Opening
    from miner.stratum.pool_side import PoolContext, PoolSide


class ClientFactory(Protocol):
    """A `ClientSide` subclass, or a `partial` of one."""

    def __call__(self, dialect: Dialect, opening: Opening) -> ClientSide: ...


class PoolFactory(Protocol):
    """A `PoolSide` subclass, or a `partial` of one."""

    def __call__(self, dialect: Dialect, context: PoolContext) -> PoolSide: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One dialect of Stratum: a row of `dialects.DIALECTS`."""

    name: str
    """As `--protocol` takes it; also a URL scheme."""
    title: str
    """As messages show it."""
    client: ClientFactory
    pool: PoolFactory
    logins: frozenset[str]
    """Methods whose parameters contain the password."""
    shares: frozenset[str]
    """Methods that submit a share."""
    first_method: str | None
    """Method of a client's first message, by which the test pool recognises it; None: it does
    not."""
    version: str | None = None
    """Second parameter of that message, if the dialect is distinguished by it."""
    schemes: tuple[str, ...] = ()
    """URL schemes besides `name`, without transport (`+tls`)."""
    hashrate_reports: frozenset[str] = frozenset()
    """Methods whose first parameter is the hashrate, in hex."""
    extras: frozenset[str] = frozenset()
    """Other methods that a pool need not know."""
    diff1: int = DIFF1_KAWPOW
    """Target of difficulty 1 for pools that announce difficulties; a coin may have its own."""
    nodes_speak_getwork: bool = False
    """Nodes of coins with this dialect answer eth_getWork, not getblocktemplate."""

    @property
    def optional(self) -> frozenset[str]:
        """Methods that are left out where a pool cannot bear them."""
        return self.extras | self.hashrate_reports

    def connect(self, opening: Opening) -> ClientSide:
        """Return the client side of a new connection."""
        return self.client(self, opening)

    def serve(self, context: PoolContext) -> PoolSide:
        """Return the test pool's side of a new connection."""
        return self.pool(self, context)

"""The dialect of zanod's own Stratum and of Zano's pools: ETHPROXY, silent while syncing."""

from __future__ import annotations

from miner.pool.protocols.ethproxy import EthProxy


class Zano(EthProxy):
    """ETHPROXY with heights of 16 hex digits; an empty list for work means "not yet"."""

    name = "zano"
    title = "Zano's Stratum"

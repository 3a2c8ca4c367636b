"""SERO's dialect: ETHPROXY under another name, its heights in decimal digits."""

from __future__ import annotations

from miner.pool.protocols.ethproxy import EthProxy


class Sero(EthProxy):
    """The dialect of SERO's pools and nodes."""

    name = "sero"
    title = "SERO's Stratum"
    PREFIX = "sero"

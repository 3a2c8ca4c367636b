"""Which wire protocols are spoken, by name."""

from __future__ import annotations

from collections.abc import Mapping

from miner.pool.protocols.ethproxy import EthProxy
from miner.pool.protocols.ethstratum import EthereumStratum1
from miner.pool.protocols.ethstratum2 import EthereumStratum2
from miner.pool.protocols.kawpow import KawPow
from miner.pool.protocols.sero import Sero
from miner.pool.protocols.stratum import Stratum
from miner.pool.protocols.zano import Zano

PROTOCOLS: Mapping[str, type[Stratum]] = {
    protocol.name: protocol
    for protocol in (KawPow, EthereumStratum1, EthProxy, EthereumStratum2, Sero, Zano)
}
"""In the gentle order in which a pool is asked what it speaks."""

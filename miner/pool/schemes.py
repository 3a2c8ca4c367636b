"""What the scheme of a pool's address stands for, in the words that users of other miners type."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from miner.errors import ConfigError
from miner.pool.protocols.table import PROTOCOLS

AUTO = "auto"
"""In place of a protocol's name: find out what the pool speaks."""

NODE = "node"
"""getblocktemplate over HTTP: the coin's own node instead of a pool."""

GETWORK = "getwork"
"""eth_getWork over HTTP."""


class Transport(Enum):
    """How the bytes travel."""

    TCP = "tcp"
    TLS = "tls"
    TLS12 = "tls12"
    """TLS 1.2 and nothing newer, for pools that cannot negotiate."""
    HTTP = "http"
    HTTPS = "https"

    @property
    def is_http(self) -> bool:
        """Whether each request stands alone, as a node wants it."""
        return self in (Transport.HTTP, Transport.HTTPS)

    @property
    def has_tls(self) -> bool:
        """Whether the other side shows a certificate."""
        return self not in (Transport.TCP, Transport.HTTP)


@dataclass(frozen=True, slots=True)
class Scheme:
    """A protocol with its transport."""

    protocol: str | None
    """None: the scheme does not say."""
    transport: Transport


PLAIN = Scheme(None, Transport.TCP)
"""An address without a scheme."""

_STREAMS = {
    "": Transport.TCP,
    "+tcp": Transport.TCP,
    "+tls": Transport.TLS,
    "+ssl": Transport.TLS,
    "+tcps": Transport.TLS,
    "+tls12": Transport.TLS12,
}
_REQUESTS = {
    "": Transport.HTTP,
    "+http": Transport.HTTP,
    "+tcp": Transport.HTTP,
    "+https": Transport.HTTPS,
}
_SPOKEN_OVER_STREAMS = {
    "stratum": None,
    "stratum1": "ethproxy",
    "stratum2": "ethstratum",
    "stratum3": "ethstratum2",
    "ethproxy": "ethproxy",
    "ethstratum": "ethstratum",
    "ethstratum2": "ethstratum2",
    "nicehash": "ethstratum",
    "sero": "sero",
    "zano": "zano",
    "kawpow": "kawpow",
}
_SPOKEN_OVER_REQUESTS = {"node": NODE, "daemon": NODE, "solo": NODE, "getwork": GETWORK}

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        name + ending: Scheme(protocol, transport)
        for name, protocol in _SPOKEN_OVER_STREAMS.items()
        for ending, transport in _STREAMS.items()
    }
    | {
        "stratums": Scheme(None, Transport.TLS),
        "stratumss": Scheme(None, Transport.TLS12),
    }
    | {
        name + ending: Scheme(protocol, transport)
        for name, protocol in _SPOKEN_OVER_REQUESTS.items()
        for ending, transport in _REQUESTS.items()
    }
    | {
        "http": Scheme(None, Transport.HTTP),
        "https": Scheme(None, Transport.HTTPS),
    }
)
"""Each scheme in lower case, without its "://"."""

_ETHEREUM_LIKE = frozenset({"ethproxy", "ethstratum", "ethstratum2", "sero"})
"""Coins with one of these have nodes that know no getblocktemplate."""


def find_scheme(name: str) -> Scheme:
    """Return what `name` (without "://", case ignored) stands for; raises `ConfigError` with
    the nearest ones that are known."""
    if found := SCHEMES.get(name.lower()):
        return found
    shown = name[:40]
    near = difflib.get_close_matches(name.lower(), SCHEMES, n=3, cutoff=0.6) or [
        "stratum+tcp",
        "stratum+tls",
        "node+http",
    ]
    raise ConfigError(
        f"unknown scheme {shown}://; the nearest known are "
        f"{', '.join(f'{scheme}://' for scheme in near)}"
    )


def known_protocols() -> tuple[str, ...]:
    """Return what `--protocol` takes."""
    return (AUTO, *PROTOCOLS, NODE, GETWORK)


def protocol_of(option: str | None, scheme: Scheme, coin: str | None) -> str | None:
    """Return the protocol to speak: the one of `option`, else the scheme's, else the coin's;
    None: find out.

    Over HTTP a coin's own protocol only tells which kind of node it has: that of an
    Ethereum-like coin speaks eth_getWork. Raises `ConfigError` for an unknown `option`, and where
    protocol and transport do not go together.
    """
    chosen = option.lower() if option is not None else None
    if chosen is not None and chosen not in known_protocols():
        near = difflib.get_close_matches(chosen, known_protocols(), n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise ConfigError(
            f"protocol {chosen[:40]!r} is not known{hint}; known are {', '.join(known_protocols())}"
        )
    over_http = scheme.transport.is_http
    if chosen not in (None, AUTO) and (chosen in (NODE, GETWORK)) != over_http:
        wanted = "stratum+tcp://" if over_http else "http://"
        raise ConfigError(
            f"protocol {chosen!r} is not spoken over {scheme.transport.value}; write the pool's "
            f"address as {wanted}host:port"
        )
    if over_http:
        found = NODE if chosen == AUTO else chosen or scheme.protocol or NODE
        return GETWORK if found == NODE and coin in _ETHEREUM_LIKE else found
    return None if chosen == AUTO else chosen or scheme.protocol or coin

"""Parses pool addresses, with the schemes that other miners use: scheme, login, host, port."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote

from miner.errors import ConfigError, did_you_mean
from miner.net.address import DEFAULT_PASSWORD, PoolUrl, Transport, parse_host_port
from miner.stratum.dialects import DIALECTS

AUTO = "auto"
"""Instead of a protocol's name: detect the protocol."""

NODE = "node"
"""getblocktemplate over HTTP, with a node instead of a pool."""

GETWORK = "getwork"
"""eth_getWork over HTTP, with a node instead of a pool."""


@dataclass(frozen=True, slots=True)
class Scheme:
    """The protocol and the transport that the scheme of an address stands for."""

    protocol: str | None
    """None: the scheme names only a transport."""
    transport: Transport


PLAIN = Scheme(None, Transport.TCP)
"""For an address without a scheme."""

_STREAM_ENDINGS = {
    "": Transport.TCP,
    "+tcp": Transport.TCP,
    "+tls": Transport.TLS,
    "+ssl": Transport.TLS,
    "+tcps": Transport.TLS,
    "+tls12": Transport.TLS12,
}
_HTTP_ENDINGS = {
    "": Transport.HTTP,
    "+http": Transport.HTTP,
    "+tcp": Transport.HTTP,
    "+https": Transport.HTTPS,
}
_STRATUM_SCHEMES: Mapping[str, str | None] = {
    "stratum": None,
    **{
        scheme: dialect.name
        for dialect in DIALECTS.values()
        for scheme in (dialect.name, *dialect.schemes)
    },
}
_HTTP_SCHEMES = {"node": NODE, "daemon": NODE, "solo": NODE, "getwork": GETWORK}

SCHEMES: Mapping[str, Scheme] = MappingProxyType(
    {
        name + ending: Scheme(protocol, transport)
        for name, protocol in _STRATUM_SCHEMES.items()
        for ending, transport in _STREAM_ENDINGS.items()
    }
    | {
        ending.removeprefix("+"): Scheme(None, transport)
        for ending, transport in _STREAM_ENDINGS.items()
        if ending
    }
    | {"stratums": Scheme(None, Transport.TLS), "stratumss": Scheme(None, Transport.TLS12)}
    | {
        name + ending: Scheme(protocol, transport)
        for name, protocol in _HTTP_SCHEMES.items()
        for ending, transport in _HTTP_ENDINGS.items()
    }
    | {"http": Scheme(None, Transport.HTTP), "https": Scheme(None, Transport.HTTPS)}
)
"""All schemes, in lower case and without "://"."""


def find_scheme(name: str) -> Scheme:
    """Return the scheme `name`, without "://" and in any case; raises `ConfigError` with the
    nearest known schemes."""
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
    """Return the values of `--protocol`."""
    return (AUTO, *DIALECTS, NODE, GETWORK)


def choose_protocol(option: str | None, scheme: Scheme, coin: str | None) -> str | None:
    """Return the protocol of `option`, else of the scheme, else of the coin; None: detect it.

    Over HTTP a coin's protocol only tells the kind of its node: nodes of Ethereum-like coins
    have eth_getWork. Raises `ConfigError` for an unknown `option`, and if protocol and transport
    do not fit.
    """
    chosen = option.lower() if option is not None else None
    if chosen is not None and chosen not in known_protocols():
        hint = did_you_mean(chosen, known_protocols())
        raise ConfigError(
            f"protocol {chosen[:40]!r} is not known{hint}; known are {', '.join(known_protocols())}"
        )
    over_http = scheme.transport.is_http
    if chosen not in (None, AUTO) and (chosen in (NODE, GETWORK)) != over_http:
        wanted = "stratum+tcp://" if over_http else "http://"
        raise ConfigError(
            f"protocol {chosen!r} does not run over {scheme.transport.value}; write the pool's "
            f"address as {wanted}host:port"
        )
    if over_http:
        found = NODE if chosen == AUTO else chosen or scheme.protocol or NODE
        dialect = DIALECTS.get(coin or "")
        getwork = dialect is not None and dialect.nodes_speak_getwork
        return GETWORK if found == NODE and getwork else found
    return None if chosen == AUTO else chosen or scheme.protocol or coin


_NODE_EXAMPLE = "http://host:port with the node's RPC port, or stratum+tcp://host:port for a pool"

LOGIN_LIMIT = 256
"""Most characters of a user or a password; within it, each request stays below 1024 bytes."""

_SCHEME = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)
_SCHEME_MISTYPED = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]*)(:/|//?|:(?!.*@))(?!/).*:.*", re.DOTALL)
"""A scheme without all of "://"; the last colon is that of the port."""
_HOST_AFTER_LOGIN = re.compile(r"@[^@/]*:[0-9]+(/|$)")
"""After a slash it means that the slash belongs to the login; an e-mail address has no port."""


def parse_pool_url(
    text: str,
    user: str | None = None,
    password: str | None = None,
    worker: str | None = None,
    fallback: str = DEFAULT_PASSWORD,
) -> PoolUrl:
    """Parse "[scheme://][user[:password]@]host:port[/path]" with percent-encoded credentials.

    A path is appended to the user after a slash, `worker` after a dot, before an e-mail address
    that follows a slash, and not twice. For a node, over HTTP, the path stays a path and `worker`
    is ignored. `user` and `password` override those of the
    address, except for a password of "x"; `fallback` is used if neither has a password. Raises
    `ConfigError`, whose message contains no password.
    """
    scheme, rest = _split_scheme(text.strip())
    over_http = scheme.transport.is_http
    authority, _, path = rest.removesuffix("#xnsub").partition("/")
    login, _, address = authority.rpartition("@")
    if (not login and "@" in path) and (
        _HOST_AFTER_LOGIN.search(path) or not re.fullmatch(r".+:[0-9]+", authority)
    ):
        raise ConfigError("a slash in a pool's user or password is written as %2F")
    example = _NODE_EXAMPLE if over_http else "host:port"
    host, port = parse_host_port(address, example=example)
    own_user, _, own_password = (unquote(part) for part in login.partition(":"))
    name = user or own_user
    if over_http:
        worker, path = None, f"/{path}" if path else ""
    elif path := unquote(path).strip("/"):
        name, path = f"{name}/{path}", ""
    if worker:
        _check_login(f"pool {host}:{port}", "worker", worker)
        if not name:
            raise ConfigError(f"pool {host}:{port}: a worker needs a user")
        name = _with_worker(name, worker)
    if not password or password == DEFAULT_PASSWORD:
        password = own_password or password or fallback
    for what, value in (("user", name), ("password", password), ("path", path)):
        _check_login(f"pool {host}:{port}", what, value)
    return PoolUrl(
        host, port, name, password, scheme.transport, protocol=scheme.protocol, path=path
    )


def _with_worker(user: str, worker: str) -> str:
    account, slash, rest = user.partition("/")
    if "@" not in rest:
        account, slash, rest = user, "", ""
    return f"{account.removesuffix(f'.{worker}')}.{worker}{slash}{rest}"


def _split_scheme(text: str) -> tuple[Scheme, str]:
    match = _SCHEME.fullmatch(text)
    if match is not None:
        return find_scheme(match[1]), match[2]
    mistyped = _SCHEME_MISTYPED.fullmatch(text)
    if mistyped is not None and mistyped[1].lower() in SCHEMES:
        scheme = mistyped[1]
        raise ConfigError(f"pool: write :// after {scheme}, as in {scheme}://host:port")
    return PLAIN, text


def _check_login(where: str, what: str, value: str) -> None:
    if len(value) > LOGIN_LIMIT or not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"{where}: the {what} is not up to {LOGIN_LIMIT} printable ASCII characters"
        )

"""Pools as the command line pairs them, and the address that a pool's settings name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from miner.catalog import Coin
    from miner.pool.url import PoolUrl
    from miner.settings import PoolSettings

PASSWORD_VARIABLE = "PROGPOW_MINER_POOL_PASSWORD"
"""Environment variable with the password of pools that have none of their own."""

COOKIE_VARIABLE = "PROGPOW_MINER_COOKIE_FILE"
"""Environment variable with the cookie file of nodes that have no login of their own."""


def paired(
    urls: tuple[str, ...],
    users: tuple[str, ...],
    passwords: tuple[str, ...],
    worker: str | None,
    combined: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Pair -o with -u and -p in their order; one -u or -p serves every -o. `combined` are those
    of -P, which say all in one."""
    for flag, values in (("-u", users), ("-p", passwords)):
        if len(values) > max(len(urls), 1):
            raise click.UsageError(f"{flag} is given {len(values)} times, -o {len(urls)} times")
    for flag, values in (("-u", users), ("-p", passwords)):
        if values and not urls:
            raise click.UsageError(f"{flag} is given without -o URL")
    pools: list[dict[str, Any]] = []
    for i, url in enumerate(urls):
        pools.append(
            {
                "url": url,
                "user": users[min(i, len(users) - 1)] if users else None,
                "password": passwords[min(i, len(passwords) - 1)] if passwords else None,
                "worker": worker,
            }
        )
    pools += [{"url": url, "worker": worker} for url in combined]
    return pools


def pool_url(pool: PoolSettings, coin: Coin | None = None) -> PoolUrl:
    """Return the address that the settings of a pool name, for mining `coin`.

    Raises `ConfigError` for what does not go together.
    """
    from dataclasses import replace

    from miner.errors import ConfigError
    from miner.pool.schemes import NODE, Scheme, protocol_of
    from miner.pool.transport.socks import parse_proxy
    from miner.pool.transport.tls import parse_fingerprint
    from miner.pool.url import DEFAULT_PASSWORD, parse_pool_url
    from miner.settings.secrets import first_line, home, without_wallets

    password = None
    if pool.password_file is not None:
        password = first_line(pool.password_file, "password file")
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    try:
        url = parse_pool_url(pool.url, pool.user or None, password, pool.worker, fallback)
        if pool.proxy is not None:
            parse_proxy(pool.proxy)
    except ConfigError as error:
        raise ConfigError(without_wallets(str(error))) from error
    reward = ""
    if url.transport.is_http and "@" in pool.url:
        # The login in a node's address is the node's own; the user is who is paid.
        reward = pool.user
        url = parse_pool_url(pool.url, None, password, None, fallback)
    protocol = protocol_of(
        pool.protocol, Scheme(url.protocol, url.transport), coin.protocol if coin else None
    )
    if protocol == NODE and coin and coin.node is None:
        raise ConfigError(
            f"{url.label}: {coin.name} is mined over Stratum only, with a pool or with a node that "
            "speaks it itself; write stratum+tcp://host:port"
        )
    if pool.tls_fingerprint is not None and not url.transport.has_tls:
        raise ConfigError(
            f"{url.label}: there is no certificate to pin without TLS; write stratum+tls:// or "
            "https://"
        )
    if pool.cookie_file is not None and not url.transport.is_http:
        raise ConfigError(f"{url.label}: a cookie file belongs to a node, reached over http://")
    cookie_file = home(pool.cookie_file, "cookie file")
    has_login = "@" in pool.url or pool.user or cookie_file
    variable = os.environ.get(COOKIE_VARIABLE)
    if url.transport.is_http and not has_login and variable:
        cookie_file = home(Path(variable), "cookie file")
    return replace(
        url,
        protocol=protocol,
        reward=reward,
        tls_insecure=pool.tls_insecure,
        ca_file=home(pool.tls_ca_file, "CA file"),
        tls_fingerprint=parse_fingerprint(pool.tls_fingerprint) if pool.tls_fingerprint else None,
        proxy=pool.proxy,
        cookie_file=cookie_file,
    )

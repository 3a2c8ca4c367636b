"""The address, protocol and login of each pool that the settings list."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from miner.catalog import Coin
from miner.errors import ConfigError
from miner.net.pool_url import DEFAULT_PASSWORD, PoolUrl
from miner.net.socks import parse_proxy
from miner.net.tls import parse_fingerprint, tls_context
from miner.pool.pool_addresses import (
    NODE,
    PASSWORD_VARIABLE,
    Scheme,
    choose_protocol,
    parse_pool_url,
)
from miner.safe_text import without_wallets
from miner.settings import PoolSettings
from miner.settings.environment import COOKIE_VARIABLE
from miner.settings.secrets import expand_home, read_secret


def pool_urls(pools: Sequence[PoolSettings], coin: Coin | None) -> tuple[PoolUrl, ...]:
    """Return the addresses of `pools`, their CA files checked; raises `ConfigError`."""
    urls = tuple(pool_url(pool, coin) for pool in pools)
    for url in urls:
        if url.ca_file is not None:  # without one there is nothing to check, and it takes long
            tls_context(url)
    return urls


def pool_url(pool: PoolSettings, coin: Coin | None = None) -> PoolUrl:
    """Return the address of one pool for mining `coin`.

    Raises `ConfigError` for settings that contradict each other.
    """
    url, reward = _address(pool)
    protocol = choose_protocol(
        pool.protocol, Scheme(url.protocol, url.transport), coin.protocol if coin else None
    )
    if protocol == NODE and coin and coin.node is None:
        raise ConfigError(
            f"{url.label}: {coin.name} is mined over Stratum only, with a pool or with a node that "
            "has a Stratum port; write stratum+tcp://host:port"
        )
    if pool.tls_fingerprint is not None and not url.transport.has_tls:
        raise ConfigError(f"{url.label}: a fingerprint needs TLS; write stratum+tls:// or https://")
    if pool.cookie_file is not None and not url.transport.is_http:
        raise ConfigError(f"{url.label}: a cookie file belongs to a node, reached over http://")
    return replace(
        url,
        protocol=protocol,
        reward=reward,
        tls_insecure=pool.tls_insecure,
        ca_file=expand_home(pool.tls_ca_file, "CA file"),
        tls_fingerprint=parse_fingerprint(pool.tls_fingerprint) if pool.tls_fingerprint else None,
        proxy=pool.proxy,
        cookie_file=_cookie_file(pool) if url.transport.is_http else None,
    )


def _address(pool: PoolSettings) -> tuple[PoolUrl, str]:
    """Return the parsed URL and, for a node, the address that block rewards go to."""
    password = None
    if pool.password_file is not None:
        password = read_secret(pool.password_file, "password file")
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    try:
        url = parse_pool_url(pool.url, pool.user or None, password, pool.worker, fallback)
        if pool.proxy is not None:
            parse_proxy(pool.proxy)
    except ConfigError as error:
        raise ConfigError(without_wallets(str(error))) from error
    if url.transport.is_http and "@" in pool.url:
        # The login in the URL is the node's RPC login; `user` is the reward's address.
        return parse_pool_url(pool.url, None, password, None, fallback), pool.user
    return url, ""


def _cookie_file(pool: PoolSettings) -> str | None:
    if pool.cookie_file is not None:
        return expand_home(pool.cookie_file, "cookie file")
    variable = os.environ.get(COOKIE_VARIABLE)
    has_login = "@" in pool.url or pool.user
    return expand_home(Path(variable), "cookie file") if variable and not has_login else None

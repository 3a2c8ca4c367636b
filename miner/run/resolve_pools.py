"""Resolves the settings of pools: the coin, addresses with logins, secrets and wallets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from miner.catalog import Coin, coin_called, coins, find_coin, find_variant
from miner.errors import ConfigError
from miner.net.address import DEFAULT_PASSWORD, PASSWORD_VARIABLE, PoolUrl
from miner.net.socks import parse_proxy
from miner.net.tls import parse_fingerprint, tls_context
from miner.pool.pool_addresses import NODE, Scheme, choose_protocol, parse_pool_url
from miner.resources import variable
from miner.safe_text import shortened, shortened_user, without_wallets
from miner.settings.environment import COOKIE_VARIABLE
from miner.settings.model import PoolSettings, Settings
from miner.settings.secrets import expand_home, read_secret
from miner.wallets import WRONG_CHECKSUM, address_problem, login_parts


def check_pools(settings: Settings) -> None:
    """Raise `UsageError` for an unknown variant or coin and for pools that cannot be used.

    No driver or other slow module is loaded.
    """
    coin = chosen_coin(settings)
    if coin is None:
        find_variant(settings.variant or "")
    pool_urls(settings.pools, coin)


def chosen_coin(settings: Settings) -> Coin | None:
    """Return the coin, which `variant` may name too; None if only the variant is known."""
    return find_coin(settings.coin) if settings.coin else coin_called(settings.variant or "")


def pool_urls(pools: Sequence[PoolSettings], coin: Coin | None) -> tuple[PoolUrl, ...]:
    """Return the addresses of `pools`, their CA files checked; raises `ConfigError`."""
    urls = tuple(pool_url(pool, coin) for pool in pools)
    for url in urls:
        if url.ca_file is not None:  # loading the certificates of the system is slow
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
        cookie_file=_cookie_file(pool, url) if url.transport.is_http else None,
    )


def _address(pool: PoolSettings) -> tuple[PoolUrl, str]:
    """Return the parsed URL and, for a node, the address that block rewards go to."""
    password = None
    if pool.password_file is not None:
        password = read_secret(pool.password_file, "password file")
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = variable(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
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


def _cookie_file(pool: PoolSettings, url: PoolUrl) -> str | None:
    if pool.cookie_file is not None:
        return expand_home(pool.cookie_file, "cookie file")
    cookie = variable(COOKIE_VARIABLE)
    has_login = url.user and url.password != DEFAULT_PASSWORD  # else the user is an address
    return expand_home(Path(cookie), "cookie file") if cookie and not has_login else None


def secrets_of(pools: Sequence[PoolUrl], token: str | None) -> tuple[str, ...]:
    """Return the token, passwords and secret paths, which are never shown."""
    texts = [token or ""]
    for url in pools:
        texts += [url.password, url.path.strip("/")]
        texts.append(parse_proxy(url.proxy).password if url.proxy is not None else "")
    return tuple(dict.fromkeys(filter(None, texts)))


def wallets_of(pools: Sequence[PoolUrl]) -> tuple[str, ...]:
    """Return accounts and reward addresses, without workers: a rig is often named like one."""
    texts = [url.reward for url in pools]
    for url in pools:
        texts += login_parts(url.user.rpartition(".")[0] or url.user)
    return tuple(dict.fromkeys(filter(None, texts)))


def login_notes(pools: Sequence[PoolSettings]) -> Iterator[str]:
    """Yield a sentence for each pool whose login is given twice, with different values."""
    for pool in pools:
        url = parse_pool_url(pool.url)
        if url.transport.is_http:
            continue
        if url.user and pool.user and url.user != pool.user:
            shown = shortened_user(pool.user), shortened_user(url.user)
            yield f"{url.label}: the user {shown[0]} replaces {shown[1]}, the one in the address"
        account = (pool.user or url.user).partition("/")[0]
        if pool.worker and "." in account and "@" not in account:
            ending = account.rpartition(".")[2]
            is_same = account.endswith(f".{pool.worker}")
            if not is_same and not ending.isdecimal():  # a number is a difficulty
                text = f"the worker {pool.worker} is added to a user that ends in .{ending} already"
                yield f"{url.label}: {text}; remove one of them"


def wallet_notes(pools: Sequence[PoolUrl], coin: Coin | None, variant: str | None) -> Iterator[str]:
    """Yield a sentence for each wallet that cannot be an address of the coin, or of any coin with
    `variant` if only that is known, and for each login with a blank."""
    for url in pools:
        if " " in url.account:
            yield f"{url.label}: the user contains a blank; remove it, as pools refuse such logins"
    if coin is not None:
        mined = [coin]
    else:
        name = find_variant(variant or "").name
        mined = [one for one in coins().values() if one.variant == name]
    seen = set()
    for url in pools:
        account = login_parts(url.account)[0]
        problems = [address_problem(account, one.addresses) for one in mined]
        if not problems or None in problems or account in seen:
            continue
        seen.add(account)
        what = mined[0].name if len(mined) == 1 else f"a coin that {mined[0].variant} mines"
        problem = next((p for p in problems if p == WRONG_CHECKSUM), problems[0])
        yield (
            f"{url.label}: {shortened(account)} cannot be an address of {what}: {problem}; "
            "unless the pool pays in another coin, correct it"
        )

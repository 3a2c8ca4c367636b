"""The command that mines, for the account that the user names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.audit import chosen_variant

if TYPE_CHECKING:
    from miner.catalog import Coin
    from miner.pool.url import PoolUrl
    from miner.settings import PoolSettings, Settings

PASSWORD_VARIABLE = "PROGPOW_MINER_POOL_PASSWORD"
"""Environment variable with the password of pools that have none of their own."""

COOKIE_VARIABLE = "PROGPOW_MINER_COOKIE_FILE"
"""Environment variable with the cookie file of nodes that have no login of their own."""


def write(line: str) -> None:
    """Print a line; when nobody reads any more (`| head`), mining goes on in silence."""
    try:
        click.echo(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.command()
@click.option("-a", "--algo", "--variant", "variant", metavar="NAME|FILE", help="Variant.")
@click.option("--coin", metavar="SYMBOL", help="Coin, which knows its variant.")
@click.option("-o", "--url", "urls", multiple=True, metavar="URL", help="Pool; repeat for more.")
@click.option("-u", "--user", "users", multiple=True, help="Wallet or WALLET.worker.")
@click.option("-p", "--pass", "--password", "passwords", multiple=True, help="Default: x.")
@click.option("-w", "--worker", help="Worker's name, appended to the user.")
@click.option(
    "-P", "--pool", "combined", multiple=True, metavar="URL",
    help="scheme://user.worker:pass@host:port, all in one; repeat for more.",
)  # fmt: skip
@click.option("-d", "--devices", "devices", metavar="LIST", help="Names, separated by commas.")
@click.option("--backend", metavar="NAME", help="opencl, ref, or auto.")
@click.option("--shares", type=int, help="Stop after so many accepted shares.")
@click.option("--give-up", type=float, metavar="SECONDS", help="Stop after so long without pool.")
@click.option("--tls-insecure", is_flag=True, default=None, help="Accept any certificate.")
@click.option("--tls-ca-file", metavar="FILE", help="Certificates to trust besides the system's.")
@click.option(
    "--tls-fingerprint",
    metavar="HEX",
    help="SHA-256 of the pool's certificate: that one is accepted, and no other.",
)
@click.option("--protocol", metavar="NAME", help="What the pool speaks; auto: find out.")
@click.option("--proxy", metavar="URL", help="socks5://[user:password@]host:port to go through.")
@click.option("--cookie-file", metavar="FILE", help="A node's file with user and password.")
@click.option("-R", "--report-hashrate", is_flag=True, default=None, help="Tell the pool.")
@click.option("--record", metavar="FILE", help="Write down what is said to and by the pool.")
@click.option("-c", "--config", type=click.Path(path_type=Path), help="Settings as TOML.")
def mine(
    variant: str | None,
    coin: str | None,
    urls: tuple[str, ...],
    users: tuple[str, ...],
    passwords: tuple[str, ...],
    worker: str | None,
    combined: tuple[str, ...],
    devices: str | None,
    backend: str | None,
    shares: int | None,
    give_up: float | None,
    tls_insecure: bool | None,
    tls_ca_file: str | None,
    tls_fingerprint: str | None,
    protocol: str | None,
    proxy: str | None,
    cookie_file: str | None,
    report_hashrate: bool | None,
    record: str | None,
    config: Path | None,
) -> None:
    """Mine for the account that you name."""
    import asyncio

    from miner.settings import load_settings

    pools = _pools(urls, users, passwords, worker, combined)
    for_each = {
        "tls_insecure": tls_insecure,
        "tls_ca_file": tls_ca_file,
        "tls_fingerprint": tls_fingerprint,
        "protocol": protocol,
        "proxy": proxy,
        "cookie_file": cookie_file,
    }
    for pool in pools:
        pool |= for_each
    for key, value in {**for_each, "worker": worker}.items():
        if config and not pools and value is not None:
            flag = f"--{key.replace('_', '-')}"
            raise click.UsageError(
                f"{flag} belongs to pools of the command line; write {key} under [[pools]] in "
                f"{config}"
            )
    settings = load_settings(
        config,
        {
            "variant": variant,
            "coin": coin,
            "pools": pools or None,
            "devices": {"use": names(devices), "backend": backend},
            "shares": shares,
            "give_up": give_up,
            "report_hashrate": report_hashrate,
            "record": record,
        },
    )
    asyncio.run(_mine(settings))


def names(devices: str | None) -> list[str] | None:
    """Return the names in a list separated by commas; None where there is none."""
    return [n.strip() for n in devices.split(",") if n.strip()] if devices else None


def _pools(
    urls: tuple[str, ...],
    users: tuple[str, ...],
    passwords: tuple[str, ...],
    worker: str | None,
    combined: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Pair -o with -u and -p in their order; one -u or -p serves every -o."""
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


async def _mine(settings: Settings) -> None:
    from miner.catalog import find_coin
    from miner.devices.registry import choose_devices
    from miner.pool.protocols.difficulty import DIFF1_FFFF, DIFF1_KAWPOW
    from miner.pool.tls import tls_context
    from miner.run import Mining
    from miner.run import mine as run_mine

    coin = find_coin(settings.coin) if settings.coin else None
    variant = chosen_variant(coin.variant if coin else settings.variant or "")
    diff1 = {"ff": DIFF1_KAWPOW, "ffff": DIFF1_FFFF, None: None}[
        coin.difficulty_one if coin else None
    ]
    pools = [pool_url(pool, coin) for pool in settings.pools]
    use, out, missing = choose_devices(settings.devices.backend, settings.devices.use, variant)
    for sentence in missing:
        write(f"note      {sentence}")
    for left in out:
        write(f"note      {left.info.name} is not used: {left.info.unusable}")
    for found in use:
        write(f"device    {found.info.name} {found.info.model}, {found.info.driver}")
    for url in pools:
        tls_context(url)
        if url.tls_insecure and url.transport.has_tls:
            write(
                f"note      {url.label}: its certificate is not checked, so that anyone in "
                "between can take your shares"
            )
    mining = Mining(
        variant,
        pools,
        use,
        diff1,
        settings.shares,
        settings.give_up,
        report_hashrate=settings.report_hashrate,
        record=settings.record,
        limits=settings.limits.limits(),
        node=coin.node if coin else None,
    )
    await run_mine(mining, write)


def pool_url(pool: PoolSettings, coin: Coin | None = None) -> PoolUrl:
    """Return the address that the settings of a pool name, for mining `coin`.

    Raises `ConfigError` for what does not go together.
    """
    from dataclasses import replace

    from miner.errors import ConfigError
    from miner.pool.schemes import NODE, Scheme, protocol_of
    from miner.pool.socks import parse_proxy
    from miner.pool.tls import parse_fingerprint
    from miner.pool.url import DEFAULT_PASSWORD, parse_pool_url

    password = None
    if pool.password_file is not None:
        password = _first_line(pool.password_file)
    elif "password" in pool.model_fields_set:
        password = pool.password.get_secret_value()
    fallback = os.environ.get(PASSWORD_VARIABLE) or DEFAULT_PASSWORD
    url = parse_pool_url(pool.url, pool.user or None, password, pool.worker, fallback)
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
    if pool.proxy is not None:
        parse_proxy(pool.proxy)
    cookie_file = _home(pool.cookie_file, "cookie file")
    has_login = "@" in pool.url or pool.user or cookie_file
    variable = os.environ.get(COOKIE_VARIABLE)
    if url.transport.is_http and not has_login and variable:
        cookie_file = _home(Path(variable), "cookie file")
    return replace(
        url,
        protocol=protocol,
        reward=reward,
        tls_insecure=pool.tls_insecure,
        ca_file=_home(pool.tls_ca_file, "CA file"),
        tls_fingerprint=parse_fingerprint(pool.tls_fingerprint) if pool.tls_fingerprint else None,
        proxy=pool.proxy,
        cookie_file=cookie_file,
    )


def _home(path: Path | None, what: str) -> str | None:
    """Return `path` with a home directory in place of its tilde."""
    from miner.errors import ConfigError

    try:
        return str(path.expanduser()) if path is not None else None
    except RuntimeError as error:
        raise ConfigError(f"{what} {path}: there is no such user; write the whole path") from error


def _first_line(path: Path) -> str:
    from miner.errors import ConfigError

    try:
        home = Path(_home(path, "password file") or path)
        lines = home.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"password file {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"password file {path}: is not UTF-8 text") from error
    if not lines or not lines[0].strip():
        raise ConfigError(f"password file {path}: its first line is empty")
    return lines[0].strip()

"""The command that mines, for the account that the user names."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.audit import chosen_variant
from miner.cli.pools import COOKIE_VARIABLE as COOKIE_VARIABLE
from miner.cli.pools import PASSWORD_VARIABLE as PASSWORD_VARIABLE
from miner.cli.pools import paired, pool_url

if TYPE_CHECKING:
    from miner.devices.registry import Listed
    from miner.devices.selection import Tuning
    from miner.run import Mining
    from miner.settings import Settings

CONFIG_VARIABLE = "PROGPOW_MINER_CONFIG"
"""Environment variable that names the settings file, where no flag does."""


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
@click.option(
    "-d",
    "--devices",
    "devices",
    metavar="LIST",
    help="Names, indexes, PCI addresses, UUIDs or patterns.",
)
@click.option("--backend", metavar="NAME", help="opencl, cuda, ref, or auto.")
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
@click.option("--rig", metavar="NAME", help="This rig's name; the host's where left out.")
@click.option("--temp-stop", type=float, metavar="CELSIUS", help="Heat at which a device rests.")
@click.option("--temp-start", type=float, metavar="CELSIUS", help="Heat below which it goes on.")
@click.option("--api", metavar="HOST:PORT|off", help="Where API and dashboard listen.")
@click.option("--api-token-file", metavar="FILE", help="File whose first line is the API's token.")
@click.option("-l", "--log-file", metavar="FILE", help="Write the log there as well.")
@click.option("--log-level", metavar="NAME", help="debug, info, warning or error.")
@click.option("--console", metavar="NAME", help="auto, plain, live or json.")
@click.option("--no-ledger", is_flag=True, help="Keep no record of shares on this machine.")
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
    tls_insecure: bool | None,
    tls_ca_file: str | None,
    tls_fingerprint: str | None,
    protocol: str | None,
    proxy: str | None,
    cookie_file: str | None,
    config: Path | None,
    **flags: Any,
) -> None:
    """Mine for the account that you name."""
    import asyncio

    from miner.settings import load

    config = config or settings_file()
    pools = paired(urls, users, passwords, worker, combined)
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
    given = {"variant": variant, "coin": coin, "pools": pools or None, **_tables(**flags)}
    asyncio.run(_mine(lambda: load(config, given, os.environ).settings))


def _tables(
    devices: str | None,
    backend: str | None,
    temp_stop: float | None,
    temp_start: float | None,
    api: str | None,
    api_token_file: str | None,
    log_file: str | None,
    log_level: str | None,
    console: str | None,
    no_ledger: bool,
    **others: Any,
) -> dict[str, Any]:
    """Put flags into the tables of the settings."""
    return {
        "devices": {
            "use": names(devices),
            "backend": backend,
            "temperature_stop": temp_stop,
            "temperature_start": temp_start,
        },
        "api": {"listen": api, "token_file": api_token_file},
        "log": {"file": log_file, "level": log_level, "console": console},
        "ledger": {"enabled": False if no_ledger else None},
        **others,
    }


def settings_file() -> Path | None:
    """Return the file that the environment names."""
    name = os.environ.get(CONFIG_VARIABLE)
    return Path(name) if name else None


def names(devices: str | None) -> list[str] | None:
    """Return the names in a list separated by commas; None where there is none."""
    return [n.strip() for n in devices.split(",") if n.strip()] if devices else None


async def _mine(read: Callable[[], Settings]) -> None:
    from miner.run import mine as run_mine

    await run_mine(mining_of(read()), write)


def mining_of(settings: Settings) -> Mining:
    """Return what a run needs to be told, and print what a person should know of it. It may be
    called again with other settings. Raises `UsageError` or `NoUsableDevice`."""
    from miner.catalog import find_coin
    from miner.devices.registry import choose_devices
    from miner.pool.protocols.difficulty import DIFF1_FFFF, DIFF1_KAWPOW
    from miner.pool.tls import tls_context
    from miner.run import Mining
    from miner.settings.secrets import exposed

    coin = find_coin(settings.coin) if settings.coin else None
    variant = chosen_variant(coin.variant if coin else settings.variant or "")
    diff1 = {"ff": DIFF1_KAWPOW, "ffff": DIFF1_FFFF, None: None}[
        coin.difficulty_one if coin else None
    ]
    pools = [pool_url(pool, coin) for pool in settings.pools]
    wanted = settings.devices
    use, out, missing = choose_devices(wanted.backend, wanted.use, variant, wanted.exclude)
    tunings(settings, use)
    for sentence in [*missing, *exposed(settings), *_unmatched(settings, [*use, *out])]:
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
    return Mining(
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


def tunings(settings: Settings, devices: Sequence[Listed]) -> dict[str, Tuning]:
    """Return what is wanted of each device, by its name; raises `ConfigError` where that
    contradicts itself."""
    from miner.devices.selection import tuning_of

    base, blocks = settings.devices.base(), settings.devices.blocks()
    return {d.info.name: tuning_of(d.info, d.index, blocks, base) for d in devices}


def _unmatched(settings: Settings, devices: Sequence[Listed]) -> list[str]:
    from miner.devices.selection import matches

    return [
        f"[[devices.tune]] {name!r} matches none of the devices"
        for name, _ in settings.devices.blocks()
        if not any(matches(d.info, d.index, name) for d in devices)
    ]

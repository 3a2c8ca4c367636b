"""The command that mines, for the account that the user names."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from miner.cli.options import names
from miner.signals import STOPPED_AT_ONCE, handled

CONFIG_VARIABLE = "PROGPOW_MINER_CONFIG"
"""Environment variable that names the settings file, where no flag does."""

URL_VARIABLE = "PROGPOW_MINER_POOL_URL"
"""Environment variable that names the first pool."""


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
@click.option("--temp-start", type=float, metavar="CELSIUS", help="Heat at which it goes on.")
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
        if not pools and value is not None and (config or URL_VARIABLE in os.environ):
            flag = f"--{key.replace('_', '-')}"
            raise click.UsageError(
                f"{flag} belongs to pools of the command line; "
                + (
                    f"write {key} under [[pools]] in {config}"
                    if config
                    else f"set PROGPOW_MINER_POOL_{key.upper()}"
                )
            )
    given = {"variant": variant, "coin": coin, "pools": pools or None, **_tables(**flags)}
    # A service that is told to reload while it starts, or ends, must not die of it.
    with handled("SIGHUP", signal.SIG_IGN):
        try:
            _mine(config, given)
        except KeyboardInterrupt:
            click.echo("progpow-miner: stopped at once", err=True)
            with suppress(OSError):
                sys.stdout.flush()
            os._exit(STOPPED_AT_ONCE)  # who is in a driver or a compiler would be waited for


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


def _mine(config: Path | None, given: dict[str, Any]) -> None:
    import asyncio

    from miner.engine.threads import WorkPool
    from miner.run.mining import mine as run_mine
    from miner.run.resolve import mining_of
    from miner.settings import load

    # Drivers are slow to answer and compile a trial, and who is inside of one hears no signal.
    with WorkPool("start", 1, patience=lambda: 0.0) as start:
        mining = start.submit(mining_of, lambda: load(config, given, os.environ)).result()
    asyncio.run(run_mine(mining))


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

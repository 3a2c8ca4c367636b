"""The command `demo`: the test pool and a miner in one process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import names, write

if TYPE_CHECKING:
    pass

from miner.cli.pool import pool_options, with_pool_options


@click.command()
@click.option("--shares", type=click.IntRange(1), default=5, show_default=True)
@click.option("-d", "--devices", "devices", metavar="LIST", help="Names, separated by commas.")
@with_pool_options
def demo(shares: int, devices: str | None, **options: Any) -> None:
    """Mine against the test pool, in one process, until some shares are accepted."""
    import asyncio

    from miner.devices.registry import choose_devices
    from miner.run.pool_process import demo as run_demo

    wanted = pool_options(**options)
    use, _, missing = choose_devices("auto", names(devices), wanted.variant)
    for sentence in missing:
        write(f"note      {sentence}")
    for found in use:
        write(f"device    {found.info.name} {found.info.model}, {found.info.driver}")
    asyncio.run(run_demo(wanted, use, shares))

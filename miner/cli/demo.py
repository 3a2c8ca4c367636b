"""The command `demo`: the test pool and a miner in one process."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from miner.cli.completion import complete_value
from miner.cli.options import reserve_output, split_names, write
from miner.cli.pool import pool_options, with_pool_options


@click.command()
@click.option(
    "--shares", type=click.IntRange(1), default=5, show_default=True, metavar="N",
    help="Stop after this many accepted shares.",
)  # fmt: skip
@click.option(
    "-d",
    "--devices",
    metavar="NAME,...",
    help="Devices to use. Default: every usable GPU, or else the CPU.",
    shell_complete=complete_value,
)
@click.option(
    "--datasets-on-disk", is_flag=True,
    help="Keep the dataset (DAG), 1 GiB or more, in the cache; the next run then starts at once.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@with_pool_options
def demo(
    shares: int, devices: str | None, datasets_on_disk: bool, as_json: bool, **options: Any
) -> None:
    """Try it out: mine against the test pool, without a wallet.

    \b
    Examples:
      progpow-miner demo
      progpow-miner demo -a firopow -d cpu --shares 2
    """
    import asyncio

    from miner.clock import SystemClock
    from miner.console.plain import beginning_on
    from miner.console.start_lines import StartLines
    from miner.devices.selection import choose_devices
    from miner.run.pool_process import demo as run_demo

    chosen = pool_options(**options)
    if as_json:
        reserve_output()
    begin = beginning_on(sys.stdout, os.environ)
    lines = StartLines(write, SystemClock(), "json" if as_json else "plain", begin)
    lines.starting(chosen.variant.name, ["the test pool"])
    picked = choose_devices(
        "auto", split_names(devices), chosen.variant, cpu_allowed=True, reports=lines
    )
    notes = [("note", reason) for reason in (*picked.problems, *picked.absent)]
    for info in (found.info for found in picked.use):
        notes.append(("device", f"{info.name} {info.model}, {info.driver}"))
    asyncio.run(run_demo(chosen, picked.use, shares, datasets_on_disk, notes, as_json=as_json))

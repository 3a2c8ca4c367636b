"""The command `bench`: the hashrate of a device at one height."""

from __future__ import annotations

import json
from typing import Any

import click

from miner.cli.options import DEVICE_OPTION, JSON_OPTION, VARIANT_OPTION


@click.command()
@VARIANT_OPTION
@click.option(
    "--height",
    type=int,
    help="Block height, which determines dataset and program. Default: a block of a coin's main "
    "chain in 2026, if one is known.",
)
@DEVICE_OPTION
@click.option("--shape", metavar="NAME", help="Launch shape. Default: the device's own.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=30.0, show_default=True,
    help="Duration of the measurement.",
)  # fmt: skip
@JSON_OPTION
def bench(
    variant: str,
    height: int | None,
    device: str | None,
    shape: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure the hashrate of a device at one block height."""
    from miner.catalog import usual_height
    from miner.devices.selection import choose_devices
    from miner.formatting import format_hashrate
    from miner.run.benchmark import measure
    from miner.verify import chosen_variant

    chosen = chosen_variant(variant)
    if height is None:
        height = usual_height(variant, chosen)
    devices = choose_devices("auto", [device] if device else None, chosen, cpu_allowed=True).use

    def progress(text: str) -> None:
        if not as_json:
            click.echo(text)

    report: dict[str, Any] = measure(devices[0], chosen, height, seconds, shape, progress)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    rate = report["hashrate"]
    click.echo(
        f"{format_hashrate(rate['median'])} (10 % to 90 %: {format_hashrate(rate['p10'])} to "
        f"{format_hashrate(rate['p90'])}, {rate['launches']} launches)"
    )

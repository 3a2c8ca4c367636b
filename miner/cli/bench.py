"""The command `bench`: the hashrate of a device at one height."""

from __future__ import annotations

import json
from typing import Any

import click

from miner.cli.options import DEVICE_OPTION, VARIANT_OPTION


@click.command()
@VARIANT_OPTION
@click.option("--height", type=int, required=True, help="Block height; it decides the program.")
@DEVICE_OPTION
@click.option("--shape", metavar="NAME", help="Another launch shape than the device's own.")
@click.option("--seconds", type=click.FloatRange(1, 3600), default=30.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def bench(
    variant: str,
    height: int,
    device: str | None,
    shape: str | None,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure the hashrate at one height, with its spread."""
    from miner.devices.registry import choose_devices
    from miner.formatting import format_hashrate
    from miner.run.benchmark import measure
    from miner.verify import chosen_variant

    numbers = chosen_variant(variant)
    use, _, _ = choose_devices("auto", [device] if device else None, numbers)

    def progress(text: str) -> None:
        if not as_json:
            click.echo(text)

    report: dict[str, Any] = measure(use[0], numbers, height, seconds, shape, progress)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    rate = report["hashrate"]
    click.echo(
        f"{format_hashrate(rate['median'])} (10 % to 90 %: {format_hashrate(rate['p10'])} to "
        f"{format_hashrate(rate['p90'])}, {rate['launches']} launches)"
    )

"""The command `tune`: chooses the launch shapes of devices by measurement."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import click

from miner.cli.options import (
    DEVICE_OPTION,
    HEIGHT_OPTION,
    JSON_OPTION,
    VARIANT_OPTION,
    Seconds,
    print_json,
    print_nothing,
    split_names,
)
from miner.signals import handled


@click.command()
@VARIANT_OPTION
@HEIGHT_OPTION
@DEVICE_OPTION
@click.option("--shapes", metavar="NAMES", help="Shapes to try. Default: those that may suit it.")
@click.option(
    "--rounds", type=click.IntRange(6, 1000), default=10, show_default=True, metavar="N",
    help="How often each shape is measured.",
)  # fmt: skip
@click.option(
    "--seconds", type=Seconds(0.1, 60), default=1.0, show_default=True, metavar="SECONDS",
    help="Duration of one measurement; a round has three for each shape.",
)  # fmt: skip
@click.option(
    "--by", type=click.Choice(["hashrate", "efficiency"]), default="hashrate", show_default=True,
    help="What to choose by. Efficiency: hashes per joule, where a sensor reports the power.",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Measure, but do not keep the choice.")
@JSON_OPTION
def tune(
    variant: str,
    height: int | None,
    device: str | None,
    shapes: str | None,
    rounds: int,
    seconds: float,
    by: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Find the best launch shape of each model, for `mine` to use.

    Shapes take turns at the programs of three heights, after each kernel was compared with the
    CPU. The choice is kept for this model, driver, variant and kernel. Stop mining first.

    \b
    Examples:
      progpow-miner tune -a kawpow
      progpow-miner tune -a firopow -d 0000:01:00.0 --dry-run
      progpow-miner tune -a kawpow --by efficiency
    """
    from miner.catalog import usual_height
    from miner.devices.selection import choose_devices
    from miner.devices.tuned_shapes import ChosenBy, TunedShapes
    from miner.run.benchmark import tune_device
    from miner.verify import chosen_variant

    chosen = chosen_variant(variant)
    if height is None:
        height = usual_height(variant, chosen)
    devices = choose_devices("auto", [device] if device else None, chosen, cpu_allowed=True).use

    progress: Callable[[str], None] = print_nothing if as_json else click.echo
    reports = []
    kept_in = None if dry_run else TunedShapes()
    # The choice is for a model, so one card of each model is enough.
    models = {(one.backend.name, one.info.model, one.info.driver): one for one in devices[::-1]}
    for listed in list(models.values())[::-1]:
        progress(f"{listed.info.name} {listed.info.model}")
        names = split_names(shapes)
        # A closed terminal must not look like a crash of the shape on trial.
        with handled("SIGHUP", signal.default_int_handler):
            report = tune_device(
                listed, chosen, height, names, rounds, seconds, ChosenBy(by), progress, kept_in
            )
        reports.append(report)
        for line in _lines(report):
            progress(line)
    if as_json:
        print_json(reports)


def _lines(report: dict[str, Any]) -> list[str]:
    """Return a table of the shapes, and the choice."""
    from miner.formatting import format_efficiency, format_hashrate

    lines = []
    for row in report["shapes"]:
        ratio = row["ratio"]
        line = (
            f"  {row['shape']:<14} {format_hashrate(row['hashrate']['median']):>12}  "
            f"{ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
        )
        if "hashes_per_joule" in row:
            line += f"  {format_efficiency(row['hashes_per_joule'])}"
        if "efficiency_ratio" in row:
            ratio = row["efficiency_ratio"]
            line += f"  {ratio['median']:.3f} ({ratio['low']:.3f} to {ratio['high']:.3f})"
        lines.append(line)
    chosen = report["chosen"]
    best = "most efficient" if chosen["by"] == "efficiency" else "fastest"
    outcome = "`mine` uses it from now on" if report["kept"] else "not kept"
    return [*lines, f"{report['device']['name']}: {chosen['shape']} is the {best}; {outcome}"]

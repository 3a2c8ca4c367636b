"""The command `bench`: the hashrate of a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from miner.cli.options import (
    DEVICE_OPTION,
    HEIGHT_OPTION,
    JSON_OPTION,
    Seconds,
    UserPath,
    print_json,
    print_line,
    print_nothing,
    variant_option,
)


@click.command()
@variant_option()
@HEIGHT_OPTION
@DEVICE_OPTION
@click.option("--shape", metavar="NAME", help="Launch shape. Default: the device's own.")
@click.option(
    "--seconds", type=Seconds(1, 3600), metavar="SECONDS",
    help="Duration of the measurement; with --suite of each one. Default: 30, 3 with --suite.",
)  # fmt: skip
@click.option(
    "--suite", is_flag=True,
    help="Measure three programs repeatedly after a warm-up, with intervals and sensors.",
)  # fmt: skip
@click.option(
    "--repetitions", type=click.IntRange(6, 1000), default=10, show_default=True, metavar="N",
    help="Measurements of each program in the suite.",
)  # fmt: skip
@click.option(
    "--warm-up", type=Seconds(0, 600), default=10.0, show_default=True, metavar="SECONDS",
    help="Seconds of search at each program before the suite measures.",
)  # fmt: skip
@click.option(
    "--limits", type=UserPath(path_type=Path), metavar="FILE",
    help="Report of benchmarks/limits.py on this card: the suite states the share of its memory "
    "bandwidth that is used.",
)  # fmt: skip
@click.option(
    "--compare", nargs=2, type=UserPath(path_type=Path), metavar="A.json B.json",
    help="Compare two reports of --suite --json; exit code 1 if B is slower.",
)  # fmt: skip
@JSON_OPTION
def bench(
    variant: str | None,
    height: int | None,
    device: str | None,
    shape: str | None,
    seconds: float | None,
    suite: bool,
    repetitions: int,
    warm_up: float,
    limits: Path | None,
    compare: tuple[Path, Path] | None,
    as_json: bool,
) -> None:
    """Measure the hashrate of a device, without a pool.

    One block height is measured, or three with --suite.

    \b
    Examples:
      progpow-miner bench -a kawpow
      progpow-miner bench -a kawpow -d 0000:01:00.0 --suite --json > today.json
      progpow-miner bench --compare yesterday.json today.json
    """
    if compare:
        _compare(*compare, as_json=as_json)
        return
    if variant is None:
        raise click.UsageError("Missing option '-a' / '--variant' / '--algo'.")
    from miner.catalog import usual_height
    from miner.devices.selection import choose_devices
    from miner.run.bench_suite import SuitePlan, memory_limit_in
    from miner.run.benchmark import measure, measure_suite
    from miner.run.shape_trials import HEIGHTS
    from miner.verify import chosen_variant

    chosen = chosen_variant(variant)
    memory_limit = memory_limit_in(limits) if limits else None
    if height is None:
        height = usual_height(variant, chosen)
    listed = choose_devices("auto", [device] if device else None, chosen, cpu_allowed=True).use[0]

    progress: Callable[[str], None] = print_nothing if as_json else click.echo
    report: dict[str, Any]
    if suite:
        plan = SuitePlan(HEIGHTS, repetitions, seconds or 3.0, warm_up)
        report = measure_suite(listed, chosen, height, shape, plan, memory_limit, progress)
    else:
        report = measure(listed, chosen, height, seconds or 30.0, shape, progress)
    if as_json:
        print_json(report)
    for line in _lines(report) if not as_json else ():
        click.echo(line)


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the figures of one measurement, or of each program in the suite."""
    from miner.formatting import format_efficiency, format_hashrate

    if "heights" not in report:
        rate = report["hashrate"]
        yield (
            f"{format_hashrate(rate['median'])} (10 % to 90 %: {format_hashrate(rate['p10'])} to "
            f"{format_hashrate(rate['p90'])}, {rate['launches']} launches)"
        )
        return
    for name, part in {**report["heights"], "all": report["all"]}.items():
        rate, sensors = part["hashrate"], part["sensors"]
        line = (
            f"{name:>8}  {format_hashrate(rate['median'])} (95 %: {format_hashrate(rate['low'])} "
            f"to {format_hashrate(rate['high'])})"
        )
        for key, unit in (("core_clock", "MHz"), ("temperature", "°C"), ("power", "W")):
            if key in sensors:
                line += f", {sensors[key]:.0f} {unit}"
        if "hashes_per_joule" in part:
            line += f", {format_efficiency(part['hashes_per_joule'])}"
        if "share_of_memory_limit" in part:
            line += f", {part['share_of_memory_limit']:.1%} of the memory's limit"
        yield line


def _compare(before: Path, after: Path, *, as_json: bool) -> None:
    from miner.errors import CheckFailed
    from miner.run.bench_suite import compare_suites, suite_in

    compared = compare_suites(suite_in(before), suite_in(after))
    if as_json:
        ratios = {name: ratio.as_json() for name, ratio in compared.ratios.items()}
        print_json({"ratios": ratios, "differences": compared.differences})
    else:
        for name, ratio in compared.ratios.items():
            print_line(f"{name:>8}  {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
        for sentence in compared.differences:
            print_line(f"differs: {sentence}")
    if compared.is_slower:
        raise CheckFailed(f"{after} is slower than {before}")

"""The command `pool`: the test pool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import UserPath, variant_option, write

if TYPE_CHECKING:
    from miner.run.pool_process import PoolOptions

POOL_OPTIONS = [
    variant_option(default="kawpow"),
    click.option(
        "--height", type=click.IntRange(0), default=1000, show_default=True, metavar="N",
        help="Height of the first block.",
    ),
    click.option(
        "--difficulty", type=float, default=0.00025, show_default=True, metavar="NUMBER",
        help="Difficulty of a share; 1 is about 4.3 G hashes.",
    ),
    click.option(
        "--block-difficulty", type=float, metavar="NUMBER",
        help="Difficulty of a block. Default: 256 times that of a share.",
    ),
    click.option(
        "--block-time", type=float, metavar="SECONDS",
        help="Advance the height at this interval. Default: only when a block is found.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, metavar="N",
        help="Seed of the headers, --chaos and --odd.",
    ),
    click.option(
        "--protocol", metavar="NAME",
        help="Speak this dialect only. Default: the one that a client starts with.",
    ),
    click.option(
        "--strict", is_flag=True,
        help="Demand what the strictest servers of each dialect demand.",
    ),
    click.option(
        "--odd", is_flag=True,
        help="Answer in the odd forms of known servers, drawn with --seed.",
    ),
    click.option(
        "--chaos", type=float, is_flag=False, flag_value=6.0, metavar="[RATE]",
        help="Inject random faults: RATE per minute and client (6 if omitted).",
    ),
    click.option(
        "--script", type=UserPath(path_type=Path), metavar="FILE",
        help="Inject the faults that a TOML file lists.",
    ),
]  # fmt: skip


def with_pool_options(function: Any) -> Any:
    """Add the options of the test pool to a command."""
    for option in reversed(POOL_OPTIONS):
        function = option(function)
    return function


def pool_options(
    variant: str,
    height: int,
    difficulty: float,
    block_difficulty: float | None,
    block_time: float | None,
    seed: int,
    protocol: str | None,
    strict: bool,
    odd: bool,
    chaos: float | None,
    script: Path | None,
) -> PoolOptions:
    """Check the options of the test pool; raises `UsageError`."""
    from miner.errors import BadValue
    from miner.run.pool_process import PoolOptions
    from miner.testpool.faults import Chaos, load_script
    from miner.verify import chosen_variant

    for name, value in (("difficulty", difficulty), ("block difficulty", block_difficulty)):
        if value is not None and not 0 < value < 1e12:
            raise BadValue(name, f"{value} is not between 0 and 1e12")
    chosen = chosen_variant(variant)
    chosen.epoch_at(height)  # raises an error for a height beyond the last epoch
    if chaos is not None and script is not None:
        raise click.UsageError("give --chaos or --script, not both")
    faults = Chaos(chaos, seed) if chaos is not None else load_script(script) if script else None
    return PoolOptions(
        chosen, height, difficulty, block_difficulty, block_time, seed,
        protocol=protocol, faults=faults, strict=strict, odd=odd,
    )  # fmt: skip


@click.command()
@click.option(
    "--listen", default="127.0.0.1:3333", show_default=True, metavar="HOST:PORT",
    help="Loopback address to listen on; port 0 means any free port.",
)  # fmt: skip
@with_pool_options
def pool(listen: str, **options: Any) -> None:
    """Run a test pool on loopback that verifies every share."""
    import asyncio
    from dataclasses import replace

    from miner.net.address import parse_host_port
    from miner.run.pool_process import serve_pool

    host, port = parse_host_port(listen, "--listen", example="HOST:PORT", lowest_port=0)
    asyncio.run(serve_pool(replace(pool_options(**options), host=host, port=port), write))

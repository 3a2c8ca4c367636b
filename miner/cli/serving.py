"""Commands that serve the bundled pool, alone or for a demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from miner.cli.audit import chosen_variant
from miner.cli.mining import names, write

if TYPE_CHECKING:
    from miner.serving import PoolOptions

POOL_OPTIONS = [
    click.option("--variant", "-a", default="kawpow", show_default=True, metavar="NAME|FILE"),
    click.option("--height", type=click.IntRange(0), default=1000, show_default=True),
    click.option(
        "--difficulty", type=float, default=0.00025, show_default=True,
        help="Of a share; 1 is about 4.3 G hashes.",
    ),
    click.option(
        "--block-difficulty", type=float, help="Of a block (default: 256 times a share's)."
    ),
    click.option("--block-time", type=float, help="Seconds after which the height advances."),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Of the headers and of chaos."
    ),
    click.option(
        "--protocol", metavar="NAME",
        help="Speak it alone: kawpow, ethproxy, ethstratum, ethstratum2, sero or zano.",
    ),
    click.option(
        "--chaos", type=float, is_flag=False, flag_value=6.0, metavar="[RATE]",
        help="Misbehave at random, so many times a minute and client (6).",
    ),
    click.option(
        "--script", type=click.Path(path_type=Path), metavar="FILE",
        help="Misbehave as a TOML file says.",
    ),
]  # fmt: skip


def _with_pool_options(function: Any) -> Any:
    for option in reversed(POOL_OPTIONS):
        function = option(function)
    return function


def _pool_options(
    variant: str,
    height: int,
    difficulty: float,
    block_difficulty: float | None,
    block_time: float | None,
    seed: int,
    protocol: str | None,
    chaos: float | None,
    script: Path | None,
) -> PoolOptions:
    from miner.errors import BadValue
    from miner.pool.bundled.mischief import Chaos
    from miner.pool.bundled.script import load_script
    from miner.pool.protocols.difficulty import DIFF1_KAWPOW
    from miner.serving import PoolOptions

    for name, value in (("difficulty", difficulty), ("block difficulty", block_difficulty)):
        if value is not None and not 0 < value < 1e12:
            raise BadValue(name, f"{value} is not between 0 and 1e12")
    numbers = chosen_variant(variant)
    numbers.epoch_at(height)
    if chaos is not None and script is not None:
        raise click.UsageError("--chaos and --script exclude each other; give one of them")
    mischief = Chaos(chaos, seed) if chaos is not None else load_script(script) if script else None
    return PoolOptions(
        numbers, height, difficulty, block_difficulty, block_time, seed, DIFF1_KAWPOW,
        protocol=protocol, mischief=mischief,
    )  # fmt: skip


@click.command()
@click.option("--listen", default="127.0.0.1:3333", show_default=True, metavar="HOST:PORT")
@_with_pool_options
def pool(listen: str, **options: Any) -> None:
    """Serve a pool on loopback that proves every share."""
    import asyncio
    from dataclasses import replace

    from miner.serving import serve_pool

    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise click.UsageError(f"--listen: {listen!r} is not HOST:PORT")
    wanted = replace(_pool_options(**options), host=host.strip("[]"), port=int(port))
    asyncio.run(serve_pool(wanted, write))


@click.command()
@click.option("--shares", type=click.IntRange(1), default=5, show_default=True)
@click.option("-d", "--devices", "devices", metavar="LIST", help="Names, separated by commas.")
@_with_pool_options
def demo(shares: int, devices: str | None, **options: Any) -> None:
    """Mine against the bundled pool, in one process, until some shares are accepted."""
    import asyncio
    from dataclasses import replace

    from miner.devices.registry import choose_devices
    from miner.plan import Live, Mining
    from miner.pool.url import parse_pool_url
    from miner.serving import demo as run_demo

    wanted = _pool_options(**options)
    use, _, missing = choose_devices("auto", names(devices), wanted.variant)
    for sentence in missing:
        write(f"note      {sentence}")
    for found in use:
        write(f"device    {found.info.name} {found.info.model}, {found.info.driver}")

    def mining(port: int) -> Mining:
        url = parse_pool_url(f"stratum+tcp://127.0.0.1:{port}", "demo", "x")
        url = replace(url, protocol=wanted.protocol)
        return Mining(wanted.variant, use, Live((url,)), wanted.diff1, shares)

    asyncio.run(run_demo(mining, wanted))

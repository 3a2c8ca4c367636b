"""The command `variants`: the known variants of ProgPoW."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import JSON_OPTION, print_json

if TYPE_CHECKING:
    from miner.progpow.variant import Variant


@click.command("variants")
@JSON_OPTION
def variants_command(as_json: bool) -> None:
    """List the known variants of ProgPoW, their other names and coins."""
    from miner.catalog import coins, variants

    mined: dict[str, list[str]] = {}
    for coin in coins().values():
        mined.setdefault(coin.variant, []).append(coin.symbol)
    rows = variants().values()
    if as_json:
        print_json([_describe(v) | {"coins": mined.get(v.name, [])} for v in rows])
        return
    for v in rows:
        click.echo(f"{v.name:<15} {v.title}")
        click.echo(f"{'':<15} also: {', '.join(v.aliases)}")
        if v.name in mined:
            click.echo(f"{'':<15} coins: {', '.join(mined[v.name])}")


def _describe(v: Variant) -> dict[str, Any]:
    return {
        "name": v.name,
        "title": v.title,
        "aliases": list(v.aliases),
        "period": v.period,
        "registers": v.registers,
        "cache_reads": v.cache_reads,
        "math_operations": v.math_operations,
        "dag_loops": v.dag_loops,
        **dataclasses.asdict(v.choices),
        "absorbs": v.absorbs,
        "byte_order": v.byte_order,
        "parents": v.parents,
        "epoch_lengths": [s.length for s in v.spans],
        "sources": list(v.sources),
    }

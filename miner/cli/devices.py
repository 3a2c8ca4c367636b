"""The command `devices`: the devices of this machine, the unusable ones with the reason."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def devices(as_json: bool) -> None:
    """List the devices, the unusable ones with the reason."""
    from miner.catalog import variants
    from miner.devices.registry import find_devices, probed
    from miner.formatting import format_bytes

    found, missing = find_devices()
    probe = next(iter(variants().values()))
    listed = [probed(f, probe) for f in found]
    if as_json:
        rows = [
            {"index": one.index, **asdict(one.info), "usable": one.info.unusable is None}
            for one in listed
        ]
        click.echo(json.dumps(rows, indent=2))
    for one in listed if not as_json else ():
        info, size = one.info, format_bytes(one.info.memory)
        names = [info.driver, info.pci and f"PCI {info.pci}", info.uuid]
        click.echo(f"{one.index} {info.name:<12} {info.kind:<4} {info.model}")
        click.echo(f"  {'':<12} {info.units} units, {size}, " + ", ".join(filter(None, names)))
        click.echo(f"  {'':<12} " + (f"unusable: {info.unusable}" if info.unusable else "usable"))
    for sentence in missing:
        click.echo(sentence, err=True)

"""The command `devices`: the devices of this machine."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from miner.cli.options import JSON_OPTION


@click.command()
@JSON_OPTION
def devices(as_json: bool) -> None:
    """List the devices; for an unusable one, the reason."""
    from miner.catalog import variants
    from miner.devices.selection import find_devices, probed
    from miner.formatting import format_bytes

    found, missing = find_devices()
    any_variant = next(iter(variants().values()))
    listed = [probed(device, any_variant) for device in found]
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
    for reason in missing:
        click.echo(reason, err=True)

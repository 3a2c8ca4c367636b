"""The command `devices`: the devices of this machine."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from miner.cli.options import JSON_OPTION, print_json

if TYPE_CHECKING:
    from miner.work import DeviceInfo


class _Progress:
    """Shows on standard error which device is tried, since the first start takes time."""

    def trying(self, info: DeviceInfo) -> None:
        click.echo(f"trying {info.name} {info.model} …", err=True)

    def note(self, sentence: str) -> None:
        click.echo(sentence, err=True)


@click.command()
@click.option("--retry", is_flag=True, help="Try each device again, also where its driver failed.")
@JSON_OPTION
def devices(as_json: bool, retry: bool) -> None:
    """List the devices, and the reason where one cannot be used."""
    click.echo("looking for devices …", err=True)  # drivers may take seconds
    from miner.devices.selection import find_devices, tried
    from miner.devices.trials import Trials
    from miner.formatting import format_bytes, format_count

    trials = Trials(_Progress())
    if retry:
        trials.forget()
    found, missing = find_devices(trials=trials)
    listed = tried(found, None, trials)
    if as_json:
        rows = [
            {
                "index": one.index,
                **asdict(one.info),
                "usable": one.info.unusable is None,
                "same_as": one.same_as,
            }
            for one in listed
        ]
        print_json(rows)
    for one in listed if not as_json else ():
        info = one.info
        facts = [format_count(info.units, "unit"), format_bytes(info.memory), info.driver]
        facts += [f"PCI {info.pci}"] if info.pci else []
        facts += [info.uuid] if info.uuid else []
        click.echo(f"{one.index} {info.name:<12} {info.kind:<4} {info.model}")
        click.echo(f"  {'':<12} {', '.join(filter(None, facts))}")
        state = f"unusable: {info.unusable}" if info.unusable else "usable"
        same = f"; the same as {one.same_as}, which is preferred" if one.same_as else ""
        click.echo(f"  {'':<12} {state}{same}")
    for reason in missing:
        click.echo(reason, err=True)

"""Commands about this machine: its devices, their correctness and speed, what is kept on disk."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from miner.cli.audit import VARIANT_OPTION, chosen_variant

DEVICE_OPTION = click.option("-d", "--device", metavar="NAME", help="Only this device.")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def devices(as_json: bool) -> None:
    """List the devices, the unusable ones with the reason."""
    from miner.catalog import variants
    from miner.devices.registry import find_devices, probed

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
        info, size = one.info, f"{one.info.memory / 2**30:.1f} GiB"
        names = [info.driver, info.pci and f"PCI {info.pci}", info.uuid]
        click.echo(f"{one.index} {info.name:<12} {info.kind:<4} {info.model}")
        click.echo(f"  {'':<12} {info.units} units, {size}, " + ", ".join(filter(None, names)))
        click.echo(f"  {'':<12} " + (f"unusable: {info.unusable}" if info.unusable else "usable"))
    for sentence in missing:
        click.echo(sentence, err=True)


@click.command("selftest")
@click.option("-a", "--variant", "--algo", "variant", metavar="NAME|FILE", help="Only this one.")
@DEVICE_OPTION
@click.option("--real", is_flag=True, help="The first two real epochs too, where memory allows.")
@click.option(
    "--height", "heights", type=click.IntRange(min=0), multiple=True,
    help="The real epoch of this height instead of the first two; may be repeated.",
)  # fmt: skip
def selftest_command(
    variant: str | None, device: str | None, real: bool, heights: tuple[int, ...]
) -> None:
    """Hold every device against every variant's known answers."""
    from miner.bench import selftest_real
    from miner.catalog import variants
    from miner.devices.registry import find_devices, named
    from miner.devices.selftest import selftest
    from miner.errors import CheckFailed, DeviceError, NoUsableDevice

    found, missing = find_devices()
    chosen = [named(found, device)] if device else found
    wanted = [chosen_variant(variant)] if variant else list(variants().values())
    failed = passed = 0
    for one in chosen:
        try:
            opened = one.open()
        except DeviceError as error:
            click.echo(f"{one.info.name:<12} cannot be opened: {error}")
            failed += 1
            continue
        try:
            for numbers in wanted:
                result = selftest(opened, numbers)
                good = result.problem is None
                passed, failed = passed + good, failed + (not good)
                word = f"{result.checked} known answers" if good else f"FAILED: {result.problem}"
                click.echo(f"{one.info.name:<12} {numbers.name:<15} {word}")
                if real or heights:
                    for line, ok in selftest_real(opened, numbers, heights):
                        failed += ok is False
                        click.echo(f"{one.info.name:<12} {numbers.name:<15} {line}")
        finally:
            opened.close()
    for sentence in missing if not device else ():
        click.echo(sentence, err=True)
    if not chosen:
        raise NoUsableDevice("there is no device to test")
    if failed:
        raise CheckFailed(f"{failed} of {failed + passed} self-tests failed")


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
    from miner.bench import measure
    from miner.devices.registry import choose_devices

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
        f"{rate['median'] / 1e6:.4f} MH/s (10 % to 90 %: {rate['p10'] / 1e6:.4f} to "
        f"{rate['p90'] / 1e6:.4f}, {rate['launches']} launches)"
    )


@click.command()
@click.option("--clear", is_flag=True, help="Delete all of it.")
def cache(clear: bool) -> None:
    """Show, or empty, what is kept on disk; it can all be made again."""
    import shutil

    from miner.errors import ConfigError
    from miner.resources import cache_directory

    folder = cache_directory()
    click.echo(str(folder))
    parts = sorted(p for p in folder.iterdir()) if folder.is_dir() else []
    for part in parts:
        files = [f for f in part.rglob("*") if f.is_file()]
        size = sum(f.stat().st_size for f in files)
        click.echo(f"  {part.name:<16} {len(files):>5} files {size / 2**20:>9.1f} MiB")
        if clear:
            try:
                shutil.rmtree(part) if part.is_dir() else part.unlink()
            except OSError as error:
                raise ConfigError(f"{part}: cannot be deleted: {error.strerror}") from error
    click.echo("emptied" if clear else f"{len(parts)} kinds; --clear empties it")

"""The command `selftest`: every device against the known answers of every variant."""

from __future__ import annotations

import click

from miner.cli.options import DEVICE_OPTION


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
    from miner.catalog import variants
    from miner.devices.known_answers import selftest
    from miner.devices.registry import find_devices, named
    from miner.errors import CheckFailed, DeviceError, NoUsableDevice
    from miner.run.benchmark import selftest_real
    from miner.verify import chosen_variant

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

"""The command `selftest`: the devices, checked against known answers."""

from __future__ import annotations

import click

from miner.cli.options import DEVICE_OPTION, JSON_OPTION, print_json, print_line, variant_option


@click.command("selftest")
@variant_option("Check only this variant.")
@DEVICE_OPTION
@click.option(
    "--real", is_flag=True, help="Also check the first two real epochs, if they fit in memory."
)
@click.option(
    "--height",
    "heights",
    type=click.IntRange(min=0),
    metavar="N",
    multiple=True,
    help="Also check the real epoch of this height. Repeat for more.",
)
@JSON_OPTION
def selftest_command(
    variant: str | None, device: str | None, real: bool, heights: tuple[int, ...], as_json: bool
) -> None:
    """Check every device against every variant's known answers."""
    from miner.catalog import variants
    from miner.devices.known_answers import selftest
    from miner.devices.selection import device_called, find_devices
    from miner.errors import CheckFailed, DeviceError, NoUsableDevice
    from miner.run.benchmark import selftest_real
    from miner.verify import chosen_variant

    found, missing = find_devices()
    devices = [device_called(found, device)] if device else found
    chosen = [chosen_variant(variant)] if variant else list(variants().values())
    failed = passed = 0
    rows: list[dict[str, object]] = []

    def report(device: str, variant: str, text: str, ok: bool | None) -> None:
        rows.append({"device": device, "variant": variant or None, "ok": ok, "result": text})
        if not as_json:
            print_line(" ".join([f"{device:<12}", *([f"{variant:<15}"] if variant else []), text]))

    for listed in devices:
        try:
            opened = listed.open()
        except DeviceError as error:
            report(listed.info.name, "", f"cannot be opened: {error}", ok=False)
            failed += 1
            continue
        try:
            for each in chosen:
                result = selftest(opened, each)
                good = result.problem is None
                passed, failed = passed + good, failed + (not good)
                word = f"{result.checked} known answers" if good else f"FAILED: {result.problem}"
                report(listed.info.name, each.name, word, ok=good)
                if real or heights:
                    for line, ok in selftest_real(opened, each, heights):
                        failed += ok is False
                        report(listed.info.name, each.name, line, ok=ok)
        finally:
            opened.close()
    for reason in missing if not device else ():
        click.echo(reason, err=True)
    if as_json:
        print_json(rows)
    if not devices:
        raise NoUsableDevice("no device to test was found")
    if failed:
        raise CheckFailed(f"{failed} of {failed + passed} self-tests failed")

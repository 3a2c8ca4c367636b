"""The command `hash`: mix hash and final hash of nonces, computed on the CPU."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import click

from miner.cli.options import JSON_OPTION, variant_option

if TYPE_CHECKING:
    from miner.progpow.variant import Variant
    from miner.verify import Verifier

LONGEST_LINE = 1 << 20
"""Characters at which a line of a batch is refused."""


@click.command("hash")
@variant_option()
@click.option(
    "--height", type=int, metavar="N", help="Block height, which determines epoch and program."
)
@click.option("--header", metavar="HEX", help="Header hash, 64 hex digits in display order.")
@click.option("--nonce", metavar="HEX", help="Nonce, 1 to 16 hex digits.")
@click.option("--epoch", type=int, metavar="N", help="Epoch to use in place of the height's.")
@JSON_OPTION
@click.option(
    "--batch", type=click.File("r", encoding="utf-8-sig", errors="replace"), metavar="FILE|-",
    help="Read one JSON object per line: variant, height, header_hash, nonce, optionally epoch.",
)  # fmt: skip
def hash_command(
    variant: str | None,
    height: int | None,
    header: str | None,
    nonce: str | None,
    epoch: int | None,
    as_json: bool,
    batch: TextIO | None,
) -> None:
    """Compute the mix hash and the final hash of a nonce on the CPU."""
    from miner.verify import Verifier

    verifier = Verifier()
    if batch is not None:
        _hash_batch(verifier, batch)
        return
    row: dict[str, Any] = {"variant": variant, "height": height, "header_hash": header}
    row["nonce"] = nonce
    for name, value in row.items():
        if value is None:
            flag = "header" if name == "header_hash" else name
            raise click.UsageError(f"--{flag} is missing (or give --batch FILE)")
    if epoch is not None:
        row["epoch"] = epoch
    answer = _hash_row(verifier, row, {})
    if as_json:
        click.echo(json.dumps(row | answer))
        return
    for name in ("epoch", "period", "mix_hash", "final_hash"):
        click.echo(f"{name:<11} {answer[name]}")


def _hash_batch(verifier: Verifier, lines: TextIO) -> None:
    from miner.errors import ConfigError, MinerError

    variants: dict[str, Variant] = {}
    while line := lines.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise ConfigError("--batch: a line has more than 1 MiB; name the right file")
        if not line.strip():
            continue
        row: dict[str, Any] = {}
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise ValueError("not an object")
            json.dumps(parsed, allow_nan=False)  # Python reads NaN and 1e999, which are not JSON
            row = parsed
            answer = _hash_row(verifier, row, variants)
        except MinerError as error:
            answer = {"error": str(error)}
        except (ValueError, RecursionError) as error:
            answer = {"error": f"line is not a JSON object: {error}"}
        click.echo(json.dumps(row | answer))


def _hash_row(
    verifier: Verifier, row: dict[str, Any], variants: dict[str, Variant]
) -> dict[str, Any]:
    """Return epoch, period and both hashes; raises `UsageError`, which names the field, and
    `OutOfMemory`."""
    from miner.errors import BadValue
    from miner.verify import chosen_variant

    for name in ("variant", "height", "header_hash", "nonce"):
        if row.get(name) is None:
            raise BadValue(name, "is missing")
    if not isinstance(row["variant"], str):
        raise BadValue("variant", f"{row['variant']!r} is not a name")
    for name in ("height", "epoch"):
        if name in row and type(row[name]) is not int:
            raise BadValue(name, f"{row[name]!r} is not an integer")
    header, nonce = _header(row["header_hash"]), _nonce(row["nonce"])
    variant = variants.get(row["variant"])
    if variant is None:
        variant = variants[row["variant"]] = chosen_variant(row["variant"])
    period = variant.period_at(row["height"])
    epoch = variant.epoch(row["epoch"]) if "epoch" in row else variant.epoch_at(row["height"])
    verifier.light_cache(epoch)
    digest = verifier.hash(variant, row["height"], epoch, header, nonce)
    return {
        "epoch": epoch.number,
        "period": period,
        "mix_hash": digest.mix_hash.hex(),
        "final_hash": digest.final_hash.hex(),
    }


def _header(value: object) -> bytes:
    from miner.errors import BadValue

    try:
        data = bytes.fromhex(str(value).removeprefix("0x"))
    except ValueError:
        raise BadValue("header_hash", f"{value!r} is not hexadecimal") from None
    if len(data) != 32:
        raise BadValue("header_hash", f"needs 32 bytes (64 hex digits), has {len(data)}")
    return data


def _nonce(value: object) -> int:
    from miner.errors import BadValue

    if type(value) is int:
        nonce = value
    else:
        digits = str(value).lower().removeprefix("0x")
        if not 1 <= len(digits) <= 16 or not set(digits) <= set("0123456789abcdef"):
            raise BadValue("nonce", f"{value!r} is not 1 to 16 hex digits or an integer")
        nonce = int(digits, 16)
    if not 0 <= nonce < 2**64:
        raise BadValue("nonce", f"{nonce} is outside 0 to 2**64 - 1")
    return nonce

"""Commands that show what would be computed: variants, hashes, kernel sources."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from miner.codegen.source import Source
    from miner.progpow.variant import Variant
    from miner.verify import Verifier

VARIANT_OPTION = click.option(
    "-a", "--variant", "--algo", "variant", metavar="NAME|FILE", required=True,
    help="A variant's name or alias, or a file that writes one down.",
)  # fmt: skip


def chosen_variant(name: str) -> Variant:
    """Return the variant called `name`; a user's own file has its known answers run first."""
    from pathlib import Path

    from miner.catalog import find_variant, variants
    from miner.errors import BadValue

    try:
        variant = find_variant(name)
    except (RuntimeError, ValueError) as error:  # "~nobody/x.toml", or a NUL in it
        raise BadValue("variant", f"{name!r} is no path: {error}") from error
    if variants().get(variant.name) != variant:
        from miner.verify import prove_file

        prove_file(variant, Path(name).expanduser())
    return variant


@click.command("variants")
@click.option("--json", "as_json", is_flag=True, help="A list of objects.")
def variants_command(as_json: bool) -> None:
    """List the variants of ProgPoW that are known."""
    from miner.catalog import variants

    rows = variants().values()
    if as_json:
        click.echo(json.dumps([_describe(v) for v in rows], indent=2))
        return
    for v in rows:
        click.echo(f"{v.name:<15} {v.title}")
        click.echo(f"{'':<15} also: {', '.join(v.aliases)}")


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
        "parents": v.parents,
        "epoch_lengths": [s.length for s in v.spans],
        "sources": list(v.sources),
    }


@click.command("hash")
@click.option("-a", "--variant", "--algo", "variant", metavar="NAME|FILE", help="Variant.")
@click.option("--height", type=int, help="Block height.")
@click.option("--header", metavar="HEX", help="Header hash, 64 hex digits in display order.")
@click.option("--nonce", metavar="HEX", help="Nonce, 1 to 16 hex digits.")
@click.option("--epoch", type=int, help="Epoch, instead of the one of the height.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option(
    "--batch", type=click.File("r", encoding="utf-8", errors="replace"), metavar="FILE|-",
    help="One JSON object a line: variant, height, header_hash, nonce, and maybe epoch.",
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
    """Compute mix and final hash of a nonce on the CPU."""
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
    from miner.errors import MinerError

    known: dict[str, Variant] = {}
    for line in lines:
        if not line.strip():
            continue
        row: dict[str, Any] = {}
        try:
            parsed = json.loads(line)
            if not isinstance(parsed, dict):
                raise ValueError("is not an object")
            row = parsed
            answer = _hash_row(verifier, row, known)
        except MinerError as error:
            answer = {"error": str(error)}
        except (ValueError, RecursionError) as error:
            answer = {"error": f"line is not a JSON object: {error}"}
        click.echo(json.dumps(row | answer))


def _hash_row(verifier: Verifier, row: dict[str, Any], known: dict[str, Variant]) -> dict[str, Any]:
    """Return epoch, period and both hashes; raises `UsageError` naming the field."""
    from miner.errors import BadValue

    for name in ("variant", "height", "header_hash", "nonce"):
        if row.get(name) is None:
            raise BadValue(name, "is missing")
    if not isinstance(row["variant"], str):
        raise BadValue("variant", f"{row['variant']!r} is not a name")
    for name in ("height", "epoch"):
        if name in row and type(row[name]) is not int:
            raise BadValue(name, f"{row[name]!r} is not an integer")
    header, nonce = _header(row["header_hash"]), _nonce(row["nonce"])
    variant = known.get(row["variant"])
    if variant is None:
        variant = known[row["variant"]] = chosen_variant(row["variant"])
    period = variant.period_at(row["height"])
    epoch = variant.epoch(row["epoch"]) if "epoch" in row else variant.epoch_at(row["height"])
    _affordable(epoch.light_bytes)
    digest = verifier.hash(variant, row["height"], epoch, header, nonce)
    return {
        "epoch": epoch.number,
        "period": period,
        "mix_hash": digest.mix_hash.hex(),
        "final_hash": digest.final_hash.hex(),
    }


MOST_LIGHT_BYTES = 4 << 30
"""Bytes of a light cache that are built on request; live ones have 16 to 160 MiB."""


def _affordable(light_bytes: int) -> None:
    from miner.errors import BadValue

    if light_bytes > MOST_LIGHT_BYTES:
        raise BadValue("height", f"its light cache would have {light_bytes:,} bytes")


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


@click.command()
@VARIANT_OPTION
@click.option("--height", type=int, required=True, help="Block height.")
@click.option("--dialect", default="opencl", show_default=True, help="opencl or cuda.")
@click.option("--kernel", "which", type=click.Choice(["search", "dataset"]), default="search")
@click.option("--shape", metavar="NAME", help="Launch shape (default: gpu).")
@click.option("-d", "--device", metavar="NAME", help="The shape that this device takes.")
@click.option(
    "--compile",
    "architecture",
    metavar="SM",
    help="Compile it for NVIDIA's sm_75, sm_86 …, and say what it takes; no GPU is needed.",
)
@click.option("--json", "as_json", is_flag=True, help="Source with its hash and its counts.")
def kernel(
    variant: str,
    height: int,
    dialect: str,
    which: str,
    shape: str | None,
    device: str | None,
    architecture: str | None,
    as_json: bool,
) -> None:
    """Print the exact source that would be compiled, or what compiling it gives."""
    from miner.codegen.counts import operation_counts
    from miner.codegen.dataset import dataset_source
    from miner.codegen.search import search_source
    from miner.codegen.shape import shape_named

    if shape and device:
        raise click.UsageError("give --shape or --device, not both")
    numbers = chosen_variant(variant)
    epoch, period = numbers.epoch_at(height), numbers.period_at(height)
    if device:
        from miner.devices.registry import shape_on

        dialect, layout = shape_on(device, epoch)
    else:
        layout = shape_named(shape or "gpu")
    if which == "search":
        source = search_source(numbers, period, epoch, dialect, layout)
    else:
        source = dataset_source(epoch, dialect, layout)
    compiled: dict[str, Any] = {}
    if architecture:
        compiled = _compiled(source, architecture)
    if not as_json:
        if compiled:
            for name, value in compiled.items():
                click.echo(f"{name:<13} {value}")
        else:
            click.echo(source.text, nl=False)
        return
    described: dict[str, Any] = {
        "variant": numbers.name,
        "height": height,
        "period": period,
        "epoch": epoch.number,
        "dialect": dialect,
        "shape": layout.name,
        "kernel": which,
        "options": list(source.options),
        "sha256": source.sha256,
        "source": source.text,
    }
    if which == "search":
        described["operations"] = operation_counts(numbers, period)
    if compiled:
        described["compiled"] = compiled
    click.echo(json.dumps(described, indent=2))


def _compiled(source: Source, architecture: str) -> dict[str, Any]:
    """Return what NVIDIA's compiler makes of `source`."""
    from miner.devices.nvrtc import nvrtc

    if source.dialect != "cuda":
        raise click.UsageError("--compile takes CUDA text: give --dialect cuda too")
    compiler = nvrtc()
    cubin = compiler.compile(source, architecture)
    return {
        "compiler": "NVRTC {}.{}".format(*compiler.version),
        "architecture": architecture,
        "registers": cubin.registers,
        "spilled": cubin.spilled,
        "bytes": len(cubin.code),
    }

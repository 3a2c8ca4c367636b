"""The command `kernel`: the source text that would be compiled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from miner.cli.options import VARIANT_OPTION

if TYPE_CHECKING:
    from miner.codegen.kernel_source import KernelSource


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
    from miner.codegen.kernel_source import dataset_source, operation_counts, search_source
    from miner.codegen.launch_shape import shape_named
    from miner.verify import chosen_variant

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


def _compiled(source: KernelSource, architecture: str) -> dict[str, Any]:
    """Return what NVIDIA's compiler makes of `source`."""
    from miner.devices.cuda.nvrtc import nvrtc

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

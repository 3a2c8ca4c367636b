"""The command `kernel`: the source of a kernel, or the result of compiling it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from miner.cli.completion import complete_value
from miner.cli.options import JSON_OPTION, VARIANT_OPTION, print_json

if TYPE_CHECKING:
    from miner.codegen.kernel_source import KernelSource


@click.command()
@VARIANT_OPTION
@click.option(
    "--height",
    type=int,
    required=True,
    metavar="N",
    help="Block height, which determines epoch and program.",
)
@click.option(
    "--dialect",
    default="opencl",
    show_default=True,
    metavar="opencl|cuda",
    help="Language of the source.",
)
@click.option(
    "--kernel",
    "which",
    type=click.Choice(["search", "dataset"]),
    default="search",
    show_default=True,
    help="Kernel to print.",
)
@click.option("--shape", metavar="NAME", help="Launch shape. Default: gpu.")
@click.option(
    "-d",
    "--device",
    metavar="NAME",
    help="Use the launch shape and the language of this device.",
    shell_complete=complete_value,
)
@click.option(
    "--compile",
    "architecture",
    metavar="SM",
    help="Compile for an NVIDIA architecture (sm_75, sm_86 …) and print the registers used; needs "
    "no GPU.",
)
@JSON_OPTION
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
    """Print the source of a kernel as it is compiled, or compile it.

    \b
    Examples:
      progpow-miner kernel -a kawpow --height 3000000
      progpow-miner kernel -a kawpow --height 5 --dialect cuda --compile sm_86
    """
    from miner.codegen.kernel_source import dataset_source, search_source
    from miner.codegen.language import operation_counts
    from miner.codegen.launch_shape import shape_named
    from miner.verify import chosen_variant

    if shape and device:
        raise click.UsageError("give --shape or --device, not both")
    chosen = chosen_variant(variant)
    epoch, period = chosen.epoch_at(height), chosen.period_at(height)
    if device:
        from miner.devices.selection import shape_on

        own, layout = shape_on(device, epoch)
        dialect = own or dialect
    else:
        layout = shape_named(shape or "gpu")
    if which == "search":
        source = search_source(chosen, period, epoch, dialect, layout)
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
        "variant": chosen.name,
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
        described["operations"] = operation_counts(chosen, period)
    if compiled:
        described["compiled"] = compiled
    print_json(described)


def _compiled(source: KernelSource, architecture: str) -> dict[str, Any]:
    """Compile `source` as mining does; return the compiler's name and the resources used."""
    from miner.devices.cuda.cuda_compilers import cuda_compiler

    if source.dialect != "cuda":
        raise click.UsageError("--compile needs CUDA source: give --dialect cuda too")
    compiler = cuda_compiler()
    cubin = compiler.compile(source, architecture)
    return {
        "compiler": compiler.name,
        "architecture": architecture,
        "registers": cubin.registers,
        "spilled": cubin.spilled,
        "bytes": len(cubin.code),
    }

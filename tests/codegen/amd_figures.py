"""Stored figures of the search kernels for AMD's GPUs, KawPow and relatives at height 3,000,000.

After an intended change, `python -m tests.codegen.amd_figures` rewrites them with clang 19, in two
minutes; review the difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, search_source
from miner.codegen.launch_shape import shape_named
from miner.devices.opencl.opencl_drivers import AMD, known_shape
from tests.codegen.toys import NAMES
from tests.harness.amd_compiler import Figures, compiled

FILE = Path(__file__).with_suffix(".json")
TARGETS = (
    "gfx803", "gfx900", "gfx906", "gfx90a", "gfx1010", "gfx1030", "gfx1100", "gfx1201",
)  # fmt: skip
HEIGHT = 3_000_000
CLANG = 19

Case = tuple[str, str, str]
"""Target, shape, variant."""


def shape_of(target: str) -> str:
    """Return the shape that the devices of `target` start with."""
    shape = known_shape(AMD, target)
    assert shape
    return shape


def cases() -> list[Case]:
    """Return every variant on every target in local memory, by ds_bpermute, and in the shape that
    the target starts with."""
    return [
        (target, shape, name)
        for target in TARGETS
        for shape in dict.fromkeys(("gpu", "gpu-amd", shape_of(target)))
        for name in NAMES
    ]


def source_of(shape: str, name: str) -> KernelSource:
    """Return the search kernel of the variant `name`."""
    variant = variants()[name]
    period, epoch = variant.period_at(HEIGHT), variant.epoch_at(HEIGHT)
    return search_source(variant, period, epoch, "opencl", shape_named(shape))


def stored() -> dict[Case, Figures]:
    """Read the file."""
    return {case: Figures(*numbers) for case, numbers in read_table(FILE).items()}


def read_table(file: Path) -> dict[Case, list[int]]:
    """Return the figures of each case in `file`."""
    return {
        (target, shape, name): numbers
        for target, shapes in json.loads(file.read_text(encoding="ascii")).items()
        for shape, rows in shapes.items()
        for name, numbers in rows.items()
    }


def write_table(file: Path, table: Mapping[Case, Sequence[int]]) -> None:
    """Write the figures of each case to `file`, one line each."""
    nested: dict[str, dict[str, list[str]]] = {}
    for (target, shape, name), figures in table.items():
        rows = nested.setdefault(target, {}).setdefault(shape, [])
        rows.append(f'    "{name}": {json.dumps(figures)}')
    targets = [
        f'"{target}": {{\n' + ",\n".join(
            f'  "{shape}": {{\n' + ",\n".join(rows) + "}" for shape, rows in shapes.items()
        ) + "}" for target, shapes in nested.items()
    ]  # fmt: skip
    file.write_text("{" + ",\n".join(targets) + "}\n", encoding="ascii")


def main() -> None:
    """Compile every case and write the file."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda case: compiled(source_of(*case[1:]), case[0]).figures, cases())
        write_table(FILE, dict(zip(cases(), found, strict=True)))


if __name__ == "__main__":
    main()

"""Stored sources of a few periods.

After an intended change, `python -m tests.codegen.golden` rewrites them; review the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from miner.catalog import variants
from miner.codegen.kernel_source import KernelSource, dataset_source, search_source
from miner.codegen.launch_shape import shape_named

FOLDER = Path(__file__).parents[1] / "golden"

HEIGHTS = (("kawpow", 1000), ("meowpow", 1000), ("progpowz", 1000))


def golden() -> Iterator[tuple[str, KernelSource]]:
    """Yield file names with the sources they store."""
    shape = shape_named("gpu")
    for name, height in HEIGHTS:
        variant = variants()[name]
        for dialect in ("opencl", "cuda"):
            period, epoch = variant.period_at(height), variant.epoch_at(height)
            source = search_source(variant, period, epoch, dialect, shape)
            yield f"{dialect}-search-{name}-period-{period}.txt", source
    epoch = variants()["kawpow"].epoch_at(1000)
    for dialect in ("opencl", "cuda"):
        source = dataset_source(epoch, dialect, shape)
        yield f"{dialect}-dataset-kawpow-epoch-{epoch.number}.txt", source


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for file_name, source in golden():
        (FOLDER / file_name).write_text(source.text, encoding="ascii", newline="")
        print(file_name)

"""Benchmark of the CUDA search kernel without a GPU: what its machine code says about its speed.

Compiles with NVRTC, reads the machine code, and simulates one multiprocessor of known cards. With
--check, the figures are compared with those of a file, and each one that is worse is printed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from host import write_json  # noqa: E402
from machine_code import search_loop  # noqa: E402
from multiprocessor import CARDS, Card, predict  # noqa: E402

from miner.catalog import find_variant  # noqa: E402
from miner.codegen.kernel_source import search_source  # noqa: E402
from miner.codegen.launch_shape import SHAPES, shape_named  # noqa: E402
from miner.devices.cuda.cuda_compilers import CudaCompiler, nvrtc  # noqa: E402
from miner.errors import MinerError  # noqa: E402
from miner.progpow.variant import Variant  # noqa: E402
from miner.run.shape_trials import HEIGHTS  # noqa: E402

ARCHITECTURES = tuple(card.architecture for card in CARDS)

KEPT = Path(__file__).parent / "results" / "static-nvrtc-12.9.json"
"""The figures of the present kernels."""

LESS_IS_BETTER = ("instructions", "spilled")
MORE_IS_BETTER = ("warps",)

NOISE = 0.02
"""Relative difference that predictions of equal kernels may have."""

SHAPES_TRIED = tuple(name for name in SHAPES if name == "gpu" or name.startswith("gpu-hbm"))
"""Shapes of CUDA that differ in the model."""


def main(arguments: list[str]) -> int:
    """Measure and print a table; return an exit code."""
    parser = argparse.ArgumentParser(prog="static.py", description=(__doc__ or "").split(":")[0])
    parser.add_argument("-a", "--variant", default="kawpow")
    parser.add_argument("--height", type=int, action="append", help="default: three fixed ones")
    parser.add_argument("--arch", action="append", choices=sorted(set(ARCHITECTURES)))
    parser.add_argument("--shape", action="append", choices=sorted(SHAPES))
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare with these figures")
    asked = parser.parse_args(arguments)
    try:
        compiler = nvrtc()
        variant = find_variant(asked.variant)
        rows = [
            measure(compiler, variant, height, card, shape)
            for card in CARDS
            if not asked.arch or card.architecture in asked.arch
            for shape in asked.shape or SHAPES_TRIED
            if card.fits(shape_named(shape))
            for height in asked.height or HEIGHTS
        ]
    except (MinerError, ValueError) as error:
        print(error, file=sys.stderr)
        return 3
    report = {"compiler": compiler.name, "variant": variant.name, "rows": rows}
    for line in table(rows):
        print(line)
    if asked.json:
        write_json(asked.json, report)
    if asked.check:
        kept = json.loads(asked.check.read_text(encoding="utf-8"))
        if kept["compiler"] != compiler.name:
            print(f"{asked.check} is of {kept['compiler']}, not {compiler.name}", file=sys.stderr)
            return 3
        worse = list(losses(rows, kept["rows"]))
        print("\n".join(worse or [f"no figure is worse than in {asked.check}"]))
        return 1 if worse else 0
    return 0


def measure(
    compiler: CudaCompiler, variant: Variant, height: int, card: Card, shape: str
) -> dict[str, Any]:
    """Return the figures of the kernel of `height` on `card`."""
    chosen = shape_named(shape)
    source = search_source(
        variant, variant.period_at(height), variant.epoch_at(height), "cuda", chosen
    )
    cubin = compiler.compile(source, card.architecture)
    loop = search_loop(cubin.code)
    warps = card.resident(cubin.registers, chosen) * chosen.threads // 32
    predicted = predict(loop, card, warps, lanes=chosen.lanes, copies=chosen.copies)
    return {
        "architecture": card.architecture,
        "height": height,
        "shape": shape,
        "registers": cubin.registers,
        "spilled": cubin.spilled,
        "warps": warps,
        "instructions": len(loop.rows_loop),
        "classes": loop.counts,
        "load to use": loop.load_to_use,
        "card": card.name,
        "GHz": card.ghz,
        "MH/s": round(predicted.mhs, 1),
        "issue": round(predicted.issue, 2),
        "pipe": round(predicted.pipe, 2),
        "memory": round(predicted.memory, 2),
    }


def losses(rows: Sequence[dict[str, Any]], kept: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each figure of `rows` that is worse than in the row of `kept` for the
    same card, height and shape."""
    before = {_key(row): row for row in kept}
    for row in rows:
        if (old := before.get(_key(row))) is None:
            continue
        where = f"{row['card']} ({row['architecture']}), {row['shape']}, height {row['height']}"
        for name in LESS_IS_BETTER:
            if row[name] > old[name]:
                yield f"{where}: {row[name]} {name}, {old[name]} before"
        for name in MORE_IS_BETTER:
            if row[name] < old[name]:
                yield f"{where}: {row[name]} {name}, {old[name]} before"
        if row["MH/s"] < old["MH/s"] * (1 - NOISE):
            yield f"{where}: {row['MH/s']} MH/s predicted, {old['MH/s']} before"


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["card"], row["height"], row["shape"]


def table(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table in Markdown."""
    names = ("card", "GHz", "architecture", "shape", "height", "registers", "spilled", "warps",
             "instructions", "load to use", "MH/s", "issue", "pipe", "memory")  # fmt: skip
    yield f"| {' | '.join((*names, 'classes'))} |"
    yield "|---" * (len(names) + 1) + "|"
    for row in rows:
        classes = " ".join(f"{kind} {count}" for kind, count in row["classes"].items())
        yield f"| {' | '.join(str(row[name]) for name in names)} | {classes} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

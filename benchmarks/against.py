"""Benchmark of the search kernels against those of another revision, side by side.

The other revision is checked out into a temporary worktree, which generates its kernels' text.
The present code builds both, compares them with the CPU, and measures them alternately on one
dataset.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import harmonic_mean
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT)]

from miner.catalog import find_variant  # noqa: E402
from miner.codegen.kernel_source import KernelSource  # noqa: E402
from miner.codegen.launch_shape import shape_named  # noqa: E402
from miner.devices.selection import choose_devices  # noqa: E402
from miner.errors import MinerError  # noqa: E402
from miner.progpow.variant import FixedSizes  # noqa: E402
from miner.run.bench_device import BenchDevice, BenchKernel  # noqa: E402
from miner.run.shape_trials import HEIGHTS  # noqa: E402
from miner.telemetry.measurements import Interval  # noqa: E402

SMALL = FixedSizes(262139, 524287, 0)
"""The light cache of epoch 0, and a dataset of 64 MiB."""

GENERATE = """
import json, sys
from miner.catalog import find_variant
from miner.codegen.kernel_source import search_source
from miner.codegen.launch_shape import shape_named
from miner.progpow.variant import FixedSizes
name, height, sizes, dialect, shape, heights = json.loads(sys.argv[1])
variant = find_variant(name)
variant = variant.with_sizes(FixedSizes(*sizes)) if sizes else variant
epoch = variant.epoch_at(height)
for height in heights:
    made = search_source(variant, variant.period_at(height), epoch, dialect, shape_named(shape))
    fields = [made.title, made.text, made.entry, made.dialect, made.options]
    fields += [getattr(made, "subgroup_multiple", 1), getattr(made, "dynamic_bytes", 0)]
    print(json.dumps(fields))
"""
"""The program of the other revision; an old one lacks the last two fields."""


def main(arguments: list[str]) -> int:
    """Measure and print the ratios; return an exit code."""
    parser = argparse.ArgumentParser(prog="against.py", description=(__doc__ or "").split(":")[0])
    parser.add_argument("revision", help="of git, as in v1.0 or HEAD~10")
    parser.add_argument("-a", "--variant", default="kawpow")
    parser.add_argument("-d", "--device", help="default: the first usable one")
    parser.add_argument("--height", type=int, help="use this height's dataset, not one of 64 MiB")
    parser.add_argument("--shape", help="default: the device's own")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of one measurement")
    asked = parser.parse_args(arguments)
    try:
        return measure(asked)
    except MinerError as error:
        print(error, file=sys.stderr)
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or "").strip().splitlines()[-1:] or [f"{error.cmd[0]} failed"]
        print(f"{asked.revision!r} generates no kernels: {reason[0]}", file=sys.stderr)
    return 3


def measure(asked: argparse.Namespace) -> int:
    """Compare as the arguments say."""
    variant = find_variant(asked.variant)
    sizes = None if asked.height is not None else SMALL
    variant = variant.with_sizes(sizes) if sizes else variant
    names = [asked.device] if asked.device else None
    listed = choose_devices("auto", names, variant, cpu_allowed=True).use[0]
    device = listed.open()
    try:
        if asked.shape:
            device.take_shape(shape_named(asked.shape))
        height = asked.height or 0
        bench = BenchDevice(device, variant, height)
        request = [
            asked.variant, height, sizes and [sizes.light_items, sizes.dataset_items, 0],
            device.dialect, device.shape.name, HEIGHTS,
        ]  # fmt: skip
        theirs = list(sources_of(asked.revision, request))
        ours = [bench.kernel(height) for height in HEIGHTS]
        pairs = [
            (mine, bench.proved(source, mine.job.height))
            for mine, source in zip(ours, theirs, strict=True)
        ]
        print(f"{listed.info.name} {listed.info.model}, {bench.epoch.dataset_bytes >> 20} MiB")
        ratios = in_turns(pairs, asked.rounds, asked.seconds)
    finally:
        device.close()
    for name, ratio in ratios.items():
        print(f"{name:>8}  {ratio.median:.3f} ({ratio.low:.3f} to {ratio.high:.3f})")
    print(f"hashrate of the present kernels relative to those of {asked.revision}")
    return 0


def in_turns(
    pairs: list[tuple[BenchKernel, BenchKernel]], rounds: int, seconds: float
) -> dict[str, Interval]:
    """Return the ratio of each pair's hashrates by height, and that of all."""
    random = Random(0)
    found: dict[str, list[float]] = {str(ours.job.height): [] for ours, _ in pairs}
    found["all"] = []
    for _ in range(rounds):
        ratios = []
        for ours, theirs in pairs:
            order = [ours, theirs]
            random.shuffle(order)
            rates = {id(one): harmonic_mean(one.rates(seconds, fewest=2)) for one in order}
            ratios.append(rates[id(ours)] / rates[id(theirs)])
            found[str(ours.job.height)].append(ratios[-1])
        found["all"].append(harmonic_mean(ratios))
    return {name: Interval.of(values) for name, values in found.items()}


def sources_of(revision: str, request: list[Any]) -> Iterator[KernelSource]:
    """Yield the kernels that the revision generates, one for each height."""
    with worktree(revision) as folder:
        made = subprocess.run(
            [sys.executable, "-c", GENERATE, json.dumps(request)],
            cwd=folder, check=True, capture_output=True, text=True,
        )  # fmt: skip
    for line in made.stdout.splitlines():
        title, text, entry, dialect, options, *more = json.loads(line)
        title, text = f"{title} of {revision}", with_stop_word(text)
        yield KernelSource(title, text, entry, dialect, tuple(options), *more)


def with_stop_word(text: str) -> str:
    """Return the text of a search kernel with the arguments that the present code passes; those of
    older revisions have no stop word and count no groups."""
    if "u32 launch)" in text:
        return text
    head, mark, kernel = text.rpartition("KERNEL search(")
    counting = "    if (THREAD == 0u)\n        ATOMIC_INCREMENT(results + 1);\n"
    more = "*results, GLOBAL const volatile u32 *stop, u32 launch)\n{\n" + counting
    return head + mark + kernel.replace("*results)\n{\n", more, 1)


@contextmanager
def worktree(revision: str) -> Iterator[Path]:
    """Check `revision` out; give the folder."""
    with tempfile.TemporaryDirectory(prefix="progpow-miner-") as parent:
        folder = Path(parent) / "checkout"
        git = ("git", "-C", str(CHECKOUT), "worktree")
        subprocess.run(
            [*git, "add", "--detach", "--quiet", str(folder), revision],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        try:
            yield folder
        finally:
            subprocess.run([*git, "remove", "--force", str(folder)], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

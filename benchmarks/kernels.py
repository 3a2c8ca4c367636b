"""Benchmark of the OpenCL kernels on the CPU: search in every shape, dataset in both families.

KawPow with a light cache of full size. The dataset has 64 MiB; with --real, the 1 GiB of epoch 0.
The shapes take turns. Ratios are of CPU seconds over all threads of this process, since load from
other processes hardly changes them; wall-clock rates are printed too.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from random import Random
from time import perf_counter, process_time
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from host import cpu_model, source_hash, write_json  # noqa: E402

from miner.catalog import variants  # noqa: E402
from miner.codegen.kernel_source import search_source  # noqa: E402
from miner.codegen.launch_shape import shape_named  # noqa: E402
from miner.devices.device import Device, fill  # noqa: E402
from miner.devices.selection import find_devices  # noqa: E402
from miner.engine.proof import KernelProof, prove_dataset, prove_kernel  # noqa: E402
from miner.errors import MinerError  # noqa: E402
from miner.progpow.epoch import Epoch  # noqa: E402
from miner.progpow.hashing import Light  # noqa: E402
from miner.progpow.variant import FixedSizes, Variant  # noqa: E402
from miner.run.shape_trials import HEIGHTS  # noqa: E402
from miner.verify import Verifier  # noqa: E402
from miner.work import Job, NonceRange, NonceSpace  # noqa: E402

SHAPES = ("cpu", "cpu-1", "gpu", "gpu-subgroups")

LIGHT_ITEMS = 262139
"""As in epoch 0, so that the dataset kernel reads as much memory as in real use."""

SMALL_ITEMS = 524287
"""128-byte items: 64 MiB, more than most CPUs' caches hold."""

FEW_ITEMS = 32749
"""4 MiB, for the GPUs' dataset kernel, which is slow on a CPU."""

LAUNCH_SECONDS = 0.2

HEADER = hashlib.sha256(b"benchmark").digest()


@dataclass(slots=True)
class Contender:
    """A search kernel, the size of its launches and their rates."""

    shape: str
    height: int
    job: Job
    kernel: Any
    build_seconds: float
    count: int
    rates: list[tuple[float, float]]
    """One pair per launch: hashes per second, hashes per CPU second."""
    next: int = 0

    def launch(self, device: Device) -> tuple[float, float]:
        """Search the next nonces and return both rates."""
        device.take_shape(shape_named(self.shape))
        begun, busy = perf_counter(), process_time()
        device.launch(self.kernel, self.job, NonceRange(self.next, self.count)).wait()
        self.next += self.count
        return self.count / (perf_counter() - begun), self.count / (process_time() - busy)


def prepare(device: Device, variant: Variant, light: Light, shape: str, height: int) -> Contender:
    """Build and check a kernel, and size its launches to about LAUNCH_SECONDS."""
    device.take_shape(shape_named(shape))
    period = variant.period_at(height)
    source = search_source(variant, period, light.epoch, device.dialect, device.shape)
    job = Job(0, "benchmark", variant, HEADER, height, light.epoch, 2**192 - 1, NonceSpace())
    begun = perf_counter()
    kernel = device.load(device.build(source))
    spent = perf_counter() - begun
    prove_kernel(device, kernel, KernelProof(job, device.round_up(1), Verifier(), Random(0)))
    made = Contender(shape, height, job, kernel, spent, device.round_up(512), [])
    while (rate := made.launch(device)[0]) * LAUNCH_SECONDS > made.count * 2:
        made.count = device.round_up(made.count * 4)
    made.count = device.round_up(int(rate * LAUNCH_SECONDS))
    return made


def measure_search(
    device: Device, variant: Variant, light: Light, rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    """Return the hashrate of each shape that runs here, and its ratio to the first shape."""
    contenders: list[Contender] = []
    for shape in SHAPES:
        try:
            contenders += [prepare(device, variant, light, shape, h) for h in HEIGHTS]
        except MinerError as error:
            say(f"{shape} skipped: {error}")
    for _ in range(rounds):
        for contender in contenders:
            contender.rates.append(contender.launch(device))
    base = {c.height: c.rates for c in contenders if c.shape == contenders[0].shape}
    rows = {}
    for shape in dict.fromkeys(c.shape for c in contenders):
        own = [c for c in contenders if c.shape == shape]
        pairs = [r[1] / b[1] for c in own for r, b in zip(c.rates, base[c.height], strict=True)]
        rows[shape] = {
            "hashes_per_second": statistics.median(r[0] for c in own for r in c.rates),
            "hashes_per_cpu_second": statistics.median(r[1] for c in own for r in c.rates),
            f"ratio_to_{contenders[0].shape}": statistics.median(pairs),
            "build_seconds": statistics.median(c.build_seconds for c in own),
        }
    return rows


def measure_dataset(device: Device, epoch: Epoch, light: Light, shape: str) -> dict[str, float]:
    """Fill and check the dataset with the kernel family of `shape`; return nodes per second, build
    time excluded."""
    device.take_shape(shape_named(shape))
    begun = perf_counter()
    steps = fill(device, epoch, light.cache)
    next(steps)
    built, busy = perf_counter(), process_time()
    for _ in steps:
        pass
    spent, busy = perf_counter() - built, process_time() - busy
    prove_dataset(device, epoch, light.cache, Verifier(), Random(0))
    return {
        "nodes_per_second": epoch.nodes / spent,
        "nodes_per_cpu_second": epoch.nodes / busy,
        "nodes": float(epoch.nodes),
        "seconds": spent,
        "build_seconds": built - begun,
    }


def driver_version() -> str:
    """Return the version of the CPU's OpenCL runtime if a Python package installed it."""
    try:
        return f"intel-opencl-rt {version('intel-opencl-rt')}"
    except PackageNotFoundError:
        return "system package"


def main() -> None:
    """Measure and print; write the figures to the file that --json names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--real", action="store_true", help="use the whole dataset of epoch 0, 1 GiB"
    )
    parser.add_argument("--rounds", type=int, default=7, help="launches of each kernel")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    asked = parser.parse_args()
    kawpow = variants()["kawpow"]
    found = next((f for f in find_devices("opencl")[0] if f.info.kind == "cpu"), None)
    if found is None or found.info.unusable:
        raise SystemExit("no CPU with an OpenCL runtime: pip install 'progpow-miner[cpu]'")
    # Epoch 0 at every height, so that one dataset serves all programs.
    real = kawpow.epoch(0)
    items = real.dataset_items if asked.real else SMALL_ITEMS
    variant = kawpow.with_sizes(FixedSizes(LIGHT_ITEMS, items, 0))
    few = kawpow.with_sizes(FixedSizes(LIGHT_ITEMS, FEW_ITEMS, 0)).epoch(0)
    epoch = variant.epoch(0)
    print(f"{cpu_model()}, {found.info.units} units, {found.info.driver}")
    print("light cache ...", flush=True)
    light = Verifier().light(epoch)
    device = found.open()
    datasets = {}
    try:
        print("dataset kernels ...", flush=True)
        datasets["lanes"] = measure_dataset(device, few, light, "gpu")
        datasets["vector"] = measure_dataset(device, epoch, light, "cpu")
        print("search kernels ...", flush=True)
        search = measure_search(device, variant, light, asked.rounds, print)
    finally:
        device.close()
    print(f"\nsearch, dataset of {epoch.dataset_bytes / 2**20:.0f} MiB, three programs")
    print(f"  {'shape':16}{'kH/s':>9}{'kH/CPU-s':>12}{'ratio':>9}{'build, s':>11}")
    for name, row in search.items():
        rate, cpu_rate, ratio, build = row.values()
        print(f"  {name:16}{rate / 1e3:9.1f}{cpu_rate / 1e3:12.1f}{ratio:9.3f}{build:11.2f}")
    print("\ndataset")
    print(f"  {'family':16}{'nodes/s':>9}{'nodes/CPU-s':>13}{'nodes':>12}{'build, s':>11}")
    for name, row in datasets.items():
        print(
            f"  {name:16}{row['nodes_per_second']:9.0f}{row['nodes_per_cpu_second']:13.0f}"
            f"{row['nodes']:12.0f}"
            f"{row['build_seconds']:11.2f}"
        )
    if asked.json:
        measured = [*(CHECKOUT / "kernels").rglob("*.h"), *(CHECKOUT / "miner").rglob("*.py")]
        document = {
            "search": search,
            "dataset": datasets,
            "dataset_bytes": epoch.dataset_bytes,
            "heights": list(HEIGHTS),
            "rounds": asked.rounds,
            "cpu": cpu_model(),
            "units": found.info.units,
            "driver": found.info.driver,
            "runtime": driver_version(),
            "sources_sha256": source_hash([path.resolve() for path in measured]),
        }
        write_json(asked.json, document)


if __name__ == "__main__":
    main()

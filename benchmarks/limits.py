"""Limits of a card, measured through CUDA: memory, shared memory, arithmetic.

The model in docs/performance.md uses these figures; this benchmark measures them on the card.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import numpy as np  # noqa: E402
from first_run import CANNOT  # noqa: E402
from first_run_results import figure  # noqa: E402

from miner.catalog import variants  # noqa: E402
from miner.codegen.kernel_source import KernelSource  # noqa: E402
from miner.devices.cuda.cuda_builds import Builds  # noqa: E402
from miner.devices.cuda.cuda_driver import device_error, driver, error_name  # noqa: E402
from miner.devices.selection import device_called, find_devices  # noqa: E402
from miner.errors import MinerError  # noqa: E402
from miner.progpow.variant import Variant  # noqa: E402

TEXT = (Path(__file__).parent / "limits.cu").read_text(encoding="ascii")

ROW_BYTES = 256
MOST_ROWS = 24_000_001
"""5.7 GiB: far more than any cache, about the size of a current dataset."""

WARPS = (8, 16, 24, 32, 40, 48)
"""Warps per multiprocessor, as far as it holds so many; a warp computes two hashes."""

COPIES = (1, 2, 4, 8)
"""Copies of the 16 KiB cache, each in separate banks."""

OPERATIONS = {
    "rotate": "__funnelshift_l(a, a, m)",
    "logic": "(((a) ^ m) | ((a) & (b)))",
    "multiply and add": "((a) * m + 7u)",
    "high half of a product": "__umulhi((a), m)",
    "count of bits": "(__popc(a) + m)",
    "leading zeros": "(__clz((int)(a)) + m)",
}

THREADS = 1024
"""Threads of a group that has a multiprocessor to itself."""

STEPS = 2000


def main(arguments: list[str]) -> int:
    """Measure and print JSON; return an exit code."""
    parser = argparse.ArgumentParser(prog="limits.py", description=(__doc__ or "").split(":")[0])
    parser.add_argument("device", help="as in cuda:0")
    parser.add_argument("--json", type=Path, help="also write the JSON to this file")
    parser.add_argument(
        "--figures",
        action="store_true",
        help="print each figure when it is measured, for first_run.py",
    )
    parser.add_argument("--rehearse", action="store_true", help="measure little")
    given = parser.parse_args(arguments)
    if given.figures and not given.device.startswith("cuda"):
        print("limits are measured through CUDA")
        return CANNOT
    report: Figure = figure if given.figures else _unreported
    steps = 20 if given.rehearse else STEPS
    try:
        found = device_called(find_devices("cuda")[0], given.device).info
        with Card(int(found.name.removeprefix("cuda:")), steps, report) as card:
            measured = card.measure()
    except MinerError as error:
        print(f"limits.py: {error}", file=sys.stderr)
        return error.exit_code
    document = {
        "device": {"name": found.name, "model": found.model, "driver": found.driver},
        "multiprocessors": found.units,
        **measured,
        "MH/s at most": {
            name: bounds(variant, measured, found.units) for name, variant in variants().items()
        },
    }
    if given.figures:
        for name, most in document["MH/s at most"]["kawpow"].items():
            report(f"limit of kawpow by {name}", most, "MH/s")
    text = json.dumps(document, indent=2)
    print(text)
    if given.json:
        given.json.write_text(text + "\n", encoding="utf-8")
    return 0


class Figure(Protocol):
    """Receives each figure as soon as it is measured."""

    def __call__(self, name: str, value: float, unit: str, /) -> None: ...


def _unreported(name: str, value: float, unit: str, /) -> None:
    """Leave the figure to the report at the end."""


def sources() -> dict[str, KernelSource]:
    """Return every kernel by its name in the report."""
    made = {"fill": _source("fill", "FILL"), "rows": _source("rows", "ROWS")}
    for copies in COPIES:
        made[f"cache {copies}"] = _source("cache", "CACHE", COPIES=f"{copies}u")
    for name, text in OPERATIONS.items():
        made[name] = _source("arithmetic", "ARITHMETIC", **{"OPERATION(a, b)": text})
    return made


def _source(entry: str, asked: str, **defines: str) -> KernelSource:
    lines = {"ASKED": asked, **defines}
    head = "".join(f"#define {name} {value}\n" for name, value in lines.items())
    options = ("--std=c++17", f"--maxrregcount={65536 // (32 * max(WARPS)) // 8 * 8}")
    return KernelSource(f"limits: {entry}", head + TEXT, entry, "cuda", options)


def bounds(variant: Variant, measured: dict[str, Any], units: int) -> dict[str, float]:
    """Return upper bounds in MH/s for `variant`: by memory, and by shared memory for each number of
    cache copies."""
    rows = variant.dag_loops
    memory = max(row["GB/s"] for row in measured["rows"]) * 1e3 / (rows * ROW_BYTES)
    limits = {"memory": round(memory, 1)}
    for copies, cycles in measured["cycles of a cache read"].items():
        # A warp's loop: the reads, four cycles for 512 bytes of rows, one for a shuffle. It
        # serves two hashes.
        hash_cycles = rows / 2 * (variant.cache_reads * cycles + 5)
        limits[f"{copies} copies"] = round(units * measured["MHz"] / hash_cycles, 1)
    return limits


class Card:
    """A CUDA card with a context that lasts for the `with` block."""

    def __init__(self, ordinal: int, steps: int = STEPS, report: Figure = _unreported) -> None:
        self._drv: ModuleType = driver()
        self._ordinal, self._steps, self._report = ordinal, steps, report

    def __enter__(self) -> Card:
        with self._errors("opening"):
            card = self._drv.Device(self._ordinal)
            self._units = card.get_attribute(self._drv.device_attribute.MULTIPROCESSOR_COUNT)
            self._builds = Builds(card.compute_capability())
            self._context = card.make_context()
            try:
                self._out = self._drv.mem_alloc(4)
                self._cycles = self._drv.mem_alloc(8 * self._units)
            except self._drv.Error:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._context.pop()
        self._context.detach()

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._drv.Error as error:
            raise device_error(error_name(error), f"cuda:{self._ordinal}", what) from error

    def measure(self) -> dict[str, Any]:
        """Return the measured part of the report."""
        with self._errors("measuring"):
            rows = self._rows()
            cache, clock = self._cache()
            return {
                "MHz": round(clock),
                "rows": rows,
                "cycles of a cache read": cache,
                "cycles of an operation": {name: self._arithmetic(name) for name in OPERATIONS},
            }

    def _function(self, name: str) -> Any:
        source = sources()[name]
        self._module = self._drv.module_from_buffer(self._builds.build(source))
        return self._module.get_function(source.entry)

    def _seconds(
        self, function: Any, groups: int, threads: int, *arguments: Any, shared: int = 0
    ) -> float:
        begin, end = self._drv.Event(), self._drv.Event()
        begin.record()
        function(*arguments, grid=(groups, 1), block=(threads, 1, 1), shared=shared)
        end.record()
        end.synchronize()
        return float(end.time_since(begin)) / 1e3

    def _rows(self) -> list[dict[str, float]]:
        """Return rates of random row reads by the number of resident warps."""
        free, _ = self._drv.mem_get_info()
        count = min(MOST_ROWS, int(free * 0.9) // ROW_BYTES - 1) | 1
        data = self._drv.mem_alloc(count * ROW_BYTES)
        try:
            fill, words = self._function("fill"), np.uint64(count * ROW_BYTES // 16)
            self._seconds(fill, self._units * 8, 256, data, words)
            rows, found = self._function("rows"), []
            attribute = self._drv.device_attribute.MAX_THREADS_PER_MULTIPROCESSOR
            most = self._drv.Device(self._ordinal).get_attribute(attribute) // 32
            for warps in (w for w in WARPS if w <= most):
                groups = self._units * warps // 8
                given = (data, np.uint32(count), np.uint32(self._steps), self._out)
                self._seconds(rows, groups, 256, *given)
                spent = self._seconds(rows, groups, 256, *given)
                read = self._units * warps * 2 * ROW_BYTES * self._steps
                found.append({
                    "warps": warps,
                    "GB/s": round(read / spent / 1e9, 1),
                    "ns for a step": round(spent / self._steps * 1e9, 1),
                })  # fmt: skip
            self._report("rows read at random", max(row["GB/s"] for row in found), "GB/s")
            return found
        finally:
            data.free()

    def _cache(self) -> tuple[dict[int, float], float]:
        """Return the cycles of a warp's cache read by number of copies, as far as shared memory
        suffices, and the clock in MHz."""
        most = self._drv.Device(self._ordinal).get_attribute(
            self._drv.device_attribute.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
        )
        found, clock = {}, 0.0
        for copies in COPIES:
            shared = copies * 16384
            if shared > most:
                break
            function = self._function(f"cache {copies}")
            function.set_attribute(
                self._drv.function_attribute.MAX_DYNAMIC_SHARED_SIZE_BYTES, shared
            )
            given = (np.uint32(self._steps), self._out, self._cycles)
            self._seconds(function, self._units, THREADS, *given, shared=shared)
            spent = self._seconds(function, self._units, THREADS, *given, shared=shared)
            cycles = self._read_cycles()
            found[copies] = round(cycles / (self._steps * 4 * THREADS / 32), 3)
            self._report(f"cycles of a cache read, copies: {copies}", found[copies], "cycles")
            clock = max(clock, cycles / spent / 1e6)
        self._report("clock", clock, "MHz")
        return found, clock

    def _arithmetic(self, name: str) -> float:
        """Return the cycles that one operation of a warp takes on a multiprocessor."""
        function = self._function(name)
        given = (np.uint32(self._steps), self._out, self._cycles, np.uint32(0x10001))
        self._seconds(function, self._units, THREADS, *given)
        self._seconds(function, self._units, THREADS, *given)
        cycles = round(self._read_cycles() / (self._steps * 8 * THREADS / 32), 3)
        self._report(f"cycles of {name}", cycles, "cycles")
        return cycles

    def _read_cycles(self) -> float:
        cycles = np.empty(self._units, np.uint64)
        self._drv.memcpy_dtoh(cycles, self._cycles)
        return float(np.median(cycles))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

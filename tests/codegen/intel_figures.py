"""Stored figures of the search kernels for Intel's GPUs, every variant at height 3,000,000.

After an intended change, `python -m tests.codegen.intel_figures` rewrites those of the installed
compiler in two minutes; review the difference. The figures of other versions stay.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from miner.codegen.kernel_source import KernelSource
from tests.codegen.amd_figures import Case, read_table, source_of, write_table
from tests.codegen.toys import NAMES
from tests.harness.child import captured

FILE = Path(__file__).with_suffix(".json")
TARGETS = ("skl", "tgllp", "dg2", "bmg")
"""Skylake, Tiger Lake, Arc A, Arc B."""
SHAPES = ("gpu", "gpu-128", "gpu-subgroups", "gpu-intel")
MISSING = None if shutil.which("ocloc") else "needs ocloc (Debian: intel-opencl-icd)"


class IntelFigures(NamedTuple):
    """The resources that a search kernel takes."""

    width: int
    """Threads of a sub-group, which run side by side."""
    registers: int
    """Registers of a sub-group: 32 bytes each, 64 on Arc B."""
    local: int
    """Bytes of local memory of a group."""
    scratch: int
    """Bytes of memory of a sub-group for registers that do not fit."""


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version of the compiler."""
    with tempfile.TemporaryDirectory() as folder:
        _ocloc(folder, "query", "OCL_DRIVER_VERSION")
        return Path(folder, "OCL_DRIVER_VERSION").read_text(encoding="ascii").strip("\0\n ")


@lru_cache(maxsize=8)
def knows(target: str) -> bool:
    """Return whether the compiler compiles for `target`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.cl").write_text("kernel void nothing() {}\n", encoding="ascii")
        return not _ocloc(folder, "compile", "-file", "kernel.cl", "-device", target).returncode


def compiled(source: KernelSource, target: str) -> IntelFigures | str:
    """Compile `source`; return its figures, or the compiler's output if it makes no binary."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel.cl").write_text(source.text, encoding="ascii")
        done = _ocloc(
            folder, "compile", "-file", "kernel.cl", "-device", target, "--format", "zebin",
            "-options", " ".join(source.options),
        )  # fmt: skip
        made = list(Path(folder).glob("*.bin"))
        if done.returncode or not made:
            return done.stdout + done.stderr
        return _described(made[0].read_bytes(), source.entry)


def _ocloc(folder: str, *words: str) -> subprocess.CompletedProcess[str]:
    return captured(["ocloc", *words], cwd=folder)


def _described(binary: bytes, entry: str) -> IntelFigures:
    """Read the figures from the section .ze_info of a device binary, which is YAML."""
    begin = binary.index(b"---\nversion:")
    text = binary[begin : binary.index(b"\nkernels_misc_info:", begin)].decode("ascii")
    (kernel,) = (k for k in text.split("\n  - name: ") if k.lstrip().startswith(f"{entry}\n"))
    values = dict(re.findall(r"^      (\w+): +(\d+)$", kernel, re.MULTILINE))
    _, _, memories = kernel.partition("\n    per_thread_memory_buffers:\n")
    scratch = sum(
        int(size) for size in re.findall(r"^        size: +(\d+)", memories, re.MULTILINE)
    )
    return IntelFigures(
        int(values["simd_size"]), int(values["grf_count"]), int(values["slm_size"]), scratch
    )


def cases() -> list[Case]:
    """Return every variant in every shape on each target that the compiler knows."""
    return [
        (target, shape, name)
        for target in filter(knows, TARGETS)
        for shape in SHAPES
        for name in NAMES
    ]


def key(case: Case) -> Case:
    """Return the key in the table: the target with the version of the compiler."""
    target, shape, name = case
    return f"{target} {version()}", shape, name


def stored() -> dict[Case, IntelFigures]:
    """Read the file."""
    return {case: IntelFigures(*numbers) for case, numbers in read_table(FILE).items()}


def main() -> None:
    """Compile every case and write the file."""
    with ThreadPoolExecutor() as pool:
        found = pool.map(lambda case: compiled(source_of(*case[1:]), case[0]), cases())
        table = stored() if FILE.exists() else {}
        for case, figures in zip(cases(), found, strict=True):
            assert isinstance(figures, IntelFigures), (case, figures)
            table[key(case)] = figures
    write_table(FILE, table)


if __name__ == "__main__":
    main()

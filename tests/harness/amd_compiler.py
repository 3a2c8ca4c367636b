"""Clang for AMD's GPUs: OpenCL C to assembly, with the device libraries of ROCm."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from miner.codegen.kernel_source import KernelSource
from tests.harness.child import captured

NAMES = ("clang-19", "clang-21", "clang-20", "clang")
LIBRARIES = ("/usr/lib/x86_64-linux-gnu/amdgcn/bitcode", "/opt/rocm/amdgcn/bitcode")
LINKED = (
    "opencl", "ocml", "ockl", "oclc_abi_version_500", "oclc_correctly_rounded_sqrt_on",
    "oclc_daz_opt_off", "oclc_finite_only_off", "oclc_unsafe_math_off",
)  # fmt: skip
"""As ROCm's OpenCL links them."""

LOAD = re.compile(r"\t(?:global|flat)_load_(?:dwordx4|b128)\b")
WAITS = re.compile(r"\ts_(?:waitcnt|wait_|delay_alu|nop|clause|setprio|code_end)")


class Figures(NamedTuple):
    """What a search kernel takes of a device."""

    registers: int
    """Of a lane."""
    local: int
    """Bytes of local memory of a group."""
    waves: int
    """Per SIMD."""
    scratch: int
    """Bytes of memory for registers that do not fit."""
    loop: int
    """Instructions of the loop that loads a row."""
    row: int
    """Instructions of it before the row is requested, waits not counted."""


@dataclass(frozen=True)
class Assembly:
    """What the compiler made of one kernel."""

    text: str

    def figure(self, name: str) -> int:
        """Return a figure of the compiler's own statistics, such as "NumVgprs"."""
        (value,) = re.findall(rf"^; {name}: (\d+)", self.text, re.MULTILINE)
        return int(value)

    @property
    def figures(self) -> Figures:
        """Registers, memory, waves and, of a search kernel, its loop."""
        loop = self.loop
        return Figures(
            self.figure("NumVgprs"), self.figure("LDSByteSize"), self.figure("Occupancy"),
            self.figure("ScratchSize"), len(loop), self.before_row,
        )  # fmt: skip

    @property
    def loop(self) -> list[str]:
        """Instructions of the loop that loads dataset rows, from its label to its last branch."""
        lines = self.text.splitlines()
        load = next(i for i, line in enumerate(lines) if LOAD.match(line) and self._loops(lines, i))
        first, last = self._loops(lines, load)[-1]
        return [line for line in lines[first:last] if re.match(r"\t[a-z]", line)]

    @staticmethod
    def _loops(lines: list[str], at: int) -> list[tuple[int, int]]:
        """Return begin and end of the loops around the line `at`, the innermost last."""
        begins = {found[1]: i for i in range(at) if (found := re.match(r"(\.LBB\w+):", lines[i]))}
        ends: dict[int, int] = {}
        for i in range(at, len(lines)):
            found = re.match(r"\ts_c?branch\w* (\.LBB\w+)", lines[i])
            if found and found[1] in begins:
                ends[begins[found[1]]] = i + 1
        return sorted(ends.items())

    @property
    def before_row(self) -> int:
        """Instructions of `loop` before the row is requested, waits not counted."""
        loop = self.loop
        (at,) = (i for i, line in enumerate(loop) if LOAD.match(line))
        return sum(not WAITS.match(line) for line in loop[:at])


@lru_cache(maxsize=1)
def clang() -> str | None:
    """Return a clang that compiles for AMD's GPUs."""
    for name in NAMES:
        if path := shutil.which(name):
            targets = captured([path, "--print-targets"])
            if "amdgcn" in targets.stdout:
                return path
    return None


@lru_cache(maxsize=1)
def _libraries() -> Path | None:
    return next((Path(path) for path in LIBRARIES if Path(path, "opencl.bc").exists()), None)


def missing() -> str | None:
    """Return what is missing for `compiled`, or None."""
    if clang() is None:
        return f"needs one of {', '.join(NAMES)} with AMD's target (Debian: clang-19)"
    return None if _libraries() else "needs ROCm's device libraries (Debian: rocm-device-libs)"


@lru_cache(maxsize=1)
def version() -> int:
    """Return the compiler's major version."""
    done = captured([str(clang()), "-dumpversion"], check=True)
    return int(done.stdout.partition(".")[0])


@lru_cache(maxsize=64)
def compiled(source: KernelSource, target: str) -> Assembly:
    """Compile the unchanged `source` for `target`, such as "gfx1030"."""
    command, libraries = clang(), _libraries()
    assert command
    assert libraries
    isa = libraries / f"oclc_isa_version_{target.removeprefix('gfx')}.bc"
    if not isa.exists():  # newer than the libraries; our kernels call nothing that depends on it
        isa = libraries / "oclc_isa_version_1030.bc"
    wave = f"oclc_wavefrontsize64_{'off' if target.startswith('gfx1') else 'on'}"
    files = [*(libraries / f"{name}.bc" for name in (*LINKED, wave)), isa]
    linked = [part for file in files for part in ("-mlink-builtin-bitcode", str(file))]
    done = captured(
        [
            command, "-x", "cl", *source.options, "--target=amdgcn-amd-amdhsa", f"-mcpu={target}",
            "-nogpulib", *(word for part in linked for word in ("-Xclang", part)),
            "-Werror", "-O3", "-S", "-", "-o", "-",
        ],
        input=source.text,
    )  # fmt: skip
    assert not done.returncode, (
        f"{source.title} for {target}: {command} ended with {done.returncode}: {done.stderr[:2000]}"
    )
    return Assembly(done.stdout)

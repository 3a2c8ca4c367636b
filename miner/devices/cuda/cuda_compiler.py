"""Compiling CUDA text: the common part of NVRTC and nvcc."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

from miner.codegen.kernel_source import KernelSource
from miner.errors import BadValue

ROOMIER = ("--define-macro=GROUPS_AT_ONCE=3",)
"""Three groups of 256 threads at once: 80 registers for each thread instead of 64. A kernel that
needs more than 64 runs three groups at once in any case."""


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture, with what the assembler reported."""

    code: bytes
    """An ELF file."""
    registers: int
    """Of one thread."""
    spilled: int
    """Bytes of registers that are kept in memory, stores and loads together."""
    warnings: tuple[str, ...] = ()
    """Of the compiler, without those about deprecated architectures."""

    @classmethod
    def reported(cls, code: bytes, log: str) -> Cubin:
        """Return `code` with the numbers in the compiler's `log`; 0 registers where it reports
        none."""
        registers = re.search(r"Used (\d+) registers", log)
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        warnings = tuple(
            line for line in log.splitlines()
            if "warning" in line.lower() and "deprecated" not in line
        )  # fmt: skip
        return cls(code, int(registers[1]) if registers else 0, sum(map(int, spills)), warnings)


class CudaCompiler(ABC):
    """Compiles CUDA text; any thread may call it, several at a time."""

    name: str
    """As in "NVRTC 12.9"."""
    version: tuple[int, int]
    architectures: tuple[str, ...]
    """Those that it makes machine code for, as in "sm_86", older ones first."""

    def compile(self, source: KernelSource, architecture: str) -> Cubin:
        """Return `source` as machine code. A kernel that spills registers is compiled once more
        with `ROOMIER`; the one that spills less is returned.

        Raises `BuildFailed`, which names the file with log and source, and `BadValue` for an
        architecture that this version does not support.
        """
        self.check(architecture)
        cubin = self._cubin(source, architecture, ())
        if cubin.spilled:
            roomier = self._cubin(source, architecture, ROOMIER)
            cubin = min(cubin, roomier, key=lambda made: made.spilled)
        return cubin

    def check(self, architecture: str) -> None:
        """Raise `BadValue` unless this version supports `architecture`."""
        if architecture not in self.architectures:
            known = ", ".join(self.architectures)
            problem = f"{self.name} does not support {architecture!r}; it supports {known}"
            raise BadValue("architecture", problem)

    @abstractmethod
    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return `source` as PTX, the text that the driver compiles, for the virtual architecture
        of `architecture`; newer cards take it too. Raises as `compile`."""

    @abstractmethod
    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        """Compile with the options `more` besides those of `source`."""


def virtual(architecture: str) -> str:
    """Return the virtual architecture of "sm_86": "compute_86"."""
    return architecture.replace("sm_", "compute_")

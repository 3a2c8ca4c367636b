"""For a process with the fake driver: its compiler, its counters and its faults.

A plugin of pytest (`-p tests.harness.fake_driver_plugin`), so that the compiler is replaced before
tests are collected.
"""

from __future__ import annotations

import ctypes
import struct

from miner.codegen.kernel_source import KernelSource
from miner.devices.build_log import write_build_log
from miner.devices.cuda import cuda_compilers
from miner.devices.cuda.cuda_compilers import Cubin, CudaCompiler
from miner.errors import BuildFailed
from tests.harness.build import build

COUNTED = ("contexts", "modules", "allocations", "bytes", "pinned", "streams", "events")
"""Objects of the driver that must be freed."""


class FakeCompiler(CudaCompiler):
    """Replaces NVRTC: compiles modules that the fake driver runs on the CPU."""

    name = "NVRTC 12.9"
    version = (12, 9)
    architectures = ("sm_50", "sm_61", "sm_86", "sm_90", "sm_120")

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []
        """Titles and targets, in the order of their compilation."""

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        return Cubin(self._module("PLAYBIN", source, architecture), 64, 0)

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        return self._module("PLAYPTX", source, architecture.replace("sm_", "compute_"))

    def _module(self, kind: str, source: KernelSource, target: str) -> bytes:
        self.made.append((source.title, target))
        try:
            code = build(source).library.read_bytes()
        except RuntimeError as error:
            path = write_build_log(source, str(error))
            raise BuildFailed(
                f"{source.title} does not compile (fake NVRTC); log and source: {path}"
            ) from error
        number = int(target.partition("_")[2])
        return struct.pack("8sIIQ", kind.encode(), number, 0, len(code)) + code


COMPILER = FakeCompiler()
cuda_compilers.nvrtc = lambda: COMPILER  # type: ignore[assignment]


def library() -> ctypes.CDLL:
    loaded = ctypes.CDLL("libcuda.so.1")
    loaded.fake_cuda_count.restype = ctypes.c_uint64
    return loaded


def count(what: str) -> int:
    """Return how many of `what` exist in the driver, or how often a function was called."""
    return int(library().fake_cuda_count(what.encode()))


def alive() -> dict[str, int]:
    return {what: count(what) for what in COUNTED}


def fail(function: str, code: int, after: int = 0, times: int = 1) -> None:
    """Make `times` calls of `function`, after the next `after` calls, return `code`."""
    library().fake_cuda_fail(function.encode(), code, after, times)

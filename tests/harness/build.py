"""CUDA text compiled as C++ and run on the CPU, one block at a time."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import KernelSource

_HERE = Path(__file__).parent
_OPTIONS = (
    "-O2", "-std=c++17", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-fno-stack-protector",
)  # fmt: skip


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...] | None:
    """Return the command of a C++ compiler, or None; zig is a package on PyPI."""
    for name in ("g++", "clang++"):
        if path := shutil.which(name):
            return (path,)
    if find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc", "-x", "c++", "-fno-sanitize=undefined")
    return None


class Kernel:
    """A loaded kernel; a call runs its blocks one after the other."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library))
        self._library.problem.restype = ctypes.c_char_p

    def dataset(
        self,
        light: NDArray[np.uint32],
        out: NDArray[np.uint32],
        first: int,
        count: int,
        out_first: int,
        groups: int,
    ) -> None:
        self._finish(
            self._library.run_dataset(
                _address(light),
                _address(out),
                ctypes.c_uint32(first),
                ctypes.c_uint32(count),
                ctypes.c_uint32(out_first),
                ctypes.c_uint(groups),
            )
        )

    def search(
        self,
        datasets: list[NDArray[np.uint32]],
        header: NDArray[np.uint32],
        first: int,
        target: int,
        results: NDArray[np.uint32],
        groups: int,
        stop_at: int | None = None,
    ) -> None:
        """Search `groups` groups; stop the launch before group `stop_at`, if that is given."""
        stop, launch = np.zeros(1, np.uint32), 7
        at = ctypes.c_uint.in_dll(self._library, "stop_at")
        at.value = groups if stop_at is None else stop_at
        addresses = (ctypes.c_void_p * 16)(*(d.ctypes.data for d in datasets))
        self._finish(
            self._library.run_search(
                addresses,
                _address(header),
                ctypes.c_uint64(first),
                ctypes.c_uint64(target),
                _address(results),
                _address(stop),
                ctypes.c_uint32(launch),
                ctypes.c_uint(groups),
            )
        )

    def _finish(self, status: int) -> None:
        if status:
            raise RuntimeError(self._library.problem().decode())


def _address(array: NDArray[np.uint32]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    assert array.dtype == np.uint32
    return ctypes.c_void_p(array.ctypes.data)


def build(
    source: KernelSource,
    folder: Path,
    command: tuple[str, ...] | None = None,
    *,
    runner: str = "runner.cpp",
    more: tuple[str, ...] = (),
) -> Kernel:
    """Compile the unchanged `source`, with the harness's definitions of CUDA's built-ins or, in
    another `runner`, of what that text needs, and with `more` options."""
    command = command or compiler()
    assert command
    text = folder / f"{source.sha256}.cu"
    library = text.with_suffix(".so")
    if not library.exists():
        text.write_text(source.text, encoding="ascii", newline="")
        # Two cards may build one program at the same time.
        temporary = text.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        defines = [f'-DTEXT="{text}"', f"-DRUN_{source.entry.upper()}"]
        if source.dynamic_bytes:
            defines.append(f"-DDYNAMIC_BYTES={source.dynamic_bytes}")
        done = subprocess.run(
            [*command, *_OPTIONS, *more, *defines, str(_HERE / runner), "-o", str(temporary)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{source.title}: {command[0]} ended with {done.returncode}: {done.stderr[:4000]}"
            )
        temporary.replace(library)
    return Kernel(library)


def build_all(sources: list[KernelSource], folder: Path) -> list[Kernel]:
    """Build several kernels, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda source: build(source, folder), sources))

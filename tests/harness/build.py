"""CUDA text compiled as C++ and run on the CPU, one block at a time."""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import sys
import threading
import time
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from miner.codegen.kernel_source import KernelSource
from miner.resources import cache_directory
from tests.harness.child import captured

_HERE = Path(__file__).parent
CHECKOUT = _HERE.parents[1]
_OPTIONS = (
    "-O2", "-std=c++17", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-fno-stack-protector",
)  # fmt: skip
UNUSED_SECONDS = 86400.0
"""Age at which what was built of other sources is deleted."""


@lru_cache(maxsize=1)
def compiler() -> tuple[str, ...] | None:
    """Return the command of a C++ compiler, or None; zig is a package on PyPI."""
    for name in ("g++", "clang++"):
        if path := shutil.which(name):
            return (path,)
    if find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc", "-x", "c++", "-fno-sanitize=undefined")
    return None


@lru_cache(maxsize=1)
def cache() -> Path:
    """Return the folder for what takes long to build, which all checkouts of a user share."""
    own = os.environ.get("PROGPOW_TESTS_CACHE")
    folder = Path(own) if own else cache_directory() / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@lru_cache(maxsize=1)
def programs() -> Path:
    """Return the folder of compiled programs, which all processes of all tests share."""
    digest = hashlib.sha256()
    for path in (*sorted(_HERE.glob("*.[hc]*")), *sorted((CHECKOUT / "kernels").rglob("*.h"))):
        digest.update(path.read_bytes())
    folder = cache() / f"programs-{digest.hexdigest()[:16]}"
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    delete_unused("programs-*")
    return folder


def delete_unused(pattern: str) -> None:
    """Delete the folders of the cache that match and were not used for `UNUSED_SECONDS`, with what
    lies beside them under the same name with a suffix. A use sets the folder's time."""
    for folder in cache().glob(pattern):
        with suppress(OSError):  # another process may have deleted it
            if not folder.suffix and time.time() - folder.stat().st_mtime > UNUSED_SECONDS:
                for path in (folder, *folder.parent.glob(f"{folder.name}.*")):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


class Kernel:
    """A loaded kernel; a call runs its blocks one after the other."""

    def __init__(self, library: Path) -> None:
        self.library, self.text = library, library.with_suffix(".cu")
        self._loaded = ctypes.CDLL(str(library))
        self._loaded.problem.restype = ctypes.c_char_p

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
            self._loaded.run_dataset(
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
        at = ctypes.c_uint.in_dll(self._loaded, "stop_at")
        at.value = groups if stop_at is None else stop_at
        addresses = (ctypes.c_void_p * 16)(*(d.ctypes.data for d in datasets))
        self._finish(
            self._loaded.run_search(
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
            raise RuntimeError(self._loaded.problem().decode())


def _address(array: NDArray[np.uint32]) -> ctypes.c_void_p:
    assert array.flags.c_contiguous
    assert array.dtype == np.uint32
    return ctypes.c_void_p(array.ctypes.data)


def build(
    source: KernelSource, *, runner: str = "runner.cpp", more: tuple[str, ...] = ()
) -> Kernel:
    """Compile the unchanged `source`, with the harness's definitions of CUDA's built-ins or, in
    another `runner`, of what that text needs, and with `more` options; each program once."""
    command = compiler()
    assert command
    options = (*_OPTIONS, *more, f"-DRUN_{source.entry.upper()}")
    if source.dynamic_bytes:
        options += (f"-DDYNAMIC_BYTES={source.dynamic_bytes}",)
    program = Path(command[0]).stat()
    parts = source.sha256, command, program.st_size, program.st_mtime_ns, options, runner
    key = hashlib.sha256(repr(parts).encode()).hexdigest()
    library = programs() / f"{key}.so"
    if not library.exists():
        # Two processes or threads may build one program at the same time.
        own = library.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
        text, compiled = own.with_name(f"{own.name}.cu"), own.with_name(f"{own.name}.so")
        text.write_text(source.text, encoding="ascii", newline="")
        done = captured(
            [*command, *options, f'-DTEXT="{text}"', str(_HERE / runner), "-o", str(compiled)]
        )
        if done.returncode:
            text.unlink()
            raise RuntimeError(
                f"{source.title}: {command[0]} ended with {done.returncode}: {done.stderr[:4000]}"
            )
        text.replace(library.with_suffix(".cu"))
        compiled.replace(library)
    return Kernel(library)

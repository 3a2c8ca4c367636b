"""NVRTC, NVIDIA's run-time compiler: a library called in this process, without a GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.devices.build_log import write_build_log
from miner.devices.cuda.cuda_compiler import Cubin, CudaCompiler, virtual
from miner.errors import BackendUnavailable, BuildFailed

LIBRARIES = ("libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so")
"""12 first: 13 does not support the GTX 10 series."""

MISSING = "NVRTC, NVIDIA's run-time compiler, is not installed: pip install nvidia-cuda-nvrtc-cu12"


class Nvrtc(CudaCompiler):
    """The compiler in `library`."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        self.version = (major.value, minor.value)
        self.name = f"NVRTC {major.value}.{minor.value}"
        count = ctypes.c_int()
        self._call("nvrtcGetNumSupportedArchs", ctypes.byref(count))
        found = (ctypes.c_int * count.value)()
        self._call("nvrtcGetSupportedArchs", found)
        self.architectures = tuple(f"sm_{number}" for number in found)

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return PTX; NVRTC ends it with the zero byte up to which the driver reads."""
        self.check(architecture)
        with self._program(source, _options(source, virtual(architecture))) as (program, log):
            text = self._bytes("nvrtcGetPTX", program)
        if f".entry {source.entry}(".encode() not in text:
            raise _failed(source, f"it has no kernel {source.entry!r}", log)
        return text

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = (*_options(source, architecture), *more, "--ptxas-options=-v")
        with self._program(source, options) as (program, log):
            if f"entry function '{source.entry}'" not in log:
                raise _failed(source, f"it has no kernel {source.entry!r}", log)
            if not re.search(r"Used \d+ registers", log) or log.count(" bytes spill ") != 2:
                raise _failed(source, "the assembler did not report its registers", log)
            return Cubin.reported(self._bytes("nvrtcGetCUBIN", program), log)

    @contextmanager
    def _program(
        self, source: KernelSource, options: tuple[str, ...]
    ) -> Iterator[tuple[ctypes.c_void_p, str]]:
        """Compile; give the program and its log, then destroy the program."""
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        program = ctypes.c_void_p()
        self._call(
            "nvrtcCreateProgram", ctypes.byref(program), source.text.encode(), b"kernel.cu",
            0, None, None,
        )  # fmt: skip
        try:
            status = self._library.nvrtcCompileProgram(program, len(options), given)
            log = self._text("nvrtcGetProgramLog", program)
            if status:
                raise _failed(source, self._status_name(status), log)
            yield program, log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _bytes(self, name: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        self._call(f"{name}Size", program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        self._call(name, program, buffer)
        return buffer.raw

    def _text(self, name: str, program: ctypes.c_void_p) -> str:
        return self._bytes(name, program).rstrip(b"\0").decode(errors="replace")

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._library, name)(*arguments)
        if status:
            raise BuildFailed(f"NVRTC: {name} failed: {self._status_name(status)}")

    def _status_name(self, status: int) -> str:
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return str(self._library.nvrtcGetErrorString(status).decode())


def _options(source: KernelSource, target: str) -> tuple[str, ...]:
    return (f"--gpu-architecture={target}", *source.options)


def _failed(source: KernelSource, reason: str, log: str) -> BuildFailed:
    path = write_build_log(source, log)
    return BuildFailed(f"{source.title} does not compile (NVRTC: {reason}); log and source: {path}")


@lru_cache(maxsize=1)
def nvrtc() -> Nvrtc:
    """Return the compiler of the first of `LIBRARIES` that loads, from NVIDIA's packages or from
    the system; raises `BackendUnavailable`, which says what to install."""
    for name in LIBRARIES:
        for path in (*_from_packages(name), name):
            try:
                _load_builtins(Path(path))
                return Nvrtc(ctypes.CDLL(path))
            except (OSError, AttributeError):
                continue
    raise BackendUnavailable(MISSING)


def _load_builtins(library: Path) -> None:
    """Load the second library of a package first: `library` loads it by its bare name, which the
    linker does not find in the package for CUDA 13."""
    for path in library.parent.glob("libnvrtc-builtins.so.*") if library.is_absolute() else ():
        ctypes.CDLL(str(path))


def _from_packages(name: str) -> list[str]:
    """Return the library's paths in NVIDIA's packages: cuda_nvrtc for CUDA 12, cu13 for 13."""
    try:
        found = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        return []
    places = found.submodule_search_locations if found else None
    return [
        str(path) for place in places or () for path in sorted(Path(place).glob(f"*/lib/{name}"))
    ]

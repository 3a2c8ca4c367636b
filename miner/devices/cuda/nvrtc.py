"""NVIDIA's run-time compiler, called in this process: CUDA text to machine code, no GPU needed."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.devices.buildlog import write_build_log
from miner.errors import BackendUnavailable, BadValue, BuildFailed

LIBRARIES = ("libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so")
"""12 first: 13 no longer knows the GTX 10 series."""

ROOMIER = ("--define-macro=GROUPS_AT_ONCE=3",)
"""Three groups of 256 threads at once: 80 registers for each thread instead of 64. A kernel that
does not fit 64 runs three groups at once in any case."""

MISSING = "NVRTC, NVIDIA's run-time compiler, is not installed: pip install nvidia-cuda-nvrtc-cu12"


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture, with what the assembler said of it."""

    code: bytes
    """An ELF file."""
    registers: int
    """Of one thread."""
    spilled: int
    """Bytes of registers' contents that go through memory, stores and loads together."""
    warnings: tuple[str, ...] = ()
    """What the compiler would have otherwise; that an architecture grows old is none of them."""


class Nvrtc:
    """The compiler's library; any thread may compile, several at a time."""

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
        """What it makes machine code for, e.g. "sm_86", older ones first."""

    def compile(self, source: KernelSource, architecture: str) -> Cubin:
        """Return `source` as machine code. Where a thread's registers do not suffice, it is
        compiled once more with more of them for each thread.

        Raises `BadValue` for an architecture that it does not know, `BuildFailed` with the file
        that keeps text and log.
        """
        self._known(architecture)
        cubin = self._compiled(source, architecture, ())
        if cubin.spilled:
            roomier = self._compiled(source, architecture, ROOMIER)
            cubin = min(cubin, roomier, key=lambda made: made.spilled)
        return cubin

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return `source` as text for the driver's own compiler, written for the virtual
        architecture of `architecture`, e.g. "sm_90"; newer cards take it too.

        Raises as `compile` does.
        """
        self._known(architecture)
        options = (f"--gpu-architecture={architecture.replace('sm_', 'compute_')}", *source.options)
        with self._program(source, options) as (program, log):
            text = self._bytes("nvrtcGetPTX", program)
        if f".entry {source.entry}(".encode() not in text:
            raise _failed(source, f"it holds no kernel {source.entry!r}", log)
        return text

    def _known(self, architecture: str) -> None:
        if architecture not in self.architectures:
            known = ", ".join(self.architectures)
            raise BadValue("architecture", f"{architecture!r} is none of this NVRTC's: {known}")

    def _compiled(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = (
            f"--gpu-architecture={architecture}", *source.options, *more, "--ptxas-options=-v",
        )  # fmt: skip
        with self._program(source, options) as (program, log):
            return self._cubin(program, source, log)

    @contextmanager
    def _program(
        self, source: KernelSource, options: tuple[str, ...]
    ) -> Iterator[tuple[ctypes.c_void_p, str]]:
        """Give the compiled program with its log."""
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
                raise _failed(source, self._said(status), log)
            yield program, log
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))

    def _cubin(self, program: ctypes.c_void_p, source: KernelSource, log: str) -> Cubin:
        if f"entry function '{source.entry}'" not in log:
            raise _failed(source, f"it holds no kernel {source.entry!r}", log)
        registers = re.search(r"Used (\d+) registers", log)
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        if registers is None or len(spills) != 2:
            raise _failed(source, "the assembler did not say what it used", log)
        code = self._bytes("nvrtcGetCUBIN", program)
        warnings = tuple(
            line for line in log.splitlines()
            if "warning" in line.lower() and "deprecated" not in line
        )  # fmt: skip
        return Cubin(code, int(registers[1]), sum(map(int, spills)), warnings)

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
            raise BuildFailed(f"NVRTC: {name} failed: {self._said(status)}")

    def _said(self, status: int) -> str:
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p
        return str(self._library.nvrtcGetErrorString(status).decode())


def _failed(source: KernelSource, reason: str, log: str) -> BuildFailed:
    path = write_build_log(source, log)
    return BuildFailed(f"{source.title} does not compile (NVRTC: {reason}); log and source: {path}")


@lru_cache(maxsize=1)
def nvrtc() -> Nvrtc:
    """Return the compiler: of the first of `LIBRARIES` that is there, in PyPI's package or in the
    system.

    Raises `BackendUnavailable` with what to install.
    """
    for name in LIBRARIES:
        for path in (*_from_package(name), name):
            try:
                _load_builtins(Path(path))
                return Nvrtc(ctypes.CDLL(path))
            except (OSError, AttributeError):
                continue
    raise BackendUnavailable(MISSING)


def _load_builtins(library: Path) -> None:
    """Load what `library` asks for by name alone, and of itself finds in no package of 13."""
    for path in library.parent.glob("libnvrtc-builtins.so.*") if library.is_absolute() else ():
        ctypes.CDLL(str(path))


def _from_package(name: str) -> list[str]:
    """Return the libraries of NVIDIA's packages: cuda_nvrtc for CUDA 12, cu13 for 13."""
    try:
        found = importlib.util.find_spec("nvidia")
    except (ImportError, ValueError):
        return []
    places = found.submodule_search_locations if found else None
    return [
        str(path) for place in places or () for path in sorted(Path(place).glob(f"*/lib/{name}"))
    ]

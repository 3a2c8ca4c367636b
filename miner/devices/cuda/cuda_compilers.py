"""The compilers of CUDA text: NVRTC, or else the nvcc of an installed toolkit."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from miner.codegen.kernel_source import KernelSource
from miner.devices.build_log import write_build_log
from miner.errors import BackendUnavailable, BadValue, BuildFailed

ROOMIER = ("--define-macro=ROOMIER",)
"""Three groups of 256 threads at once, unless the shape sets the number: 80 registers for each
thread instead of 64. A kernel that needs more than 64 runs three groups at once in any case."""


@dataclass(frozen=True, slots=True)
class Cubin:
    """Machine code for one architecture, with what the assembler reported."""

    code: bytes
    """An ELF file."""
    registers: int
    """Registers of one thread."""
    spilled: int
    """Bytes of registers that are kept in memory, stores and loads together."""
    warnings: tuple[str, ...] = ()
    """Warnings of the compiler, without those about deprecated architectures."""

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
    """Architectures that it makes machine code for, as in "sm_86", older ones first."""

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


def _target(architecture: str, *, virtual: bool = False) -> str:
    """Return the option for "sm_86", or for its virtual architecture, "compute_86"."""
    name = architecture.replace("sm_", "compute_") if virtual else architecture
    return f"--gpu-architecture={name}"


def _failed(compiler: str, source: KernelSource, reason: str, log: str) -> BuildFailed:
    path = write_build_log(source, log)
    return BuildFailed(
        f"{source.title} does not compile ({compiler}: {reason}); log and source: {path}"
    )


def cuda_compiler() -> CudaCompiler:
    """Return NVRTC, or else nvcc; raises `BackendUnavailable`, which says how to install NVRTC."""
    try:
        return nvrtc()
    except BackendUnavailable as missing:
        try:
            return nvcc()
        except BackendUnavailable:
            raise missing from None


LIBRARIES = ("libnvrtc.so.12", "libnvrtc.so.13", "libnvrtc.so")
"""12 first: 13 does not support the GTX 10 series."""

MISSING = "NVRTC, NVIDIA's run-time compiler, is not installed: pip install nvidia-cuda-nvrtc-cu12"


class Nvrtc(CudaCompiler):
    """NVIDIA's run-time compiler in `library`, called in this process; needs no GPU."""

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
        with self._program(source, (_target(architecture, virtual=True),)) as (program, log):
            text = self._bytes("nvrtcGetPTX", program)
        if f".entry {source.entry}(".encode() not in text:
            raise _failed("NVRTC", source, f"it has no kernel {source.entry!r}", log)
        return text

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = (_target(architecture), *more, "--ptxas-options=-v")
        with self._program(source, options) as (program, log):
            if f"entry function '{source.entry}'" not in log:
                raise _failed("NVRTC", source, f"it has no kernel {source.entry!r}", log)
            if not re.search(r"Used \d+ registers", log) or log.count(" bytes spill ") != 2:
                raise _failed("NVRTC", source, "the assembler did not report its registers", log)
            return Cubin.reported(self._bytes("nvrtcGetCUBIN", program), log)

    @contextmanager
    def _program(
        self, source: KernelSource, options: tuple[str, ...]
    ) -> Iterator[tuple[ctypes.c_void_p, str]]:
        """Compile; give the program and its log, then destroy the program."""
        options = (*options, *source.options)
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
                raise _failed("NVRTC", source, self._status_name(status), log)
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


BUILD_SECONDS = 120.0


class Nvcc(CudaCompiler):
    """The `command` of a CUDA toolkit; raises `BackendUnavailable` when it does not report its
    version."""

    def __init__(self, command: str) -> None:
        self._command = command
        version = re.search(r"release (\d+)\.(\d+)", self._run("--version").stdout)
        if version is None:
            raise BackendUnavailable(f"{command} does not report its version")
        self.version = (int(version[1]), int(version[2]))
        self.name = f"nvcc {version[1]}.{version[2]}"
        found = re.findall(r"sm_(\d+)\b", self._run("--list-gpu-code").stdout)
        self.architectures = tuple(f"sm_{n}" for n in sorted({int(n) for n in found}))

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return PTX, with the zero byte up to which the driver reads."""
        self.check(architecture)
        return self._built(source, ("--ptx", _target(architecture, virtual=True)))[0] + b"\0"

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = ("--cubin", _target(architecture), *more, "--ptxas-options=-v")
        return Cubin.reported(*self._built(source, options))

    def _built(self, source: KernelSource, options: tuple[str, ...]) -> tuple[bytes, str]:
        """Return (code, log)."""
        try:
            with tempfile.TemporaryDirectory(prefix="progpow-miner-") as folder:
                text, out = Path(folder) / "kernel.cu", Path(folder) / "kernel.out"
                text.write_text(source.text, encoding="utf-8")
                done = self._run(*options, *source.options, f"--output-file={out}", str(text))
                log = done.stdout + done.stderr
                if done.returncode or not out.exists():
                    raise _failed("nvcc", source, f"exit code {done.returncode}", log)
                return out.read_bytes(), log
        except subprocess.TimeoutExpired as error:
            reason = f"stopped after {BUILD_SECONDS:.0f} s"
            raise _failed("nvcc", source, reason, f"nvcc: {reason}") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise _failed("nvcc", source, reason, f"nvcc: {error}") from error

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._command, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=BUILD_SECONDS,
            check=False,
        )


@lru_cache(maxsize=1)
def nvcc() -> Nvcc:
    """Return the nvcc of `CUDA_HOME`, `CUDA_PATH`, `PATH` or /usr/local/cuda, the first one that
    exists; raises `BackendUnavailable`."""
    homes = [os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")]
    places = [f"{home}/bin" for home in homes if home]
    places += [os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"]
    command = shutil.which("nvcc", path=os.pathsep.join(places))
    if command is None:
        raise BackendUnavailable("nvcc is not installed")
    try:
        return Nvcc(command)
    except (OSError, subprocess.SubprocessError) as error:
        raise BackendUnavailable(f"{command} does not run: {error}") from error

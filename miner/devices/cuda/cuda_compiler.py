"""CUDA source text to cubins: NVRTC first, else nvcc, with a cache on disk."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from miner.codegen.kernel_source import KernelSource
from miner.devices.buildlog import write_build_log
from miner.devices.cuda.cuda_driver import cuda_version, driver_text, needed_release
from miner.devices.cuda.nvrtc import ROOMIER, Cubin, nvrtc
from miner.errors import BackendUnavailable, BuildFailed
from miner.resources import cache_directory

LIMIT_BYTES = 256 << 20
"""Of all files; what was not used for the longest time goes first."""

_DIGEST_BYTES = 32

_LEFT_SECONDS = 3600.0
"""After which a file that was being written belongs to a process that was killed."""


class CubinCache:
    """Files under `folder`, each behind its own digest; any thread may use it.

    A file that is not whole is as good as none, and so is a folder that cannot be written to.
    """

    def __init__(self, folder: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        self._given, self._limit = folder, limit

    @property
    def folder(self) -> Path:
        return self._given or cache_directory() / "cubins"

    def get(self, key: str) -> bytes | None:
        """Return the code kept under `key`, and note that it was used; None where there is none."""
        path = self._path(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        code = content[_DIGEST_BYTES:]
        if not code or _digest(key, code) != content[:_DIGEST_BYTES]:
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):  # a cache that can only be read still serves
            os.utime(path)
        return code

    def put(self, key: str, code: bytes) -> None:
        """Keep `code`, unless the disk will not."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, prefix=".", suffix=".tmp")
            temporary = Path(name)
            self._sweep(temporary.stat().st_mtime - _LEFT_SECONDS)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_digest(key, code) + code)
                temporary.replace(self._path(key))
            finally:
                temporary.unlink(missing_ok=True)
            self._evict()

    def drop(self, key: str) -> None:
        """Keep nothing under `key` any more."""
        with suppress(OSError):
            self._path(key).unlink()

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}.cubin"

    def _sweep(self, before: float) -> None:
        for path in self.folder.glob(".*.tmp"):
            with suppress(OSError):  # another process may have been faster
                if path.stat().st_mtime < before:
                    path.unlink()

    def _evict(self) -> None:
        found = []
        for path in self.folder.glob("*.cubin"):
            with suppress(OSError):  # another process may have been faster
                state = path.stat()
                found.append((state.st_mtime_ns, state.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                return
            path.unlink(missing_ok=True)
            total -= size


def _digest(key: str, code: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + code).digest()


BUILD_SECONDS = 120.0


class Nvcc:
    """A command that compiles; any thread may call it, several at a time."""

    def __init__(self, command: str) -> None:
        self._command = command
        said = self._run("--version").stdout
        version = re.search(r"release (\d+)\.(\d+)", said)
        if version is None:
            raise BackendUnavailable(f"{command} does not say its version")
        self.version = (int(version[1]), int(version[2]))
        self.name = f"nvcc {version[1]}.{version[2]}"
        found = re.findall(r"sm_(\d+)\b", self._run("--list-gpu-code").stdout)
        self.architectures = tuple(f"sm_{n}" for n in sorted({int(n) for n in found}))
        """What it makes machine code for, older ones first."""

    def compile(self, source: KernelSource, architecture: str) -> Cubin:
        """Return `source` as machine code, as `Nvrtc.compile` does; raises `BuildFailed`."""
        cubin = self._cubin(source, architecture, ())
        if cubin.spilled:
            roomier = self._cubin(source, architecture, ROOMIER)
            cubin = min(cubin, roomier, key=lambda made: made.spilled)
        return cubin

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return `source` as text for the driver's own compiler; raises `BuildFailed`."""
        virtual = architecture.replace("sm_", "compute_")
        # The driver reads up to a zero byte.
        return self._made(source, ("--ptx", f"--gpu-architecture={virtual}"))[0] + b"\0"

    def _cubin(self, source: KernelSource, architecture: str, more: tuple[str, ...]) -> Cubin:
        options = ("--cubin", f"--gpu-architecture={architecture}", *more, "--ptxas-options=-v")
        code, log = self._made(source, options)
        registers = re.search(r"Used (\d+) registers", log)
        spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", log)
        return Cubin(code, int(registers[1]) if registers else 0, sum(map(int, spills)))

    def _made(self, source: KernelSource, options: tuple[str, ...]) -> tuple[bytes, str]:
        with tempfile.TemporaryDirectory(prefix="progpow-miner-") as folder:
            text, out = Path(folder) / "kernel.cu", Path(folder) / "kernel.out"
            text.write_text(source.text, encoding="utf-8")
            given = [*options, *source.options, f"--output-file={out}", str(text)]
            try:
                done = self._run(*given)
            except subprocess.TimeoutExpired as error:
                path = write_build_log(source, f"nvcc was stopped after {BUILD_SECONDS:.0f} s")
                raise BuildFailed(
                    f"{source.title} does not compile (nvcc: not within {BUILD_SECONDS:.0f} s); "
                    f"log and source: {path}"
                ) from error
            log = done.stdout + done.stderr
            if done.returncode or not out.exists():
                path = write_build_log(source, log)
                raise BuildFailed(
                    f"{source.title} does not compile (nvcc: exit code {done.returncode}); "
                    f"log and source: {path}"
                )
            return out.read_bytes(), log

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
    """Return the command of `CUDA_HOME`, else of the path; raises `BackendUnavailable`."""
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


class Compiler(Protocol):
    """What NVRTC and nvcc have in common."""

    name: str
    """As in "NVRTC 12.9"."""
    version: tuple[int, int]
    architectures: tuple[str, ...]
    """What it makes machine code for, older ones first."""

    def compile(self, source: KernelSource, architecture: str) -> Cubin:
        """Return machine code; raises `BuildFailed`."""

    def ptx(self, source: KernelSource, architecture: str) -> bytes:
        """Return text for the driver's own compiler; raises `BuildFailed`."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is compiled for: a card's own architecture, or an older one as PTX."""

    architecture: str
    """As in "sm_86"."""
    is_ptx: bool = False


def compiler() -> Compiler:
    """Return NVRTC, else nvcc; raises `BackendUnavailable` with what to install."""
    try:
        return nvrtc()
    except BackendUnavailable as missing:
        try:
            return nvcc()
        except BackendUnavailable:
            raise missing from None


def target_of(capability: tuple[int, int], made_for: Compiler) -> Target:
    """Return what `made_for` compiles for a card of this compute capability.

    A card that is newer than the compiler gets PTX of the newest architecture before it, and the
    driver compiles that. Raises `BackendUnavailable` for a card that is too old.
    """
    wanted = capability[0] * 10 + capability[1]
    known = sorted(int(name.removeprefix("sm_")) for name in made_for.architectures)
    if wanted in known:
        return Target(f"sm_{wanted}")
    older = [number for number in known if number < wanted]
    if not older:
        raise BackendUnavailable(
            f"{made_for.name} makes programs for sm_{known[0]} and newer, the card is "
            f"sm_{wanted}: pip install nvidia-cuda-nvrtc-cu12, which still knows the GTX 9 and 10 "
            "series"
        )
    return Target(f"sm_{older[-1]}", is_ptx=True)


def _key(source: KernelSource, target: Target, made_for: Compiler) -> str:
    """What decides the compiled bytes."""
    return "\n".join(
        (source.sha256, target.architecture, str(target.is_ptx), made_for.name, *ROOMIER)
    )


class Builds:
    """Compiles for cards of one compute capability; any thread may ask."""

    def __init__(self, capability: tuple[int, int], cache: CubinCache | None = None) -> None:
        self._capability = capability
        self._cache = cache or CubinCache()
        self._lock = threading.Lock()
        self._noted = False

    def build(self, source: KernelSource) -> bytes:
        """Return what the driver loads, from the cache where it is there.

        Raises `BuildFailed` with the file that keeps the log, and `BackendUnavailable` where there
        is no compiler for this card, or none that this driver is new enough for.
        """
        made_for = compiler()
        if made_for.version[0] > cuda_version()[0] > 0:
            raise BackendUnavailable(
                f"{driver_text()} is older than {made_for.name}: install "
                f"{needed_release(made_for.version[0])}"
                + (", or nvidia-cuda-nvrtc-cu12" if made_for.version[0] > 12 else "")
            )
        target = target_of(self._capability, made_for)
        key = _key(source, target, made_for)
        code = self._cache.get(key)
        if code is None:
            code = self._compiled(made_for, source, target)
            self._cache.put(key, code)
        return code

    def discard(self, source: KernelSource) -> None:
        """Have `source` compiled anew the next time; raises as `build` does."""
        made_for = compiler()
        self._cache.drop(_key(source, target_of(self._capability, made_for), made_for))

    def _compiled(self, made_for: Compiler, source: KernelSource, target: Target) -> bytes:
        if not target.is_ptx:
            return made_for.compile(source, target.architecture).code
        self._note(made_for, source, target)
        return made_for.ptx(source, target.architecture)

    def _note(self, made_for: Compiler, source: KernelSource, target: Target) -> None:
        """Leave word once: such a card runs, but not as well as it could."""
        with self._lock:
            noted, self._noted = self._noted, True
        if not noted:
            major, minor = self._capability
            write_build_log(
                source,
                f"The card (sm_{major}{minor}) is newer than {made_for.name}, which knows "
                f"{made_for.architectures[-1]} at most: the driver compiles PTX of "
                f"{target.architecture}. A newer nvidia-cuda-nvrtc may make better code.",
            )

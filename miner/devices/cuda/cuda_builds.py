"""Compiled CUDA programs for one kind of card, with a cache on disk."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

from miner.cached_files import CheckedFiles
from miner.codegen.kernel_source import KernelSource
from miner.devices.build_log import write_build_log
from miner.devices.cuda.cuda_compilers import ROOMIER, CudaCompiler, cuda_compiler
from miner.devices.cuda.cuda_driver import cuda_version, driver_text, needed_release
from miner.errors import BackendUnavailable
from miner.resources import cache_directory


@dataclass(frozen=True, slots=True)
class Target:
    """The form in which a card gets its programs: machine code, or PTX of an older architecture."""

    architecture: str
    """As in "sm_86"."""
    is_ptx: bool = False


class Builds:
    """Compiles for cards of one compute capability; any thread may call it."""

    def __init__(self, capability: tuple[int, int], cache: CubinCache | None = None) -> None:
        self._capability = capability
        self._cache = cache or CubinCache()
        self._lock = threading.Lock()
        self._noted = False

    def build(self, source: KernelSource) -> bytes:
        """Return what the driver loads, from the cache or compiled now.

        Raises `BuildFailed`, which names the file with the log, and `BackendUnavailable` when there
        is no compiler for this card, or none that this driver is new enough for.
        """
        compiler = cuda_compiler()
        if compiler.version[0] > cuda_version()[0] > 0:
            raise BackendUnavailable(
                f"{driver_text()} is older than {compiler.name}: install "
                f"{needed_release(compiler.version[0])}"
                + (", or nvidia-cuda-nvrtc-cu12" if compiler.version[0] > 12 else "")
            )
        target = target_of(self._capability, compiler)
        key = _key(source, target, compiler)
        code = self._cache.get(key)
        if code is None:
            code = self._compiled(compiler, source, target)
            self._cache.put(key, code)
        return code

    def discard(self, source: KernelSource) -> None:
        """Remove `source` from the cache, so that the next build compiles it; raises as `build`."""
        compiler = cuda_compiler()
        self._cache.drop(_key(source, target_of(self._capability, compiler), compiler))

    def _compiled(self, compiler: CudaCompiler, source: KernelSource, target: Target) -> bytes:
        if not target.is_ptx:
            return compiler.compile(source, target.architecture).code
        self._note_ptx(compiler, source, target)
        return compiler.ptx(source, target.architecture)

    def _note_ptx(self, compiler: CudaCompiler, source: KernelSource, target: Target) -> None:
        """Write one build log: the card runs, but maybe not at its best."""
        with self._lock:
            noted, self._noted = self._noted, True
        if not noted:
            major, minor = self._capability
            write_build_log(
                source,
                f"The card (sm_{major}{minor}) is newer than {compiler.name}, whose newest "
                f"architecture is {compiler.architectures[-1]}: the driver compiles PTX of "
                f"{target.architecture}. A newer nvidia-cuda-nvrtc may make better code.",
            )


def target_of(capability: tuple[int, int], compiler: CudaCompiler) -> Target:
    """Return what `compiler` compiles for a card of this compute capability.

    A card newer than the compiler gets PTX of the newest architecture before its own. Raises
    `BackendUnavailable` for a card that is too old.
    """
    wanted = capability[0] * 10 + capability[1]
    known = sorted(int(name.removeprefix("sm_")) for name in compiler.architectures)
    if wanted in known:
        return Target(f"sm_{wanted}")
    older = [number for number in known if number < wanted]
    if not older:
        raise BackendUnavailable(
            f"{compiler.name} compiles for sm_{known[0]} and newer, the card is sm_{wanted}: "
            "pip install nvidia-cuda-nvrtc-cu12, which supports the GTX 9 and 10 series"
        )
    return Target(f"sm_{older[-1]}", is_ptx=True)


def _key(source: KernelSource, target: Target, compiler: CudaCompiler) -> str:
    """Return everything that decides the compiled bytes."""
    return "\n".join(
        (source.sha256, target.architecture, str(target.is_ptx), compiler.name, *ROOMIER)
    )


LIMIT_BYTES = 256 << 20


class CubinCache(CheckedFiles):
    """Compiled programs, the least recently used beyond `limit` bytes deleted."""

    def __init__(self, folder: Path | None = None, limit: int = LIMIT_BYTES) -> None:
        super().__init__(folder or cache_directory() / "cubins", ".cubin", limit)

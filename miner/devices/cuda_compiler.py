"""From CUDA text to what one card's driver loads: the compiler, the target, the cache."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Protocol

from miner.codegen.source import Source
from miner.devices.buildlog import write_build_log
from miner.devices.cuda_cubins import CubinCache
from miner.devices.cuda_driver import cuda_version, driver_text, needed_release
from miner.devices.cuda_nvcc import nvcc
from miner.devices.nvrtc import ROOMIER, Cubin, nvrtc
from miner.errors import BackendUnavailable


class Compiler(Protocol):
    """What NVRTC and nvcc have in common."""

    name: str
    """As in "NVRTC 12.9"."""
    version: tuple[int, int]
    architectures: tuple[str, ...]
    """What it makes machine code for, older ones first."""

    def compile(self, source: Source, architecture: str) -> Cubin:
        """Return machine code; raises `BuildFailed`."""

    def ptx(self, source: Source, architecture: str) -> bytes:
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


def _key(source: Source, target: Target, made_for: Compiler) -> str:
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

    def build(self, source: Source) -> bytes:
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

    def discard(self, source: Source) -> None:
        """Have `source` compiled anew the next time; raises as `build` does."""
        made_for = compiler()
        self._cache.drop(_key(source, target_of(self._capability, made_for), made_for))

    def _compiled(self, made_for: Compiler, source: Source, target: Target) -> bytes:
        if not target.is_ptx:
            return made_for.compile(source, target.architecture).code
        self._note(made_for, source, target)
        return made_for.ptx(source, target.architecture)

    def _note(self, made_for: Compiler, source: Source, target: Target) -> None:
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

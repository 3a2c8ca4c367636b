"""Launch shapes that were measured on a device, kept on disk for later runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path

from miner.cached_files import CheckedFiles
from miner.codegen.kernel_source import search_source
from miner.codegen.launch_shape import SHAPES, shape_named
from miner.devices.backend import Backend
from miner.errors import BadValue
from miner.progpow.variant import Variant
from miner.resources import cache_directory
from miner.work import DeviceInfo

LIMIT_BYTES = 1 << 20

SHARED_STREAM = "@1"
"""The device's own shape on one stream."""

_OF_CUDA = ("gpu-hbm", "gpu-hbm-wide", "gpu-hbm-small")
"""Shapes of CUDA beside `gpu` and `gpu-128`; shapes that differ in the exchange are alike there."""

_OF_VENDORS = {
    "amd": ("gpu-amd", "gpu-gcn", "gpu-rdna"),
    "intel": ("gpu-intel", "gpu-subgroups"),
}
"""Shapes of OpenCL GPUs beside `gpu` and `gpu-128`."""


def shapes_to_try(info: DeviceInfo, backend: Backend) -> list[str]:
    """Return the names of the shapes that may suit a device, as `shape_beside` takes them; empty
    for one without a compiler."""
    if backend.dialect is None:
        return []
    if info.kind == "cpu":
        return [name for name, shape in SHAPES.items() if shape.family == "vector"]
    if backend.dialect == "cuda":
        return ["gpu", "gpu-128", *_OF_CUDA, SHARED_STREAM]
    others = _OF_VENDORS.get(info.vendor, ("gpu-subgroups",))
    return ["gpu", "gpu-128", *others, SHARED_STREAM]


class ChosenBy(StrEnum):
    """The figure by which a launch shape is chosen."""

    HASHRATE = "hashrate"
    EFFICIENCY = "efficiency"
    """Hashes per joule."""


@dataclass(frozen=True, slots=True)
class TunedShape:
    """The best shape on a device, and how much better it was than the default one."""

    shape: str
    default: str
    ratio: float
    """Hashrate, or hashes per joule, relative to that of `default`; 1 if `default` is the best."""
    low: float
    """Bounds of the ratio's 95 % interval."""
    high: float
    by: ChosenBy = ChosenBy.HASHRATE

    @property
    def sentence(self) -> str:
        if self.by == ChosenBy.EFFICIENCY:
            best, better, how = "most efficient", "as efficient", "`tune --by efficiency`"
        else:
            best, better, how = "fastest", "as fast", "`tune` or `--autotune`"
        if self.shape == self.default:
            return f"launch shape {self.shape}, the {best} by {how}"
        return (
            f"launch shape {self.shape}, {self.ratio:.3f} times {better} as {self.default} "
            f"(measured by {how})"
        )


class TunedShapes:
    """The shapes on disk. Each is for one model, driver, variant and kernel source: after a change
    of any of them it is not found."""

    def __init__(self, folder: Path | None = None) -> None:
        self._files = CheckedFiles(folder or cache_directory() / "shapes", ".json", LIMIT_BYTES)

    def get(self, info: DeviceInfo, backend: Backend, variant: Variant) -> TunedShape | None:
        """Return what was measured on devices like `info`; None: nothing."""
        tried = shapes_to_try(info, backend)
        content = self._files.get(_key(info, backend, variant, tried)) if tried else None
        if content is None:
            return None
        try:
            tuned = TunedShape(**json.loads(content))
            shape_named(tuned.shape)
            tuned = replace(tuned, by=ChosenBy(tuned.by))
        except (ValueError, TypeError, BadValue):  # of another version
            return None
        return tuned

    def put(self, info: DeviceInfo, backend: Backend, variant: Variant, tuned: TunedShape) -> None:
        """Keep `tuned` for devices like `info`."""
        key = _key(info, backend, variant, shapes_to_try(info, backend))
        self._files.put(key, json.dumps(asdict(tuned)).encode())


def _key(info: DeviceInfo, backend: Backend, variant: Variant, tried: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for name in tried:
        if name == SHARED_STREAM:  # another shape has the same source
            continue
        source = search_source(variant, 0, variant.epoch_at(0), backend.dialect, shape_named(name))
        digest.update(f"{name} {source.sha256}\n".encode())
    parts = (backend.name, info.model, info.driver, str(info.units), variant.name)
    return "\n".join((*parts, digest.hexdigest()))

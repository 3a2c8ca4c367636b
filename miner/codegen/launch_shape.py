"""Launch shapes: how hashes are distributed over a device's threads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miner.errors import BadValue


@dataclass(frozen=True, slots=True)
class LaunchShape:
    """One way to run a kernel.

    `family` selects the kernel text. "lanes" computes a hash with 16 threads, "vector" computes
    `hashes_per_thread` hashes in one thread, in vectors of 16 lanes.
    """

    name: str
    family: str
    threads: int
    """Per group."""
    hashes_per_thread: int = 1
    subgroups: bool = False
    """Whether lanes exchange words by sub-group shuffles instead of local memory."""
    buffers: int = 1
    """Buffers that the dataset is split into: 1, 2 or 4."""

    @property
    def nonces_per_group(self) -> int:
        return self.threads * self.hashes_per_thread

    def split(self, buffers: int) -> LaunchShape:
        """Return this shape for a dataset in `buffers` buffers."""
        if buffers not in (1, 2, 4):
            raise BadValue("buffers", f"{buffers} is not 1, 2 or 4")
        base = self.name.split("/")[0]
        name = base if buffers == 1 else f"{base}/{buffers}"
        return replace(self, name=name, buffers=buffers)


SHAPES = {
    shape.name: shape
    for shape in (
        LaunchShape("gpu", "lanes", threads=256),
        LaunchShape("gpu-128", "lanes", threads=128),
        LaunchShape("gpu-subgroups", "lanes", threads=256, subgroups=True),
        LaunchShape("cpu", "vector", threads=1, hashes_per_thread=2),
        LaunchShape("cpu-1", "vector", threads=1, hashes_per_thread=1),
    )
}
"""Shapes by name; "NAME/2" and "NAME/4" split the dataset into 2 or 4 buffers."""


def shape_named(name: str) -> LaunchShape:
    """Return the shape `name`, e.g. "gpu" or "cpu/2"; raises `BadValue` for any other."""
    base, _, count = name.partition("/")
    if base not in SHAPES or (count and count not in ("2", "4")):
        known = ", ".join(SHAPES)
        raise BadValue("shape", f"{name!r} is none of {known}, each also with /2 or /4")
    return SHAPES[base].split(int(count or 1))

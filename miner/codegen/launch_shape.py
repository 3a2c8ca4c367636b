"""Launch shapes: how hashes are distributed over a device's threads."""

from __future__ import annotations

from dataclasses import dataclass, replace

from miner.errors import BadValue, did_you_mean
from miner.progpow.variant import L1_WORDS, LANES

BUFFER_COUNTS = (1, 2, 4, 8, 16)
"""A dataset of 15 GB needs 8 buffers where a driver allocates at most 2 GiB at once."""

STREAM_COUNTS = (1, 2)

PARKED_WORDS = 16
"""Words that each thread parks: the digest of the first Keccak, and the mix hash."""


@dataclass(frozen=True, slots=True)
class LaunchShape:
    """One way to run a kernel.

    `family` selects the kernel text. "lanes" computes a hash with 16 threads, "vector" computes
    `hashes_per_thread` hashes in one thread, in vectors of 16 lanes.
    """

    name: str
    family: str
    threads: int
    """Threads of a group."""
    hashes_per_thread: int = 1
    exchange: str = "local"
    """How lanes exchange words in OpenCL C, a name in `miner.codegen.language.EXCHANGES`; CUDA C++
    has one way, shuffles."""
    waves: int = 0
    """Waves per SIMD that AMD's compiler is to leave registers for. 0: its own choice."""
    lanes: int = 1
    """Lanes that one thread computes, of the 16 of a hash: 1, 2 or 4."""
    copies: int = 1
    """Copies of the L1 cache, each in separate memory banks: 1, 2, 4 or 8."""
    groups: int = 0
    """Groups that must fit on a multiprocessor (CUDA): fewer leave more registers to each thread.
    0: the compiler's choice."""
    parked: bool = False
    """Whether the digest and the mix hash wait in shared memory, not in registers."""
    ordered: bool = False
    """Whether a loop must begin with the request for a dataset row, and end with its use."""
    multiplied: bool = False
    """Whether L1 addresses are computed by multiplications, in NVIDIA's FMA units, in place of
    masks and shifts."""
    buffers: int = 1
    """Buffers that the dataset is split into, one of `BUFFER_COUNTS`."""
    streams: int = 2
    """Streams (CUDA) or queues (OpenCL) of launches, one of `STREAM_COUNTS`. Two launches are in
    flight with either. On two streams they overlap: the groups of one fill what the last groups
    of the other leave. On one, the second launch waits for the end of the first."""

    @property
    def nonces_per_group(self) -> int:
        return self.threads * self.hashes_per_thread

    @property
    def peers(self) -> int:
        """Threads that compute one hash together; only for the family "lanes"."""
        return LANES // self.lanes

    @property
    def shared_words(self) -> int:
        """Words of shared memory (OpenCL: local memory) of a group: the copies of the cache, and
        the parked words."""
        if self.family != "lanes":
            return 0
        return L1_WORDS * self.copies + (PARKED_WORDS * self.threads if self.parked else 0)

    @property
    def compiled(self) -> LaunchShape:
        """This shape without its name and its streams, which do not change the text of kernels."""
        return replace(self, name="", streams=1)

    @property
    def shared_bytes(self) -> int:
        """Most bytes of shared memory that a group takes."""
        exchanged = 2 * self.threads // self.peers  # by kernels/preludes/exchange_local.h
        return 4 * (self.shared_words + exchanged)

    def split(self, buffers: int) -> LaunchShape:
        """Return this shape for a dataset in `buffers` buffers."""
        if buffers not in BUFFER_COUNTS:
            raise BadValue(
                "buffers", f"{buffers} is not one of {', '.join(map(str, BUFFER_COUNTS))}"
            )
        base = self.name.split("/")[0]
        name = base if buffers == 1 else f"{base}/{buffers}"
        return replace(self, name=name, buffers=buffers)


_HBM = LaunchShape("", "lanes", threads=1024, groups=1, parked=True)
"""For cards with HBM, whose limit is conflicts in shared memory, not the bandwidth: one group per
multiprocessor, with as many copies of the cache as fit."""

SHAPES = {
    shape.name: shape
    for shape in (
        LaunchShape("gpu", "lanes", threads=256),
        LaunchShape("gpu-128", "lanes", threads=128),
        LaunchShape("gpu-subgroups", "lanes", threads=256, exchange="khr-shuffle"),
        LaunchShape("gpu-intel", "lanes", threads=256, exchange="intel-shuffle"),
        LaunchShape("gpu-amd", "lanes", threads=256, exchange="amd-bpermute"),
        LaunchShape("gpu-gcn", "lanes", threads=256, exchange="amd-bpermute", waves=4),
        LaunchShape("gpu-rdna", "lanes", threads=256, exchange="amd-permlane16"),
        replace(_HBM, name="gpu-hbm", copies=8),
        replace(_HBM, name="gpu-hbm-wide", copies=8, lanes=2, threads=640),
        replace(_HBM, name="gpu-hbm-small", copies=4),
        LaunchShape("cpu", "vector", threads=1, hashes_per_thread=2, streams=1),
        LaunchShape("cpu-1", "vector", threads=1, hashes_per_thread=1, streams=1),
    )
}
"""Shapes by name. "NAME@1" and "NAME@2" have as many streams; a suffix "/2" to "/16" splits the
dataset into as many buffers."""


def shape_named(name: str) -> LaunchShape:
    """Return the shape `name`, e.g. "gpu", "gpu@1" or "cpu/2"; raises `BadValue` for any other."""
    rest, _, count = name.partition("/")
    base, _, streams = rest.partition("@")
    counts = [str(n) for n in BUFFER_COUNTS if n > 1]
    if (
        base not in SHAPES
        or (count and count not in counts)
        or (streams and streams not in map(str, STREAM_COUNTS))
    ):
        hint = did_you_mean(base, SHAPES) if base not in SHAPES else ""
        known, others = ", ".join(SHAPES), ", ".join(f"/{n}" for n in counts[:-1])
        raise BadValue(
            "shape",
            f"{name!r} is not one of {known}, each also with @1 or @2, and with {others} or "
            f"/{counts[-1]}{hint}",
        )
    shape = SHAPES[base]
    if streams and int(streams) != shape.streams:
        shape = replace(shape, name=f"{base}@{streams}", streams=int(streams))
    return shape.split(int(count or 1))


def shape_beside(name: str, own: LaunchShape) -> LaunchShape:
    """Return the shape `name`; "@1" and "@2" mean the shape `own` with as many streams. Raises
    `BadValue` as `shape_named`."""
    return shape_named(f"{own.name.split('/')[0].split('@')[0]}{name}" if name[:1] == "@" else name)

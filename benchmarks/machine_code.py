"""Machine code of NVIDIA's GPUs, as far as its speed depends on it.

From Volta on, an instruction has 16 bytes: an opcode, and the control codes that the assembler
chose. An instruction may set one of six scoreboards when its result is written and one when its
operands are read, and it may wait for any of them. So the order of issue can be followed without
decoding operands. The layout was compared with what `nvdisasm` shows for sm_75 to sm_120.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

ALU, FMA, XU, UNIFORM, CACHE, ROW, SHUFFLE, STORE, BARRIER, OTHER = CLASSES = (
    "alu", "fma", "xu", "uniform", "cache", "row", "shuffle", "store", "barrier", "other",
)  # fmt: skip
"""Classes of instructions by the unit that executes them. "cache" reads shared memory, "row" reads
16 bytes of the dataset."""

_BY_OPCODE = {
    **dict.fromkeys((0x20, 0x21, 0x23, 0x24, 0x25, 0x26, 0x27), FMA),  # FMUL FADD FFMA IMAD
    **dict.fromkeys((0x100, 0x101, 0x108, 0x109), XU),  # FLO BREV MUFU POPC
    0x184: CACHE,  # LDS
    0x189: SHUFFLE,
    0x188: STORE,  # STS
    0x11D: BARRIER,
    0x05: OTHER,  # CS2R
}
_LDG, _BRA = 0x181, 0x147
_VECTOR = 6
"""Size of a load of 16 bytes."""

LEAST_CACHE_READS = 5
"""Least reads of the cache in the loop over rows; the loops around it and beside it have fewer."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, without its operands."""

    kind: str
    """One of `CLASSES`."""
    stall: int
    """Cycles before the warp's next instruction."""
    sets: int
    """Scoreboard that is released when the result is written; 7: none."""
    frees: int
    """Scoreboard that is released when the operands were read; 7: none."""
    waits: int
    """Mask of the scoreboards that it waits for."""
    jumps_to: int | None = None
    """Index of a branch's target."""


@dataclass(frozen=True, slots=True)
class SearchLoop:
    """The loop over a hash's lanes, and the loop over dataset rows in it."""

    body: tuple[Instruction, ...]
    first: int
    """Index in `body` at which the loop over rows begins."""
    end: int

    @property
    def rows_loop(self) -> tuple[Instruction, ...]:
        return self.body[self.first : self.end]

    @property
    def counts(self) -> dict[str, int]:
        """Instructions of the loop over rows, by class."""
        counts = Counter(one.kind for one in self.rows_loop)
        return {kind: counts[kind] for kind in CLASSES if counts[kind]}

    @property
    def load_to_use(self) -> int:
        """Instructions from the request for a row to the first one that waits for it."""
        loop = self.rows_loop
        at = next(i for i, one in enumerate(loop) if one.kind == ROW)
        bit = 1 << loop[at].sets
        distances = range(1, len(loop) + 1)
        return next((n for n in distances if loop[(at + n) % len(loop)].waits & bit), len(loop))


def search_loop(cubin: bytes, entry: str = "search") -> SearchLoop:
    """Return the loops of the kernel `entry`; raises `ValueError` where it has none."""
    code = list(instructions(_section(cubin, f".text.{entry}"), _architecture(cubin)))
    loops = [
        (one.jumps_to, end)
        for end, one in enumerate(code, 1)
        if one.jumps_to is not None and one.jumps_to < end - 1
    ]
    over_rows = [
        (first, end) for first, end in loops
        if any(one.kind == ROW for one in code[first:end])
        and sum(one.kind == CACHE for one in code[first:end]) >= LEAST_CACHE_READS
    ]  # fmt: skip
    if not over_rows:
        raise ValueError(f"the kernel {entry!r} has no loop over dataset rows")
    inner, *around = sorted(over_rows, key=lambda loop: loop[1] - loop[0])
    first, end = next((o for o in around if o[0] <= inner[0] and inner[1] <= o[1]), inner)
    return SearchLoop(tuple(code[first:end]), inner[0] - first, inner[1] - first)


def instructions(code: bytes, architecture: int) -> Iterator[Instruction]:
    """Yield the instructions in `code`, a kernel for sm_`architecture`."""
    for index, (low, high) in enumerate(struct.iter_unpack("<QQ", code)):
        opcode, control = low & 0x1FF, high >> 41
        jumps_to = None
        if opcode == _BRA:
            # Words of 4 bytes after the instruction; from Hopper on with eight more bits.
            words = ((high << 64 | low) >> 34) & 0xFFFFFFFFFFFF
            words -= (words & 1 << 47) << 1
            if architecture >= 90:
                words = words << 8 | (low >> 16 & 0xFF)
            jumps_to = index + 1 + words // 4
        yield Instruction(
            _kind(opcode, high), control & 15, control >> 5 & 7, control >> 8 & 7,
            control >> 11 & 63, jumps_to,
        )  # fmt: skip


def _kind(opcode: int, high: int) -> str:
    if opcode == _LDG:
        return ROW if high >> 9 & 7 == _VECTOR else OTHER
    if known := _BY_OPCODE.get(opcode):
        return known
    if opcode < 0x80:
        return ALU
    return UNIFORM if opcode < 0xC0 else OTHER


def _architecture(cubin: bytes) -> int:
    """Return the number in "sm_86": bits 8 to 15 of the ELF flags in newer files, else 0 to 7."""
    abi, flags = cubin[8], struct.unpack_from("<I", cubin, 48)[0]
    return int(flags >> 8 & 0xFF if abi >= 8 else flags & 0xFF)


def _section(cubin: bytes, name: str) -> bytes:
    """Return a section of an ELF file of 64 bits."""
    if cubin[:5] != b"\x7fELF\x02":
        raise ValueError("not a cubin")
    (start,) = struct.unpack_from("<Q", cubin, 40)
    size, count, names = struct.unpack_from("<HHH", cubin, 58)
    headers = [struct.unpack_from("<IIQQQQ", cubin, start + n * size) for n in range(count)]
    strings = headers[names][4]
    for label, _, _, _, offset, length in headers:
        end = cubin.index(b"\0", strings + label)
        if cubin[strings + label : end] == name.encode():
            return cubin[offset : offset + length]
    raise ValueError(f"the cubin has no section {name}")

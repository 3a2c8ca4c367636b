"""A model of one multiprocessor that issues a search kernel's loop by its control codes.

Four schedulers issue at most one instruction each per cycle, in order within a warp: after the
stall that the assembler set, once the scoreboards that it waits for are released and its unit is
free. One pipe per multiprocessor serves shared memory, shuffles and loads; memory has a latency
and the multiprocessor's share of the bandwidth. Not in the model: the two Keccaks (3 % of a hash),
power limits, memory banks, spilled registers. No card has confirmed it yet; simulations
with other random numbers differ by 1.5 % from their mean.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import numba  # noqa: E402
import numpy as np  # noqa: E402
from machine_code import CLASSES, SearchLoop  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from miner.codegen.launch_shape import LaunchShape  # noqa: E402

ROWS_PER_HASH = 64
HASHES_PER_WARP = 2
"""A warp's 32 threads are the lanes of two hashes at a time, if each thread has one lane."""

WARMUP, CYCLES = 8_000, 50_000

REGISTERS = 65536
"""32-bit registers of a multiprocessor; a warp gets them in units of 256."""

CACHE_WORDS, BANKS = 4096, 32


@dataclass(frozen=True, slots=True)
class Card:
    """Figures of a card's data sheet, and two that others measured."""

    name: str
    architecture: str
    units: int
    """Multiprocessors."""
    ghz: float
    gb_per_s: float
    """Bandwidth of random reads of 256 bytes."""
    memory_ns: float
    """Latency of an idle memory."""
    warps: int
    """Most warps on a multiprocessor."""
    shared_kib: int
    groups: int
    """Most groups on a multiprocessor."""
    one_pipe: bool = False
    """Whether all integer operations share one pipe of full width."""
    load_bytes: int = 128
    """Bytes that the pipe for loads takes in a cycle."""

    def fits(self, shape: LaunchShape) -> bool:
        """Return whether a group fits into the shared memory of a multiprocessor."""
        return self.resident(32, shape) > 0

    def resident(self, registers: int, shape: LaunchShape) -> int:
        """Return the number of groups that run at once on a multiprocessor; 0 if none fits."""
        per_warp = -(-registers * 32 // 256) * 256
        warps = shape.threads // 32
        # A fourth of the registers belongs to each scheduler.
        by_registers = REGISTERS // per_warp // 4 * 4 // warps
        reserved = 1024 if self.architecture != "sm_75" else 0
        by_shared = (self.shared_kib << 10) // (shape.shared_words * 4 + reserved)
        return min(self.groups, self.warps // warps, by_registers, by_shared)


CARDS = (
    Card("RTX 2080 Ti", "sm_75", 68, 1.545, 573, 330, 32, 64, 16, load_bytes=64),
    Card("RTX 3070", "sm_86", 46, 1.725, 426, 330, 48, 100, 16),
    Card("RTX 4070", "sm_89", 46, 2.475, 479, 300, 48, 100, 24),
    Card("A100 80 GB", "sm_80", 108, 1.41, 1850, 340, 64, 164, 32),
    Card("H200", "sm_90", 132, 1.98, 4300, 330, 64, 228, 32),
    Card("RTX 5090", "sm_120", 170, 2.41, 1667, 330, 48, 100, 24, one_pipe=True),
)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model gives for a kernel on a card."""

    mhs: float
    """MH/s."""
    issue: float
    """Instructions per cycle and scheduler."""
    pipe: float
    """Share of time in which the pipe for shared memory and loads is busy."""
    memory: float
    """Share of the card's bandwidth that is used."""


def predict(
    loop: SearchLoop,
    card: Card,
    warps: int,
    *,
    lanes: int = 1,
    copies: int = 1,
    cycles: int = CYCLES,
    seed: int = 0,
) -> Prediction:
    """Simulate `warps` warps on a multiprocessor of `card`, with `lanes` lanes of a hash in each
    thread and `copies` copies of the cache."""
    random = np.random.default_rng(seed)
    code = np.array(
        [(CLASSES.index(i.kind), i.stall, i.sets, i.frees, i.waits) for i in loop.body], np.int64
    )
    share = card.gb_per_s / card.ghz / card.units
    rows, issued, busy, read = _simulate(
        code,
        np.array([loop.first, loop.end, ROWS_PER_HASH, warps, cycles, card.one_pipe], np.int64),
        np.array([card.memory_ns * card.ghz, share, 512 / card.load_bytes]),
        bank_conflicts(random, copies),
        1 + random.uniform(-0.25, 0.25, 4096),
        random.integers(0, 1000, (warps, 2)),
    )
    hashes = rows / ROWS_PER_HASH * HASHES_PER_WARP * lanes
    return Prediction(
        float(hashes * card.units * card.ghz * 1e3), issued / 4, busy, float(read / share)
    )


def bank_conflicts(
    random: np.random.Generator, copies: int = 1, samples: int = 4096
) -> NDArray[np.int64]:
    """Return how many cycles the 32 threads of a warp take to read words of the cache at random:
    the most different words in one bank. Thread t reads copy t mod `copies`, every `copies`-th
    word of the memory."""
    words = random.integers(0, CACHE_WORDS, (samples, 32)) * copies + np.arange(32) % copies
    worst = [np.bincount(np.unique(row) % BANKS, minlength=BANKS).max() for row in words]
    return np.array(worst, np.int64)


# Latencies in cycles, from the issue to the release of the scoreboard.
_CACHE, _SHUFFLE, _XU, _UNIFORM, _OTHER = 25, 20, 18, 12, 20
_QUEUED = 8
"""Instructions that a scheduler has waiting for the pipe."""

_ALU_, _FMA_, _XU_, _UNIFORM_, _CACHE_, _ROW_, _SHUFFLE_, _STORE_ = range(8)
"""Positions in `CLASSES`."""


@numba.njit(nogil=True)  # type: ignore[misc]
def _simulate(
    code: Any, counts: Any, memory: Any, conflicts: Any, jitter: Any, starts: Any
) -> tuple[float, float, float, float]:
    """Return per cycle: rows read by warps, instructions, use of the pipe, bytes from memory."""
    first, end, rows_per_turn, warps, cycles, one_pipe = counts
    latency, bandwidth, load_cycles = memory
    at = np.full(warps, first)
    row = starts[:, 1] % rows_per_turn
    ready = starts[:, 0].astype(np.float64)
    boards = np.zeros((warps, 8))
    units = np.zeros((4, 4))  # by scheduler: ALU, FMA, XU, uniform; free from this cycle on
    queue = np.zeros((4, _QUEUED))
    queued = np.zeros(4, np.int64)
    last = np.zeros(4, np.int64)
    pipe = memory_free = 0.0
    rows = issued = draws = 0
    busy = read = 0.0
    for now in range(WARMUP + cycles):
        if now == WARMUP:
            rows = issued = 0
            busy = read = 0.0
        for scheduler in range(4):
            own = (warps - scheduler + 3) // 4
            for turn in range(own):
                which = (last[scheduler] + turn) % own
                warp = scheduler + 4 * which
                if ready[warp] > now:
                    continue
                kind, stall, sets, frees, waits = code[at[warp]]
                held = False
                for board in range(6):
                    held |= waits >> board & 1 and boards[warp, board] > now
                if held:
                    continue
                done = operands_read = float(now)
                if kind <= _UNIFORM_:
                    unit = _ALU_ if one_pipe and kind == _FMA_ else kind
                    if units[scheduler, unit] > now:
                        continue
                    if kind == _XU_:
                        units[scheduler, unit] = now + 8
                        done, operands_read = now + _XU, now + 6
                    elif kind == _UNIFORM_:
                        units[scheduler, unit] = now + 2
                        done = now + _UNIFORM
                    else:
                        units[scheduler, unit] = now + (1 if one_pipe else 2)
                elif kind <= _STORE_:
                    slot = queued[scheduler] % _QUEUED
                    if queue[scheduler, slot] > now:
                        continue
                    draws += 1
                    taken = 1.0
                    if kind == _CACHE_:
                        taken = float(conflicts[draws % len(conflicts)])
                    elif kind == _ROW_:
                        taken = load_cycles
                    begun = max(pipe, now + 4.0)
                    queue[scheduler, slot] = begun
                    queued[scheduler] += 1
                    pipe = operands_read = begun + taken
                    busy += taken
                    if kind == _CACHE_:
                        done = pipe + _CACHE
                    elif kind == _SHUFFLE_:
                        done = pipe + _SHUFFLE
                    elif kind == _ROW_:
                        memory_free = max(memory_free, pipe) + 512 / bandwidth
                        done = memory_free + latency * jitter[draws % len(jitter)]
                        read += 512
                else:
                    done = now + _OTHER
                boards[warp, sets] = max(boards[warp, sets], done)
                boards[warp, frees] = max(boards[warp, frees], operands_read)
                ready[warp] = now + max(stall, 1)
                issued += 1
                at[warp] += 1
                if at[warp] == end:
                    rows += 1
                    row[warp] += 1
                    if row[warp] < rows_per_turn:
                        at[warp] = first
                        ready[warp] += 4
                    else:
                        row[warp] = 0
                if at[warp] == len(code):
                    at[warp] = 0
                last[scheduler] = which
                break
    return rows / cycles, issued / cycles, busy / cycles, read / cycles

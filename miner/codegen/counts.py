"""What a period's program does, counted per loop, lane and hash."""

from __future__ import annotations

from collections import Counter

from miner.progpow.program import CacheRead, Math, program
from miner.progpow.variant import DAG_LOADS, LANES, Variant


def operation_counts(variant: Variant, period: int) -> dict[str, object]:
    """Return counts of one lane's pass through the program, and the memory that a hash reads."""
    steps = program(variant, period)
    math = Counter(step.operation for step in steps if isinstance(step, Math))
    merges = Counter(step.merge for step in steps)
    reads = sum(isinstance(step, CacheRead) for step in steps)
    return {
        "math": dict(sorted(math.items())),
        "merges": dict(sorted(merges.items())),
        "cache_reads": reads,
        "dataset_bytes_per_hash": variant.dag_loops * LANES * DAG_LOADS * 4,
        "cache_reads_per_hash": variant.dag_loops * LANES * reads,
    }

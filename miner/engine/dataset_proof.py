"""Holds a fresh dataset against the CPU's, by samples."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
from numpy.typing import NDArray

from miner.devices.device import Device
from miner.errors import WrongResult
from miner.progpow.epoch import Epoch

NodeOf = Callable[[Epoch, NDArray[np.uint32], int, int], NDArray[np.uint32]]
"""(epoch, light cache, first, count) -> dataset nodes of the CPU, shape (count, 16)."""

SAMPLES = 32
REPAIRED_NODES = 64
"""Nodes around a wrong one that are computed again on the CPU."""
MOST_WRONG = 4
"""Wrong samples that are repaired; with one more the whole dataset is refused."""


def prove_dataset(
    device: Device, epoch: Epoch, light: NDArray[np.uint32], node_of: NodeOf, random: Random
) -> int:
    """Compare the first, the last and `SAMPLES` random nodes; return how many were repaired.

    Raises `WrongResult` when too many samples are wrong, when everything around one is, or
    when a repair does not hold.
    """
    last = epoch.nodes - 1
    sampled = sorted({0, last, *(random.randint(0, last) for _ in range(SAMPLES))})
    wrong = repaired = 0
    for node in sampled:
        if np.array_equal(device.read_nodes(node, 1), node_of(epoch, light, node, 1)):
            continue
        wrong += 1
        if wrong > MOST_WRONG:
            raise _refusal(device, epoch, f"{wrong} of {len(sampled)} samples differ, node {node}")
        repaired += _repair(device, epoch, light, node_of, node)
    return repaired


def _repair(
    device: Device, epoch: Epoch, light: NDArray[np.uint32], node_of: NodeOf, node: int
) -> int:
    first = max(0, min(node - REPAIRED_NODES // 2, epoch.nodes - REPAIRED_NODES))
    count = min(REPAIRED_NODES, epoch.nodes - first)
    right = node_of(epoch, light, first, count)
    before = device.read_nodes(first, count)
    bad = int(np.count_nonzero((before != right).any(axis=1)))
    if bad == count:
        raise _refusal(device, epoch, f"all {count} nodes from {first} on differ")
    device.write_nodes(first, right)
    after = device.read_nodes(first, count)
    left = np.flatnonzero((after != right).any(axis=1))
    if len(left):
        at = int(left[0])
        got, want = int(after[at][0]), int(right[at][0])
        raise _refusal(
            device,
            epoch,
            f"node {first + at} cannot be repaired (word 0 is {got:08x}, not {want:08x})",
        )
    return bad


def _refusal(device: Device, epoch: Epoch, problem: str) -> WrongResult:
    return WrongResult(
        f"{device.info.name}: the dataset of epoch {epoch.number} is not the CPU's: {problem}"
    )

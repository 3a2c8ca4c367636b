"""Comparison of a fresh dataset (DAG) and a fresh kernel with the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import numpy as np
from numpy.typing import NDArray

from miner.devices.device import Device, Hit, Kernel
from miner.errors import WrongResult
from miner.progpow.epoch import Epoch
from miner.work import Job, NonceRange

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


HashOf = Callable[[Job, int], tuple[bytes, bytes]]
"""(job, nonce) -> mix hash and final hash, 32 bytes each, computed on the CPU."""


def prove_kernel(device: Device, kernel: Kernel, job: Job, hash_of: HashOf, random: Random) -> None:
    """Launch the smallest range at two places with a target that every hash meets.

    One of them crosses a carry into the nonce's upper half. Raises `WrongResult` with device,
    period, nonce, what it got, and what it wanted.
    """
    everything = replace(job, share_target=2**256 - 1)
    count = device.round_up(1)
    carry = (random.getrandbits(31) << 32) + 2**32 - max(count // 2, 1)
    for first in (carry, random.randrange(2**64 - count)):
        span = NonceRange(first, count)
        found = device.launch(kernel, everything, span).wait()
        where = f"{device.info.name}: the kernel of period {job.period}"
        if found.tried != count or found.total != count:
            raise WrongResult(
                f"{where} found {found.total} hashes among {found.tried} nonces from "
                f"{first:016x} on, where each of {count} is one"
            )
        hits = sorted(found.hits, key=lambda hit: hit.nonce)
        if not hits or hits[0].nonce < first or hits[-1].nonce >= first + count:
            raise WrongResult(f"{where} names nonces outside {first:016x} + {count}")
        for hit in {hits[0].nonce: hits[0], hits[-1].nonce: hits[-1]}.values():
            _compare(where, hit, *hash_of(everything, hit.nonce))


def _compare(where: str, hit: Hit, mix_hash: bytes, final_hash: bytes) -> None:
    want = (_word(final_hash, 0), _word(final_hash, 1), _word(mix_hash, 0))
    got = (*hit.final_words, hit.mix_word)
    if got != want:
        raise WrongResult(
            f"{where} is wrong for nonce {hit.nonce:016x}: final and mix words are "
            f"{_hex(got)}, not {_hex(want)}"
        )


def _word(digest: bytes, index: int) -> int:
    return int.from_bytes(digest[4 * index : 4 * index + 4], "little")


def _hex(words: tuple[int, ...]) -> str:
    return " ".join(f"{word:08x}" for word in words)

"""Checks of a new dataset (DAG) and a new kernel against the CPU."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from miner.devices.device import Device, Hit, Kernel
from miner.errors import WrongResult
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.verify import LightCacheWatcher
from miner.work import Job, NonceRange

SAMPLES = 32
REPAIRED_NODES = 64
"""Nodes around a wrong one that are computed again on the CPU."""
MOST_WRONG = 4
"""Wrong samples that are repaired; one more fails the whole dataset."""


class Prover(Protocol):
    """Results of the CPU, against which devices are checked; any thread may call it."""

    def light_cache(self, epoch: Epoch, watcher: LightCacheWatcher) -> NDArray[np.uint32]:
        """Return the light cache, shape (light_items, 16); building it takes seconds. Raises
        `Interrupted` soon after `watcher.should_stop()` becomes true."""

    def dataset_nodes(
        self, epoch: Epoch, light: NDArray[np.uint32], first: int, count: int
    ) -> NDArray[np.uint32]:
        """Return `count` dataset nodes (64-byte items) from `first`, shape (count, 16)."""

    def digest(self, job: Job, nonce: int) -> Digest:
        """Return both hashes of `nonce`."""


def prove_dataset(
    device: Device, epoch: Epoch, light: NDArray[np.uint32], prover: Prover, random: Random
) -> int:
    """Compare the first, the last and `SAMPLES` random nodes; return how many were repaired.

    Raises `WrongResult` when too many samples are wrong, when all nodes around a wrong one are
    wrong, or when a repair fails.
    """
    last = epoch.nodes - 1
    sampled = sorted({0, last, *(random.randint(0, last) for _ in range(SAMPLES))})
    wrong = repaired = 0
    for node in sampled:
        if np.array_equal(device.read_nodes(node, 1), prover.dataset_nodes(epoch, light, node, 1)):
            continue
        wrong += 1
        if wrong > MOST_WRONG:
            raise _refusal(device, epoch, f"{wrong} of {len(sampled)} samples differ, node {node}")
        repaired += _repair(device, epoch, light, prover, node)
    return repaired


def _repair(
    device: Device, epoch: Epoch, light: NDArray[np.uint32], prover: Prover, node: int
) -> int:
    first = max(0, min(node - REPAIRED_NODES // 2, epoch.nodes - REPAIRED_NODES))
    count = min(REPAIRED_NODES, epoch.nodes - first)
    right = prover.dataset_nodes(epoch, light, first, count)
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
        f"{device.info.name}: the dataset of epoch {epoch.number} differs from the CPU's: {problem}"
    )


def prove_kernel(device: Device, kernel: Kernel, job: Job, prover: Prover, random: Random) -> None:
    """Launch the smallest range at two places, with a target that every hash meets.

    One range crosses the carry into the nonce's upper 32 bits. Raises `WrongResult` with device,
    period, nonce, actual and expected words.
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
                f"{first:016x} on, where each of {count} meets the target"
            )
        hits = sorted(found.hits, key=lambda hit: hit.nonce)
        if not hits or hits[0].nonce < first or hits[-1].nonce >= first + count:
            raise WrongResult(f"{where} reported nonces outside {first:016x} + {count}")
        for hit in {hits[0].nonce: hits[0], hits[-1].nonce: hits[-1]}.values():
            _compare(where, hit, prover.digest(everything, hit.nonce))


def _compare(where: str, hit: Hit, digest: Digest) -> None:
    final, mix = digest.final_hash, digest.mix_hash
    want = (_word(final, 0), _word(final, 1), _word(mix, 0))
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

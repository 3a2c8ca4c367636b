"""Checks of a new dataset (DAG) and a new kernel against the CPU."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import replace
from random import Random
from typing import Protocol

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from miner.devices.device import Device, Hit, Kernel, LaunchResult
from miner.engine.threads import WorkPool
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

_MOST_PROOFS = 32


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


class KernelProof:
    """The launches that prove a kernel of one program, and the CPU's results to compare with.

    They search two ranges of `count` nonces, the smallest that a device launches, with a target
    that every hash meets. One range crosses the carry into the nonce's upper 32 bits. Devices
    share a proof, so that each result is computed once; any thread may call it.
    """

    def __init__(self, job: Job, count: int, prover: Prover, random: Random) -> None:
        self.job = replace(job, share_target=2**256 - 1)
        carry = (random.getrandbits(31) << 32) + 2**32 - max(count // 2, 1)
        firsts = (carry, random.randrange(2**64 - count))
        self.spans = tuple(NonceRange(first, count) for first in firsts)
        self._prover = prover
        self._digests: dict[int, Digest] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Compute the results that `check` needs, unless it gets another number of hits."""
        for span in self.spans:
            self._digest(span.first)
            self._digest(span.first + span.count - 1)

    def check(self, device: str, span: NonceRange, found: LaunchResult) -> None:
        """Compare what `device` found in `span` with the CPU's results. Raises `WrongResult` with
        device, period, nonce, actual and expected words."""
        where, first = f"{device}: the kernel of period {self.job.period}", span.first
        if found.tried != span.count or found.total != span.count:
            raise WrongResult(
                f"{where} found {found.total} hashes among {found.tried} nonces from "
                f"{first:016x} on, where each of {span.count} meets the target"
            )
        hits = sorted(found.hits, key=lambda hit: hit.nonce)
        if not hits or hits[0].nonce < first or hits[-1].nonce >= first + span.count:
            raise WrongResult(f"{where} reported nonces outside {first:016x} + {span.count}")
        for hit in {hits[0].nonce: hits[0], hits[-1].nonce: hits[-1]}.values():
            _compare(where, hit, self._digest(hit.nonce))

    def _digest(self, nonce: int) -> Digest:
        with self._lock:
            if nonce not in self._digests:
                self._digests[nonce] = self._prover.digest(self.job, nonce)
            return self._digests[nonce]


class KernelProofs:
    """The proofs of the newest programs, each shared by the devices that launch as many nonces;
    any thread may call it. `works` computes the CPU's results in the background."""

    def __init__(self, prover: Prover, random: Random, works: WorkPool) -> None:
        self._prover, self._random, self._works = prover, random, works
        self._proofs: LRUCache[tuple[Hashable, int], KernelProof] = LRUCache(_MOST_PROOFS)
        self._lock = threading.Lock()

    def of(self, program: Hashable, job: Job, count: int) -> KernelProof:
        """Return the proof of `program`, which `job` needs, in ranges of `count` nonces."""
        with self._lock:
            proof = self._proofs.get((program, count))
            if proof is None:
                proof = KernelProof(job, count, self._prover, self._random)
                self._proofs[program, count] = proof
                self._works.submit(proof.prepare)
            return proof


def prove_kernel(device: Device, kernel: Kernel, proof: KernelProof) -> None:
    """Launch `proof` on an idle device and check the results; raises `WrongResult`."""
    for span in proof.spans:
        found = device.launch(kernel, proof.job, span).wait()
        proof.check(device.info.name, span, found)


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

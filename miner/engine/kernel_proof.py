"""Holds a freshly built search kernel against the CPU's hash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from miner.devices.device import Device, Hit, Kernel
from miner.errors import WrongResult
from miner.work import Job, NonceRange

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

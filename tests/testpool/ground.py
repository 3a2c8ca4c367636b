"""What the tests of the bundled pool stand on: chain, stand-in hashes, hand-moved clock."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random

from miner.progpow.epoch import Epoch, Growth, Span
from miner.progpow.variant import MATH_OPERATIONS, Variant
from miner.stratum.chain import Chain

PADDING = tuple(b"rAVENCOINKAWPOW")

KAWPOW = Variant(
    name="kawpow",
    period=3,
    registers=32,
    cache_reads=11,
    math_operations=18,
    dag_loops=64,
    math_table=MATH_OPERATIONS,
    absorbs_digest=True,
    initial_padding=PADDING,
    final_padding=PADDING[:9],
    spans=(Span(0, 7500),),
    light=Growth(16 << 20, 128 << 10),
    dataset=Growth(1 << 30, 8 << 20),
    parents=512,
)

ANY_HASH = 2**256 - 1
NO_HASH = 1


def seed_of(index: int) -> bytes:
    return hashlib.sha256(b"seed %d" % index).digest()


def make_chain(
    share_target: int = ANY_HASH,
    block_target: int = NO_HASH,
    height: int = 1000,
    seed: int = 7,
    kept: int = 20,
) -> Chain:
    return Chain(KAWPOW, height, share_target, block_target, Random(seed), seed_of, kept)


def mix_of(height: int, header_hash: bytes, nonce: int) -> bytes:
    return hashlib.sha256(b"mix" + bytes([height % 251]) + header_hash + nonce.to_bytes(8)).digest()


def final_of(header_hash: bytes, nonce: int) -> bytes:
    return hashlib.sha256(b"final" + header_hash + nonce.to_bytes(8)).digest()


async def prove(
    variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
) -> tuple[bytes, bytes]:
    assert epoch == variant.epoch_at(height)
    await asyncio.sleep(0)
    return mix_of(height, header_hash, nonce), final_of(header_hash, nonce)


def nonce_between(header_hash: bytes, first: int, low: int, high: int) -> int:
    """Return a nonce from `first` on whose stand-in final hash is above `low`, at most `high`."""
    nonce = first
    while not low < int.from_bytes(final_of(header_hash, nonce), "big") <= high:
        nonce += 1
    return nonce


class HandClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self._now = 100.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def wall(self) -> float:
        return 1_800_000_000.0 + self.now()

    async def sleep(self, seconds: float) -> None:
        waking: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, waking))
        await waking

    def sleepers_due_in(self, seconds: float) -> int:
        """Return how many sleep until exactly `seconds` from now."""
        return sum(
            due == self._now + seconds for due, waking in self._sleepers if not waking.done()
        )

    def advance(self, seconds: float) -> None:
        self._now += seconds
        asleep = []
        for due, waking in self._sleepers:
            if waking.done():
                continue
            if due <= self._now:
                waking.set_result(None)
            else:
                asleep.append((due, waking))
        self._sleepers = asleep

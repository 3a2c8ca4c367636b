"""A seeded chain and stand-in hashes, for tests of the test pool."""

from __future__ import annotations

import asyncio
import hashlib
from random import Random

from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.variant import Variant
from miner.stratum.chain import Chain
from tests.fakes.variants import KAWPOW

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


def digest_of(height: int, header_hash: bytes, nonce: int) -> Digest:
    return Digest(mix_of(height, header_hash, nonce), final_of(header_hash, nonce))


class StandInProver:
    """Proves every share by the stand-in hashes."""

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> Digest:
        assert epoch == variant.epoch_at(height)
        await asyncio.sleep(0)
        return digest_of(height, header_hash, nonce)


def nonce_between(header_hash: bytes, first: int, low: int, high: int) -> int:
    """Return a nonce from `first` on whose stand-in final hash is above `low`, at most `high`."""
    nonce = first
    while not low < int.from_bytes(final_of(header_hash, nonce), "big") <= high:
        nonce += 1
    return nonce

"""The functions that `import miner` offers to other programs; see docs/library.md.

They share one verifier, which keeps light caches in memory and on disk. Any thread may call them.
Numbers may be NumPy's; other types than whole numbers raise `TypeError`.
Classes that are imported under their own name (`as`) are offered too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import index
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from miner import catalog
from miner.catalog import Coin as Coin
from miner.codegen.kernel_source import KernelSource as KernelSource
from miner.codegen.kernel_source import dataset_source, search_source
from miner.codegen.launch_shape import shape_named
from miner.errors import BadValue as BadValue
from miner.errors import BadVariant as BadVariant
from miner.errors import MinerError as MinerError
from miner.errors import OutOfMemory as OutOfMemory
from miner.errors import UsageError as UsageError
from miner.errors import not_one_of
from miner.progpow import hashing
from miner.progpow.epoch import Epoch as Epoch
from miner.progpow.hashing import Digest as Digest
from miner.progpow.variant import Variant as Variant
from miner.verify import Verifier, chosen_variant
from miner.work import Outcome as Outcome

LARGEST_TARGET = 2**256 - 1


@lru_cache(maxsize=1)
def _verifier() -> Verifier:
    return Verifier()


def variants() -> Mapping[str, Variant]:
    """Return the shipped variants by name, such as "kawpow"."""
    return catalog.variants()


def coins() -> Mapping[str, Coin]:
    """Return the shipped coins by symbol, such as "RVN"."""
    return catalog.coins()


def find_coin(name: str) -> Coin:
    """Return the coin with that symbol or name, ignoring case. Raises `UsageError`."""
    return catalog.find_coin(name)


def find_variant(name: str) -> Variant:
    """Return the variant with that name or alias, of that coin, or in that file (its path).

    Case is ignored. Known answers of a file are computed first; raises `BadVariant` if one is
    wrong, and `UsageError`, with the nearest name, if nothing has this name.
    """
    return chosen_variant(name)


def light_cache(variant: Variant, height: int) -> NDArray[np.uint32]:
    """Return the light cache of the epoch at block `height`, shape (light_items, 16), read-only.

    Each row is a 64-byte item as little-endian words. The first call for an epoch builds the light
    cache, which takes about 30 ms for each MiB, or loads it from disk; call it early to have the
    next epoch ready. Raises `BadValue` for an impossible height and for a light cache of more than
    1 GiB, `OutOfMemory` if it does not fit into this machine's memory.
    """
    cache = _verifier().light_cache(variant.epoch_at(index(height))).view()
    cache.flags.writeable = False
    return cache


def hash(variant: Variant, height: int, header_hash: bytes, nonce: int) -> Digest:
    """Return mix hash and final hash of `nonce` for a block at `height`.

    `header_hash` is the hash of the block header without nonce and mix hash, 32 bytes in the order
    in which they are printed and sent over Stratum. `nonce` is a 64-bit number. The first call in
    an epoch takes seconds, see `light_cache`; each other call takes milliseconds. Raises as
    `light_cache` does, and `BadValue` for a header hash that is not 32 bytes or a nonce outside 64
    bits.
    """
    height, nonce = index(height), index(nonce)
    hashing.input_words(header_hash, nonce)  # before a light cache is built
    epoch = variant.epoch_at(height)
    _verifier().light_cache(epoch)
    return _verifier().hash(variant, height, epoch, header_hash, nonce)


def final_hash(variant: Variant, header_hash: bytes, nonce: int, mix_hash: bytes) -> bytes:
    """Return the final hash, 32 bytes in printed order, if the mix hash is `mix_hash`.

    That takes microseconds and no light cache, but shows nothing about `mix_hash`, which anyone can
    invent. For most coins it is the hash of the block. Raises `BadValue` for header hashes, mix
    hashes and nonces of another size.
    """
    return hashing.final_hash(variant, header_hash, index(nonce), mix_hash)


@dataclass(frozen=True, slots=True)
class ShareCheck:
    """The result of `verify_share`."""

    outcome: Outcome
    """ACCEPTED; LOW_DIFFICULTY: the final hash exceeds the target; INVALID: the mix hash is
    wrong."""
    digest: Digest
    """The true hashes. For LOW_DIFFICULTY of a share with a mix hash: what it claims."""

    def __bool__(self) -> bool:
        """Whether the share is accepted."""
        return self.outcome is Outcome.ACCEPTED


def verify_share(
    variant: Variant,
    height: int,
    header_hash: bytes,
    nonce: int,
    target: int,
    mix_hash: bytes | None = None,
) -> ShareCheck:
    """Check whether a share meets `target`, a number that the final hash must not exceed.

    `mix_hash` is the one that the miner sent: it must be right, and a share that misses the target
    with it is refused within microseconds, before anything is hashed. `height` must come from the
    pool's job: a client that could choose it would have a light cache built for each share. Raises
    as `hash` does, and `BadValue` for a target that is not 0 to 2**256 - 1.
    """
    if not 0 <= index(target) <= LARGEST_TARGET:
        raise BadValue("target", f"{target} is outside 0 to 2**256 - 1")
    if mix_hash is not None:
        claimed = Digest(mix_hash, final_hash(variant, header_hash, nonce, mix_hash))
        if claimed.value > target:
            return ShareCheck(Outcome.LOW_DIFFICULTY, claimed)
    digest = hash(variant, height, header_hash, nonce)
    if mix_hash is not None and digest.mix_hash != mix_hash:
        return ShareCheck(Outcome.INVALID, digest)
    met = digest.value <= target
    return ShareCheck(Outcome.ACCEPTED if met else Outcome.LOW_DIFFICULTY, digest)


def kernel_source(
    variant: Variant,
    height: int,
    *,
    dialect: Literal["opencl", "cuda"] = "opencl",
    kernel: Literal["search", "dataset"] = "search",
    shape: str = "gpu",
) -> KernelSource:
    """Return the source text of a kernel as the miner compiles it, with its compiler options.

    "search" tries nonces in the period of `height`, "dataset" computes the dataset (DAG) of its
    epoch. `shape` is a launch shape of docs/devices.md. Raises `BadValue` for unknown names and
    impossible heights.
    """
    height = index(height)
    epoch, layout = variant.epoch_at(height), shape_named(shape)
    if kernel == "search":
        return search_source(variant, variant.period_at(height), epoch, dialect, layout)
    if kernel == "dataset":
        return dataset_source(epoch, dialect, layout)
    raise BadValue("kernel", not_one_of(kernel, ("search", "dataset")))

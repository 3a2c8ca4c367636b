"""The test pool's chain of block templates, made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from cachetools import FIFOCache

from miner.errors import BadValue
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.stratum.difficulty import target_from_bits

KEPT_TEMPLATES = 20
"""Newest templates whose shares are still recognised."""

HEADER_VERSION = bytes.fromhex("0006")
RANDOM_HEADER_BYTES = 264
"""A header is version, height and as many more bytes as in EPIC Cash's headers."""

SeedOf = Callable[[int], bytes]
"""Index in the keccak256 chain -> 32 bytes in display order (see `Epoch.seed_epoch`)."""


@dataclass(frozen=True, slots=True)
class Template:
    """A block to solve. Hashes are 32 bytes in display order; a final hash, read as a big-endian
    number, must not exceed a target."""

    job_id: str
    header: bytes
    """The block header without its nonce, which EPIC Cash's pools send."""
    header_hash: bytes
    """Keccak-256 of `header`."""
    height: int
    epoch: Epoch
    seed_hash: bytes
    share_target: int
    bits: int
    """The block target's compact encoding."""
    block_target: int
    """The exact value of `bits`."""
    clean: bool
    """False: same height as the template before, whose shares stay valid."""


class Chain:
    """A sequence of templates, the same for the same seed of `random`.

    `share_target` and `block_target` are 1 to 2**256 - 1; the latter is rounded down to a value
    that compact bits can express. Raises `BadValue` for a target or height outside its range.
    """

    def __init__(
        self,
        variant: Variant,
        height: int,
        share_target: int,
        block_target: int,
        random: Random,
        seed_of: SeedOf,
        kept: int = KEPT_TEMPLATES,
    ) -> None:
        if not 1 <= share_target < 2**256:
            raise BadValue("share target", f"{share_target} is outside 1 to 2**256 - 1")
        self.variant = variant
        self._share_target = share_target
        self._bits = bits_from_target(block_target)
        self._block_target = target_from_bits(self._bits)
        self._random = random
        self._seed_of = seed_of
        self._recent: FIFOCache[str, Template] = FIFOCache(max(kept, 1))
        self._template = self._append(height, clean=True)

    @property
    def template(self) -> Template:
        """The newest template."""
        return self._template

    def advance(self, clean: bool = True) -> Template:
        """Move to the next height; shares for older heights become stale.

        Raises `BadValue` beyond the last height of the variant.
        """
        return self._append(self._template.height + 1, clean)

    def refresh(self) -> Template:
        """Make a new header at the same height, as new transactions do."""
        return self._append(self._template.height, clean=False)

    def find(self, job_id: str) -> Template | None:
        """Return the template of `job_id`, None if unknown or too old."""
        return self._recent.get(job_id)

    def headers(self) -> frozenset[bytes]:
        """Return the header hashes of all templates that `find` knows."""
        return frozenset(template.header_hash for template in self._recent.values())

    def is_stale(self, template: Template) -> bool:
        """Return whether the chain has left the height of `template`."""
        return template.height < self._template.height

    def _append(self, height: int, clean: bool) -> Template:
        from miner.progpow.keccak import keccak256  # importing it loads numba

        epoch = self.variant.epoch_at(height)
        job_id = f"{self._random.getrandbits(80):020x}"
        header = HEADER_VERSION + height.to_bytes(8) + self._random.randbytes(RANDOM_HEADER_BYTES)
        template = Template(
            job_id=job_id,
            header=header,
            header_hash=keccak256(header),
            height=height,
            epoch=epoch,
            seed_hash=self._seed_of(epoch.seed_epoch),
            share_target=self._share_target,
            bits=self._bits,
            block_target=self._block_target,
            clean=clean,
        )
        self._recent[template.job_id] = template
        self._template = template
        return template


def bits_from_target(target: int) -> int:
    """Return the compact bits (nBits) of the largest target <= `target` that they can express.

    The first byte is the size of the number in bytes, the other three are its leading bytes.
    Raises `BadValue` for a target outside 1 to 2**256 - 1.
    """
    if not 1 <= target < 2**256:
        raise BadValue("block target", f"{target} is outside 1 to 2**256 - 1")
    size = (target.bit_length() + 7) // 8
    leading = target >> (8 * (size - 3)) if size > 3 else target << (8 * (3 - size))
    if leading & 0x800000:  # the top bit is a sign
        leading >>= 8
        size += 1
    return size << 24 | leading

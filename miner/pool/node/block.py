"""A block of one's own making: coinbase, merkle root, the header that is hashed, the whole."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

WITNESS_NONCE = bytes(32)
"""What a node assumes when it computes `default_witness_commitment`."""

_FINAL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Output:
    """What a coinbase pays: `value` in the coin's smallest unit, to a script."""

    value: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase transaction in both of its forms."""

    plain: bytes
    """Without witness: what its id is the hash of."""
    whole: bytes
    """As it stands in the block."""

    @property
    def txid(self) -> bytes:
        """32 bytes in internal order."""
        return sha256d(self.plain)


@dataclass(frozen=True, slots=True)
class Block:
    """Everything of a block but nonce and mix hash."""

    header: bytes
    """80 bytes: version, tip, merkle root, time, bits, height."""
    transactions: bytes
    """Their number and all of them, the coinbase first."""

    @property
    def header_hash(self) -> bytes:
        """32 bytes in display order: what ProgPoW takes."""
        return sha256d(self.header)[::-1]

    def solved(self, nonce: int, mix_hash: bytes) -> bytes:
        """Return the block as `submitblock` takes it; `mix_hash` is 32 bytes in display order."""
        return self.header + struct.pack("<Q", nonce) + mix_hash[::-1] + self.transactions


def sha256d(data: bytes) -> bytes:
    """Return SHA-256 of SHA-256: 32 bytes in internal order."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def variable_length(number: int) -> bytes:
    """Return a count as the protocol writes it (CompactSize)."""
    if number < 0xFD:
        return struct.pack("<B", number)
    if number < 0x10000:
        return b"\xfd" + struct.pack("<H", number)
    if number < 0x100000000:
        return b"\xfe" + struct.pack("<I", number)
    return b"\xff" + struct.pack("<Q", number)


def pushed_height(height: int) -> bytes:
    """Return the script that a coinbase begins with (BIP34): `height` as a script number."""
    if height == 0:
        return b"\x00"
    if height <= 16:
        return bytes([0x50 + height])
    # One bit more than the number has, for its sign.
    size = height.bit_length() // 8 + 1
    return bytes([size]) + height.to_bytes(size, "little")


def coinbase(
    height: int, extra_nonce: bytes, outputs: Sequence[Output], commitment: bytes | None
) -> Coinbase:
    """Return the transaction that pays `outputs`, in their order.

    `extra_nonce` is 2 to 8 bytes that make it unlike anyone else's; `commitment` is the output
    script over the witnesses, None for a block without any.
    """
    script = pushed_height(height) + bytes([len(extra_nonce)]) + extra_nonce
    paid = [*outputs, *([Output(0, commitment)] if commitment is not None else [])]
    version, locktime = struct.pack("<i", 2), struct.pack("<I", 0)
    inputs = (
        b"\x01"
        + bytes(32)
        + struct.pack("<I", _FINAL)
        + variable_length(len(script))
        + script
        + struct.pack("<I", _FINAL)
    )
    rest = variable_length(len(paid)) + b"".join(
        struct.pack("<Q", output.value) + variable_length(len(output.script)) + output.script
        for output in paid
    )
    plain = version + inputs + rest + locktime
    if commitment is None:
        return Coinbase(plain, plain)
    witness = b"\x01" + bytes([len(WITNESS_NONCE)]) + WITNESS_NONCE
    return Coinbase(plain, version + b"\x00\x01" + inputs + rest + witness + locktime)


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """Return the root over one or more ids; everything in internal order."""
    level = list(txids)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def header(version: int, tip: str, root: bytes, time: int, bits: int, height: int) -> bytes:
    """Return the 80 bytes that are hashed; `tip` in display order, `root` in internal order."""
    return struct.pack(
        "<I32s32sIII",
        version & 0xFFFFFFFF,
        bytes.fromhex(tip)[::-1],
        root,
        time,
        bits,
        height,
    )

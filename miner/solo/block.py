"""Blocks: the checked parts of a node's template, and the block that the miner makes of it.

Nodes that take whole blocks by `submitblock` get such a block.
"""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from miner.errors import PoolRefused, ProtocolError
from miner.progpow.variant import MAX_HEIGHT
from miner.stratum import wire_format
from miner.stratum.difficulty import target_from_bits

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class BlockTemplate:
    """The part of a template that all kinds of node have in common."""

    height: int
    bits: int
    """Compact form of `target`."""
    target: int
    previous: str
    """Name of the tip, the same for templates on the same tip: its hash as 64 lower-case hex digits
    in display order, or the height where the node gives no hash (`eth_getWork`)."""


def read_template(result: Any) -> BlockTemplate:
    """Return the common parts of a `getblocktemplate` result, any JSON value.

    Raises `ProtocolError` if a part is missing, malformed or contradicts another one.
    """
    if not isinstance(result, dict):
        raise ProtocolError("not a JSON object")
    height = wire_format.whole(result.get("height"))
    if height is None or height > MAX_HEIGHT:
        raise ProtocolError("height is not a number")
    previous = read_hash(result, "previousblockhash")
    bits = result.get("bits")
    if not isinstance(bits, str) or not re.fullmatch(r"[0-9a-fA-F]{8}", bits):
        raise ProtocolError("bits is not 8 hex digits")
    target = target_from_bits(bits)
    if target == 0:
        raise ProtocolError("target is 0, which no hash meets")
    if "target" in result and wire_format.target(result["target"]) != target:
        raise ProtocolError(f"target differs from the one encoded by bits {bits}")
    return BlockTemplate(height, int(bits, 16), target, previous)


def read_hash(result: dict[str, Any], key: str) -> str:
    """Return the 64 hex digits at `key` in lower case; raises `ProtocolError` for other values."""
    value = result.get(key)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ProtocolError(f"{key} is not 64 hex digits")
    return value.lower()


def check_successor(template: BlockTemplate, last: BlockTemplate | None) -> None:
    """Raise `ProtocolError` if two templates on the same tip differ in height."""
    if last is None or template.previous != last.previous:
        return
    if template.height != last.height:
        raise ProtocolError(f"height is {template.height}, after {last.height} on the same tip")


COMMUNITY_ADDRESS = "CommunityAutonomousAddress"
COMMUNITY_VALUE = "CommunityAutonomousValue"

UNSUPPORTED_MEMBERS = (
    "coinbase_payload",
    "znode",
    "masternode",
    "smartnode",
    "superblock",
    "coinbasetxn",
)
"""Members of a template that ask for another kind of coinbase."""

MAX_TRANSACTIONS = 100_000
MAX_ADDRESS = 128
"""Characters."""

WITNESS_RESERVED_VALUE = bytes(32)
"""BIP141; nodes compute `default_witness_commitment` with this value."""

MAX_SEQUENCE = 0xFFFFFFFF
"""Sequence number of the coinbase's input, and index of the output that it spends (none)."""


@dataclass(frozen=True, slots=True)
class TxOutput:
    """An output: `value` in the coin's smallest unit, paid to a script."""

    value: int
    script: bytes


@dataclass(frozen=True, slots=True)
class Coinbase:
    """A coinbase transaction in both serializations."""

    stripped: bytes
    """Without witness; the transaction's id is its hash."""
    complete: bytes
    """As it stands in the block."""

    @property
    def txid(self) -> bytes:
        """32 bytes in internal order."""
        return sha256d(self.stripped)


@dataclass(frozen=True, slots=True)
class Block:
    """A block without its nonce and mix hash."""

    header: bytes
    """80 bytes: version, tip, merkle root, time, bits, height."""
    transactions: bytes
    """Their count, then the transactions, coinbase first."""

    @property
    def header_hash(self) -> bytes:
        """The input of ProgPoW: 32 bytes in display order."""
        return sha256d(self.header)[::-1]

    def solved(self, nonce: int, mix_hash: bytes) -> bytes:
        """Return the block as `submitblock` takes it; `mix_hash` is 32 bytes in display order."""
        return self.header + struct.pack("<Q", nonce) + mix_hash[::-1] + self.transactions


def other_payees(result: Any) -> list[str]:
    """Return the addresses, besides the miner's, that the coinbase must pay."""
    return [address for address, _ in _other_payments(result)]


def assemble(
    template: BlockTemplate,
    result: dict[str, Any],
    address: str,
    scripts: Mapping[str, bytes],
    extra_nonce: bytes,
) -> Block:
    """Return the block of a `getblocktemplate` result that pays its reward to `address`.

    `scripts` maps `address` and all of `other_payees` to output scripts; `template` is
    `read_template(result)`. Raises `ProtocolError` for a missing or malformed member,
    `PoolRefused` if the template asks for an unsupported coinbase.
    """
    for member in UNSUPPORTED_MEMBERS:
        if result.get(member):
            raise PoolRefused(
                f"the node's block template asks for a coinbase with {member}, which is not "
                "supported; use the coin that this node belongs to, or a pool"
            )
    outputs = [TxOutput(_number(result, "coinbasevalue"), scripts[address])]
    outputs += [TxOutput(value, scripts[payee]) for payee, value in _other_payments(result)]
    commitment = None
    if result.get("default_witness_commitment") is not None:
        commitment = _hex(result["default_witness_commitment"], "default_witness_commitment")
    coinbase = make_coinbase(template.height, extra_nonce, outputs, commitment)
    others = _transactions(result)
    txids = [coinbase.txid, *(txid for txid, _ in others)]
    transactions = [coinbase.complete, *(data for _, data in others)]
    header = struct.pack(
        "<I32s32sIII",
        _number(result, "version", signed=True) & 0xFFFFFFFF,
        bytes.fromhex(template.previous)[::-1],
        merkle_root(txids),
        _number(result, "curtime", most=2**32 - 1),
        template.bits,
        _number(result, "height", most=2**32 - 1),
    )
    return Block(header, compact_size(len(transactions)) + b"".join(transactions))


def make_coinbase(
    height: int, extra_nonce: bytes, outputs: Sequence[TxOutput], commitment: bytes | None
) -> Coinbase:
    """Return the transaction that pays `outputs`, in their order.

    `extra_nonce` is 2 to 8 bytes that make the block unlike other miners' blocks. `commitment`
    is the output script that commits to the witnesses, None for a block without any.
    """
    script = height_script(height) + bytes([len(extra_nonce)]) + extra_nonce
    paid = [*outputs, *([TxOutput(0, commitment)] if commitment is not None else [])]
    version, locktime = struct.pack("<i", 2), struct.pack("<I", 0)
    inputs = (
        b"\x01"
        + bytes(32)
        + struct.pack("<I", MAX_SEQUENCE)
        + compact_size(len(script))
        + script
        + struct.pack("<I", MAX_SEQUENCE)
    )
    body = inputs + compact_size(len(paid))
    for output in paid:
        body += struct.pack("<Q", output.value) + compact_size(len(output.script)) + output.script
    stripped = version + body + locktime
    if commitment is None:
        return Coinbase(stripped, stripped)
    marker_and_flag = b"\x00\x01"
    witness = b"\x01" + compact_size(len(WITNESS_RESERVED_VALUE)) + WITNESS_RESERVED_VALUE
    return Coinbase(stripped, version + marker_and_flag + body + witness + locktime)


def height_script(height: int) -> bytes:
    """Return the first push of a coinbase script: the height as a script number (BIP34)."""
    if height == 0:
        return b"\x00"
    if height <= 16:
        return bytes([0x50 + height])
    size = height.bit_length() // 8 + 1  # one bit more than the number has, for its sign
    return bytes([size]) + height.to_bytes(size, "little")


def merkle_root(txids: Sequence[bytes]) -> bytes:
    """Return the merkle root of one or more ids, all in internal order."""
    level = list(txids)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(left + right) for left, right in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def sha256d(data: bytes) -> bytes:
    """Return SHA-256 of SHA-256: 32 bytes in internal order."""
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    """Return a count in Bitcoin's variable-length encoding."""
    if number < 0xFD:
        return struct.pack("<B", number)
    if number < 0x10000:
        return b"\xfd" + struct.pack("<H", number)
    if number < 0x100000000:
        return b"\xfe" + struct.pack("<I", number)
    return b"\xff" + struct.pack("<Q", number)


def _other_payments(result: Any) -> list[tuple[str, int]]:
    """Return address and value of each payment; `coinbasevalue` does not include them."""
    if not isinstance(result, dict) or not result.get(COMMUNITY_ADDRESS):
        return []
    address = result[COMMUNITY_ADDRESS]
    if not isinstance(address, str) or len(address) > MAX_ADDRESS:
        raise ProtocolError(f"{COMMUNITY_ADDRESS} is not an address")
    return [(address, _number(result, COMMUNITY_VALUE))]


def _transactions(result: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Return id (internal order) and bytes of each transaction."""
    entries = result.get("transactions")
    if not isinstance(entries, list) or len(entries) > MAX_TRANSACTIONS:
        raise ProtocolError("transactions is not a list")
    transactions = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ProtocolError("one of the transactions is not a JSON object")
        key = "txid" if "txid" in entry else "hash"  # the id's name before segwit
        txid = bytes.fromhex(read_hash(entry, key))[::-1]
        transactions.append((txid, _hex(entry.get("data"), "data of a transaction")))
    return transactions


def _number(
    result: dict[str, Any], key: str, *, most: int = 2**63 - 1, signed: bool = False
) -> int:
    value = result.get(key)
    if signed and isinstance(value, int) and -(2**31) <= value < 0:
        return value
    number = wire_format.whole(value)
    if number is None or number > most:
        raise ProtocolError(f"{key} is not a number in range")
    return number


def _hex(value: Any, what: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ProtocolError(f"{what} is not hex digits") from None

"""Block templates of a node, and the blocks assembled from them."""

from __future__ import annotations

import hashlib
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from miner.errors import PoolRefused, ProtocolError
from miner.progpow.variant import MAX_HEIGHT
from miner.stratum import fields
from miner.stratum.difficulty import target_from_bits

_HASH = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class NodeTemplate:
    """The part of a template that all flavours share."""

    height: int
    bits: int
    """Compact target of the block."""
    target: int
    previous: str
    """Hash of the tip, 64 lower hex digits in display order."""
    longpollid: str | None
    """Names this state of the node to a long poll; None where the node offers none."""


def read_template(result: Any) -> NodeTemplate:
    """Return what all flavours need of `result`, any JSON value.

    Raises `ProtocolError` where it is no template or contradicts itself.
    """
    if not isinstance(result, dict):
        raise ProtocolError("it is no JSON object")
    height = fields.whole(result.get("height"))
    if height is None or height > MAX_HEIGHT:
        raise ProtocolError("its height is not a number")
    previous = hash_of(result, "previousblockhash")
    bits = result.get("bits")
    if not isinstance(bits, str) or not re.fullmatch(r"[0-9a-fA-F]{8}", bits):
        raise ProtocolError("its bits are not 8 hex digits")
    target = target_from_bits(bits)
    if target == 0:
        raise ProtocolError("its target is 0, which no hash is under")
    if "target" in result and fields.target(result["target"]) != target:
        raise ProtocolError(f"its target is not the one that its bits {bits} stand for")
    longpollid = result.get("longpollid")
    usable = isinstance(longpollid, str) and 0 < len(longpollid) <= 1024
    return NodeTemplate(height, int(bits, 16), target, previous, longpollid if usable else None)


def hash_of(result: dict[str, Any], key: str) -> str:
    """Return the 64 lower hex digits at `key`; raises `ProtocolError` for anything else."""
    value = result.get(key)
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ProtocolError(f"its {key} is not 64 hex digits")
    return value.lower()


def check_follows(template: NodeTemplate, last: NodeTemplate | None) -> None:
    """Raise `ProtocolError` where `template` goes down in height, or another way, on one tip."""
    if last is None or template.previous != last.previous:
        return
    if template.height != last.height:
        raise ProtocolError(
            f"its height is {template.height}, and was {last.height} on the same tip"
        )


WITNESS_NONCE = bytes(32)
"""What a node assumes when it computes `default_witness_commitment`."""

_FINAL = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class TxOutput:
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
    height: int, extra_nonce: bytes, outputs: Sequence[TxOutput], commitment: bytes | None
) -> Coinbase:
    """Return the transaction that pays `outputs`, in their order.

    `extra_nonce` is 2 to 8 bytes that make it unlike anyone else's; `commitment` is the output
    script over the witnesses, None for a block without any.
    """
    script = pushed_height(height) + bytes([len(extra_nonce)]) + extra_nonce
    paid = [*outputs, *([TxOutput(0, commitment)] if commitment is not None else [])]
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


COMMUNITY_ADDRESS = "CommunityAutonomousAddress"
COMMUNITY_VALUE = "CommunityAutonomousValue"

BEYOND_US = ("coinbase_payload", "znode", "masternode", "superblock", "coinbasetxn")
"""Members that ask for a coinbase of a kind that is not made here."""

TRANSACTIONS_LIMIT = 100_000


def other_addresses(result: Any) -> list[str]:
    """Return whom besides the miner the coinbase has to pay."""
    return [address for address, _ in _shares(result)]


def assemble(
    template: NodeTemplate,
    result: dict[str, Any],
    address: str,
    scripts: Mapping[str, bytes],
    extra_nonce: bytes,
) -> Block:
    """Return the block that pays `address` and whom else `result` names, all of whose scripts
    stand in `scripts`.

    Raises `ProtocolError` where something is missing, `PoolRefused` where it wants a coinbase of
    another kind.
    """
    for member in BEYOND_US:
        if result.get(member):
            raise PoolRefused(
                f"the node's block template wants a coinbase with {member}, which is not made "
                "here; use the flavour made for this coin, or a pool"
            )
    outputs = [TxOutput(_number(result, "coinbasevalue"), scripts[address])]
    outputs += [TxOutput(value, scripts[payee]) for payee, value in _shares(result)]
    commitment = result.get("default_witness_commitment")
    first = coinbase(
        template.height, extra_nonce, outputs, _hex(commitment, "default_witness_commitment")
        if commitment is not None else None,
    )  # fmt: skip
    txids, transactions = [first.txid], [first.whole]
    for txid, data in _transactions(result):
        txids.append(txid)
        transactions.append(data)
    top = header(
        _number(result, "version", signed=True),
        template.previous,
        merkle_root(txids),
        _number(result, "curtime", most=2**32 - 1),
        template.bits,
        _number(result, "height", most=2**32 - 1),
    )
    return Block(top, variable_length(len(transactions)) + b"".join(transactions))


def _shares(result: Any) -> list[tuple[str, int]]:
    """Whom the template has paid besides the miner, whose own value is less by that already."""
    if not isinstance(result, dict) or not result.get(COMMUNITY_ADDRESS):
        return []
    address = result[COMMUNITY_ADDRESS]
    if not isinstance(address, str) or len(address) > 128:
        raise ProtocolError(f"its {COMMUNITY_ADDRESS} is no address")
    return [(address, _number(result, COMMUNITY_VALUE))]


def _transactions(result: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    """Id in internal order, and bytes, of each; old nodes call the id a hash."""
    given = result.get("transactions")
    if not isinstance(given, list) or len(given) > TRANSACTIONS_LIMIT:
        raise ProtocolError("its transactions are no list")
    found = []
    for entry in given:
        if not isinstance(entry, dict):
            raise ProtocolError("one of its transactions is no JSON object")
        key = "txid" if "txid" in entry else "hash"
        txid = bytes.fromhex(hash_of(entry, key))[::-1]
        found.append((txid, _hex(entry.get("data"), "transaction")))
    return found


def _number(
    result: dict[str, Any], key: str, *, most: int = 2**63 - 1, signed: bool = False
) -> int:
    value = result.get(key)
    if signed and isinstance(value, int) and -(2**31) <= value < 0:
        return value
    number = fields.whole(value)
    if number is None or number > most:
        raise ProtocolError(f"its {key} is not a number that fits")
    return number


def _hex(value: Any, what: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except (TypeError, ValueError):
        raise ProtocolError(f"its {what} is not hex digits") from None

"""How a block is put together from the answer to getblocktemplate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from miner.errors import PoolRefused, ProtocolError
from miner.pool.node.block import Block, Output, coinbase, header, merkle_root, variable_length
from miner.pool.node.template import Template, hash_of
from miner.pool.protocols import fields

COMMUNITY_ADDRESS = "CommunityAutonomousAddress"
COMMUNITY_VALUE = "CommunityAutonomousValue"

BEYOND_US = ("coinbase_payload", "znode", "masternode", "superblock", "coinbasetxn")
"""Members that ask for a coinbase of a kind that is not made here."""

TRANSACTIONS_LIMIT = 100_000


def other_addresses(result: Any) -> list[str]:
    """Return whom besides the miner the coinbase has to pay."""
    return [address for address, _ in _shares(result)]


def assemble(
    template: Template,
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
    outputs = [Output(_number(result, "coinbasevalue"), scripts[address])]
    outputs += [Output(value, scripts[payee]) for payee, value in _shares(result)]
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

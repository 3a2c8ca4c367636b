"""A fake node that takes whole blocks, which it reads independently of the miner."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.node import BITS, FakeNode, sha256d

SCRIPTS = {
    "miner": "76a914" + 20 * "aa" + "88ac",
    "community": "a914" + 20 * "cc" + "87",
}
"""Output scripts of the addresses that `BlockNode` knows."""

COMMITMENT = "6a24aa21a9ed" + 32 * "5c"


class BadBlock(Exception):
    """A block is invalid; the text is the reason."""


@dataclass
class BlockNode(FakeNode):
    """A node that takes complete blocks and parses them independently of the miner."""

    community: int = 0
    """Value that the coinbase must pay to the community."""
    transactions: list[bytes] = field(default_factory=lambda: [bytes([n]) * 60 for n in range(4)])
    witness: bool = True
    curtime: int = 1_750_000_000
    version: int = 0x30000000
    value: int = 2500 * 10**8
    blocks: list[dict[str, Any]] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)
    """The blocks in hex."""

    def template(self) -> dict[str, Any]:
        template = super().template() | {
            "version": self.version,
            "curtime": self.curtime,
            "coinbasevalue": self.value,
            "transactions": [
                {"data": tx.hex(), "txid": sha256d(tx)[::-1].hex(), "hash": 64 * "0"}
                for tx in self.transactions
            ],
        }
        if self.witness:
            template["default_witness_commitment"] = COMMITMENT
        if self.community:
            template["CommunityAutonomousAddress"] = "community"
            template["CommunityAutonomousValue"] = self.community
        return template

    async def rpc_getblocktemplate(self, params: list[Any]) -> Any:
        if params[0].get("mode") != "proposal":
            return await super().rpc_getblocktemplate(params)
        try:
            self.read(bytes.fromhex(params[0]["data"]))
        except BadBlock as problem:
            return str(problem)
        return None

    async def rpc_validateaddress(self, params: list[Any]) -> Any:
        script = SCRIPTS.get(params[0])
        return {"isvalid": True, "scriptPubKey": script} if script else {"isvalid": False}

    async def rpc_submitblock(self, params: list[Any]) -> Any:
        if params[0] in self.taken:
            return "duplicate"
        try:
            block = self.read(bytes.fromhex(params[0]))
        except BadBlock as problem:
            return str(problem)
        self.blocks.append(block)
        self.taken.add(params[0])
        self.extend(block["nonce"], block["mix"])
        return None

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the parts of a valid block; raises `BadBlock`."""
        fields_ = struct.unpack("<I32s32sIII", data[:80])
        version, previous, root, time, bits, height = fields_
        if previous[::-1].hex() != self.tip:
            raise BadBlock("inconclusive")  # a valid block beside the chain
        if (version, bits, height) != (self.version & 0xFFFFFFFF, int(BITS, 16), self.height):
            raise BadBlock("bad-header")
        nonce = int.from_bytes(data[80:88], "little")
        mix = data[88:120][::-1].hex()
        count, rest = data[120], data[121:]
        if count != 1 + len(self.transactions):
            raise BadBlock("bad-count")
        others = b"".join(self.transactions)
        if others and not rest.endswith(others):
            raise BadBlock("bad-transactions")
        raw = rest[: len(rest) - len(others)]
        coinbase = read_coinbase(raw, self.witness)
        level = [coinbase["txid"], *(sha256d(tx) for tx in self.transactions)]
        while len(level) > 1:
            pairs = range(0, len(level), 2)
            level = [sha256d(level[i] + level[min(i + 1, len(level) - 1)]) for i in pairs]
        if level[0] != root:
            raise BadBlock("bad-txnmrklroot")
        if not coinbase["script"].startswith(script_number(self.height)):
            raise BadBlock("bad-cb-height")
        wanted = [(self.value, SCRIPTS["miner"])]
        if self.community:
            wanted.append((self.community, SCRIPTS["community"]))
        if self.witness:
            wanted.append((0, COMMITMENT))
        if coinbase["outputs"] != wanted:
            raise BadBlock("bad-cb-amount")
        header_hash = sha256d(data[:80])[::-1].hex()
        return {"header": header_hash, "nonce": nonce, "mix": mix, "time": time}


def script_number(number: int) -> bytes:
    """Return the push of a height in a script."""
    if 1 <= number <= 16:
        return bytes([0x50 + number])
    digits = number.to_bytes(8, "little").rstrip(b"\0")
    if digits[-1] & 0x80:
        digits += b"\0"
    return bytes([len(digits)]) + digits


def read_coinbase(raw: bytes, witness: bool) -> dict[str, Any]:
    """Return id, script and outputs of a coinbase; raises `BadBlock`."""
    position = 4

    def take(count: int) -> bytes:
        nonlocal position
        position += count
        return raw[position - count : position]

    if witness and take(2) != b"\0\1":
        raise BadBlock("no-witness")
    begin = position
    if take(37) != b"\1" + bytes(32) + b"\xff" * 4:
        raise BadBlock("bad-cb-input")
    script = take(take(1)[0])
    if not 2 <= len(script) <= 100:
        raise BadBlock("bad-cb-length")
    take(4)
    outputs = []
    for _ in range(take(1)[0]):
        value = int.from_bytes(take(8), "little")
        outputs.append((value, take(take(1)[0]).hex()))
    end = position
    if witness and take(34) != b"\1\x20" + bytes(32):
        raise BadBlock("bad-witness-nonce-size")
    locktime = take(4)
    if position != len(raw) or locktime != bytes(4):
        raise BadBlock("bad-cb-form")
    return {
        "txid": sha256d(raw[:4] + raw[begin:end] + locktime),
        "script": script,
        "outputs": outputs,
    }

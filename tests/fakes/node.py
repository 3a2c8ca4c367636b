"""Fake coin nodes: HTTP JSON-RPC on loopback, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BITS = "1d0affff"
TARGET = "0000000affff" + 52 * "0"
HEIGHT = 1866617
LOGIN = ("rpc", "s3cret")


class RpcFault(Exception):
    """Answer with an RPC error."""

    def __init__(self, code: int, message: str, status: int = 500) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


class Cut(Exception):
    """Abort the connection instead of answering."""


class Raw(Exception):
    """Answer with this status and these bytes."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__()
        self.status, self.body = status, body


@dataclass
class Call:
    method: str
    params: list[Any]
    peer: int
    """The caller's port, which identifies the connection."""
    answered: bool = False


@dataclass
class FakeNode:
    """A node; its RPC methods are the methods with the prefix `rpc_`."""

    login: tuple[str, str] = LOGIN
    height: int = HEIGHT
    """Height of the block to find."""
    tip: str = "11" * 32
    calls: list[Call] = field(default_factory=list)
    chain: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Blocks by height, each with its hash."""

    def __post_init__(self) -> None:
        self.port = 0
        self.requests: list[web.BaseRequest] = []
        self._faults: dict[str, deque[Exception]] = {}
        self._after: dict[str, deque[Exception]] = {}
        self._changed = asyncio.Event()

    def fails(self, method: str, *faults: Exception) -> None:
        """Make the next calls of `method` fail without effect."""
        self._faults.setdefault(method, deque()).extend(faults)

    def loses(self, method: str, *faults: Exception) -> None:
        """Make the next calls of `method` take effect but fail to answer."""
        self._after.setdefault(method, deque()).extend(faults)

    def heals(self) -> None:
        """Stop failing."""
        self._faults.clear()
        self._after.clear()

    def called(self, method: str) -> list[list[Any]]:
        return [call.params for call in self.calls if call.method == method]

    def new_tip(self, tip: str = "22" * 32, height: int | None = None) -> None:
        self.tip = tip
        self.height = self.height + 1 if height is None else height
        self.changed()

    def changed(self) -> None:
        """End the long polls."""
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def longpollid(self) -> str:
        return f"{self.tip}7"

    async def until_changed(self) -> None:
        await self._changed.wait()

    # Methods of Bitcoin-derived nodes

    async def rpc_getbestblockhash(self, params: list[Any]) -> Any:
        return self.tip

    async def rpc_getblockhash(self, params: list[Any]) -> Any:
        if params[0] not in self.chain:
            raise RpcFault(-8, "Block height out of range")
        return self.chain[params[0]]["hash"]

    async def rpc_getblock(self, params: list[Any]) -> Any:
        return next(block for block in self.chain.values() if block["hash"] == params[0])

    async def rpc_getblocktemplate(self, params: list[Any]) -> Any:
        if "longpollid" in params[0]:
            await self.until_changed()
        return self.template()

    def template(self) -> dict[str, Any]:
        return {
            "version": 0x30000000,
            "height": self.height,
            "bits": BITS,
            "target": TARGET,
            "previousblockhash": self.tip,
            "longpollid": self.longpollid,
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        wanted = "Basic " + base64.b64encode(":".join(self.login).encode()).decode()
        if request.headers.get("Authorization") != wanted:
            return web.Response(status=401)
        message = json.loads(await request.read())
        transport = request.transport
        assert transport is not None
        call = Call(message["method"], message["params"], transport.get_extra_info("peername")[1])
        self.calls.append(call)
        try:
            if waiting := self._faults.get(call.method):
                raise waiting.popleft()
            method: Callable[..., Any] | None = getattr(self, f"rpc_{call.method}", None)
            if method is None:
                raise RpcFault(-32601, "Method not found", 404)
            result = await method(call.params)
            if waiting := self._after.get(call.method):
                raise waiting.popleft()
        except RpcFault as fault:
            error = {"code": fault.code, "message": fault.message}
            return _json(fault.status, {"result": None, "error": error, "id": message["id"]})
        except Raw as raw:
            return web.Response(status=raw.status, body=raw.body)
        except Cut:
            transport.abort()
            return web.Response()
        call.answered = True
        return _json(200, {"result": result, "error": None, "id": message["id"]})


def _json(status: int, body: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=json.dumps(body).encode())


@asynccontextmanager
async def serving(node: FakeNode, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeNode]:
    """Run `node` on a free port, `node.port`."""
    server = web.Server(node.answer)
    runner = web.ServerRunner(server, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    node.port = runner.addresses[0][1]
    try:
        yield node
    finally:
        await runner.cleanup()


@dataclass
class PprpcNode(FakeNode):
    """A Ravencoin node: assembles blocks and keeps them under their header hashes."""

    header: str = "c4a9530940f57011507fe048ed12495e267391ac3c66303de2ca004722e1bba1"
    epoch: int | None = HEIGHT // 7500
    mining_address: bool = True
    verdict: Any = True
    """Answer to a block with a known header."""
    known: set[str] = field(default_factory=set)

    def template(self) -> dict[str, Any]:
        template = super().template()
        if self.mining_address:
            self.known.add(self.header)
            template |= {"pprpcheader": self.header, "pprpcepoch": self.epoch}
        return template

    async def rpc_pprpcsb(self, params: list[Any]) -> Any:
        header, mix, nonce = params
        if not nonce.startswith("0x"):
            raise RpcFault(-32602, "Invalid hex nonce")
        if header not in self.known:
            raise RpcFault(-32602, "Block header hash not found in block data")
        if isinstance(self.verdict, Exception):
            raise self.verdict
        if self.chain.get(self.height, {}).get("mix_hash") == mix:
            return "duplicate"
        if self.verdict is True:
            self.chain[self.height] = {"hash": "ab" * 32, "mix_hash": mix, "nonce": int(nonce, 16)}
        return self.verdict


@dataclass
class FiroNode(PprpcNode):
    """A Firo node: takes the address with the request, calls a new block a duplicate."""

    async def rpc_getblocktemplate(self, params: list[Any]) -> Any:
        if len(params) < 2 or params[1] != "aFiroAddress":
            raise RpcFault(-5, "Invalid address")
        return await super().rpc_getblocktemplate(params)

    async def rpc_pprpcsb(self, params: list[Any]) -> Any:
        result = await super().rpc_pprpcsb(params)
        return "duplicate" if result is True else result


@dataclass
class VeilNode(PprpcNode):
    """A Veil node: needs the algorithm in the request."""

    async def rpc_getblocktemplate(self, params: list[Any]) -> Any:
        if params[0].get("algo") != "progpow":
            raise RpcFault(-8, "no algorithm")
        return await super().rpc_getblocktemplate(params)


@dataclass
class WorkNode(FakeNode):
    """A node with the Ethereum family's calls."""

    work: list[str] = field(
        default_factory=lambda: [
            "0x" + 32 * "c4",
            "0x" + 32 * "00",
            "0x" + TARGET,
            hex(HEIGHT),
        ]
    )
    taken: bool = True

    async def rpc_eth_getWork(self, params: list[Any]) -> Any:  # noqa: N802
        return self.work

    async def rpc_eth_submitWork(self, params: list[Any]) -> Any:  # noqa: N802
        nonce, header, mix = params
        if header != self.work[0] or not self.taken:
            return False
        self.chain[HEIGHT] = {"mixHash": mix, "nonce": nonce}
        return True

    async def rpc_eth_getBlockByNumber(self, params: list[Any]) -> Any:  # noqa: N802
        return self.chain.get(int(params[0], 16))

    rpc_sero_getWork = rpc_eth_getWork  # noqa: N815
    rpc_sero_submitWork = rpc_eth_submitWork  # noqa: N815
    rpc_sero_getBlockByNumber = rpc_eth_getBlockByNumber  # noqa: N815


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


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

    async def rpc_validateaddress(self, params: list[Any]) -> Any:
        script = SCRIPTS.get(params[0])
        return {"isvalid": True, "scriptPubKey": script} if script else {"isvalid": False}

    async def rpc_submitblock(self, params: list[Any]) -> Any:
        try:
            block = self.read(bytes.fromhex(params[0]))
        except BadBlock as problem:
            return str(problem)
        if block in self.blocks:
            return "duplicate"
        self.blocks.append(block)
        self.chain[self.height] = {"hash": "ab" * 32, "mix_hash": block["mix"]}
        return None

    def read(self, data: bytes) -> dict[str, Any]:
        """Return the parts of a valid block; raises `BadBlock`."""
        fields_ = struct.unpack("<I32s32sIII", data[:80])
        version, previous, root, time, bits, height = fields_
        if previous[::-1].hex() != self.tip:
            raise BadBlock("bad-prevblk")
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

"""Fake coin nodes: HTTP JSON-RPC on loopback, with faults on demand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import ssl
import struct
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

BITS = "1d0affff"
TARGET = "0000000affff" + 52 * "0"
HEIGHT = 1866617
LOGIN = ("rpc", "s3cret")

RPC_THREADS = 4
RPC_WORK_QUEUE = 16
"""Defaults of `rpcthreads` and `rpcworkqueue` of a Bitcoin-derived node."""


def sha256d(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


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
    """A node; its RPC methods are the methods with the prefix `rpc_`.

    As `ravend` does, it runs `RPC_THREADS` calls at a time, also those whose caller has gone, lets
    `RPC_WORK_QUEUE` more wait and refuses others.
    """

    login: tuple[str, str] = LOGIN
    height: int = HEIGHT
    """Height of the block to find."""
    tip: str = "11" * 32
    calls: list[Call] = field(default_factory=list)
    chain: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Blocks by height, each with hash, mix hash and nonce."""

    def __post_init__(self) -> None:
        self.port = 0
        self.requests: list[web.BaseRequest] = []
        self.refused = 0
        """Calls refused because the queue was full."""
        self.most_running: dict[str, int] = {}
        """Most calls that ran at once, by method."""
        self.running: set[asyncio.Task[web.StreamResponse]] = set()
        self._threads = asyncio.Semaphore(RPC_THREADS)
        self._queued = 0
        self._at_once: Counter[str] = Counter()
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

    def extend(self, nonce: int, mix_hash: str, block_hash: str = "") -> None:
        """Put a block on the chain, which makes it the tip."""
        block_hash = block_hash or sha256d(f"{self.height} {nonce} {mix_hash}".encode()).hex()
        self.chain[self.height] = {"hash": block_hash, "mix_hash": mix_hash, "nonce": nonce}
        self.new_tip(block_hash)

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

    async def rpc_getblockheader(self, params: list[Any]) -> Any:
        assert params[1] is False
        block = await self.rpc_getblock(params)
        mix_hash = bytes.fromhex(block["mix_hash"])
        return (bytes(80) + struct.pack("<Q", block["nonce"]) + mix_hash[::-1]).hex()

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
        if self._threads.locked() and self._queued >= RPC_WORK_QUEUE:
            self.refused += 1
            return web.Response(status=500, body=b"Work queue depth exceeded")
        task = asyncio.create_task(self._run(call, message["id"], transport))
        self.running.add(task)
        task.add_done_callback(self.running.discard)
        return await asyncio.shield(task)

    async def _run(
        self, call: Call, number: int, transport: asyncio.Transport
    ) -> web.StreamResponse:
        """Run `call` on one of the threads."""
        self._queued += 1
        async with self._threads:
            self._queued -= 1
            self._at_once[call.method] += 1
            most = max(self._at_once[call.method], self.most_running.get(call.method, 0))
            self.most_running[call.method] = most
            try:
                return await self._answer(call, number, transport)
            finally:
                self._at_once[call.method] -= 1

    async def _answer(
        self, call: Call, number: int, transport: asyncio.Transport
    ) -> web.StreamResponse:
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
            return _json(fault.status, {"result": None, "error": error, "id": number})
        except Raw as raw:
            return web.Response(status=raw.status, body=raw.body)
        except Cut:
            transport.abort()
            return web.Response()
        call.answered = True
        return _json(200, {"result": result, "error": None, "id": number})


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
        for task in node.running:
            task.cancel()


@dataclass
class PprpcNode(FakeNode):
    """A Ravencoin node: assembles blocks and keeps them under their header hashes."""

    header: str = "c4a9530940f57011507fe048ed12495e267391ac3c66303de2ca004722e1bba1"
    epoch: int | None = HEIGHT // 7500
    mining_address: bool = True
    verdict: Any = True
    """Answer to a block with a known header."""
    known: set[str] = field(default_factory=set)
    """Headers of the current tip that the node handed out."""

    def new_tip(self, tip: str = "22" * 32, height: int | None = None) -> None:
        if tip != self.tip:
            self.known.clear()
        super().new_tip(tip, height)

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
        if self.verdict is True:
            self.header = sha256d(f"{header} {mix}".encode()).hex()
            self.extend(int(nonce, 16), mix)
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
        height = int(self.work[3], 0)
        self.chain[height] = {"mixHash": mix, "nonce": nonce}
        self.work = ["0x" + sha256d(mix.encode()).hex(), *self.work[1:3], hex(height + 1)]
        return True

    async def rpc_eth_getBlockByNumber(self, params: list[Any]) -> Any:  # noqa: N802
        return self.chain.get(int(params[0], 16))

    rpc_sero_getWork = rpc_eth_getWork  # noqa: N815
    rpc_sero_submitWork = rpc_eth_submitWork  # noqa: N815
    rpc_sero_getBlockByNumber = rpc_eth_getBlockByNumber  # noqa: N815

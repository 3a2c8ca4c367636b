"""The peers of a miner under faults: the test pool as a process, a relay before it, a node."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

from fault_plan import pool_script  # noqa: E402

from miner.run import pool_process  # noqa: E402
from miner.run.pool_process import PoolOptions, serve_pool  # noqa: E402
from miner.stratum.difficulty import DIFF1_KAWPOW, expected_hashes  # noqa: E402
from miner.testpool.faults import Script  # noqa: E402
from miner.testpool.server_events import ServerEvent  # noqa: E402
from miner.variant_file import load_variant  # noqa: E402
from tests.e2e.test_solo import ProvingBlockNode  # noqa: E402
from tests.fakes.node import Cut, Raw, RpcFault  # noqa: E402

BLOCK_SECONDS = 6.0
"""Time between two heights of the pool."""

SCRIPT_LENGTH = 5000

JUNK = (b"\n" * 4000, b"{}\n" * 1000, b'{"id":1,"result":[]}\n' * 200, b"x" * 3000 + b"\n")
JUNK_PER_SECOND = 5_000_000
"""Bytes."""


class PoolProcess:
    """The test pool, which may be killed and started again on its port."""

    def __init__(self, variant: Path, difficulty: float, seed: int, seconds: float) -> None:
        self._variant, self._difficulty = variant, difficulty
        self._seed, self._seconds = seed, seconds
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self.port = 0
        self.events: list[dict[str, Any]] = []
        self.is_half_open = False
        """Nothing that the pool sends reaches its client."""
        self.on_fault: Callable[[str], None] = lambda fault: None
        self.starts = 0

    @property
    def faults(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == "FaultInjected"]

    async def start(self) -> None:
        heights = [event["height"] for event in self.events if "height" in event]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-u", __file__, str(self._variant), str(self._difficulty),
            str(self._seed + self.starts), str(self._seed), str(self._seconds),
            str(len(self.faults)), str(max(heights, default=1000) + 1), str(self.port),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        self.starts += 1
        assert self._process.stdout is not None
        self.port = int(await self._process.stdout.readline())
        self._reading = asyncio.create_task(self._read(self._process.stdout))

    async def kill(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._reading is not None:
            await self._reading

    async def _read(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            event = json.loads(line)
            self.events.append(event)
            if event["kind"] == "ClientJoined":
                self.is_half_open = False
            if event["kind"] == "FaultInjected" and not event["skipped"]:
                self.on_fault(event["fault"])
                self.is_half_open |= event["fault"] == "half_open"


@dataclass
class Relay:
    """Passes connections on to the pool, or disturbs them."""

    pool: PoolProcess
    port: int = 0
    mode: str = "pass"
    """One of "pass", "silent", "refuse", "closed", "flood"."""
    sent: int = 0
    """Bytes of junk."""
    logins: int = 0
    """Connections since the mode changed."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _may_pass: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_used(self) -> bool:
        return bool(self._open)

    async def start(self) -> None:
        self._may_pass.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def change(self, mode: str) -> None:
        """Use `mode` from now on; "silent" keeps the open connections, other modes close them."""
        was, self.mode, self.logins = self.mode, mode, 0
        if mode == "silent":
            self._may_pass.clear()
            return
        self.cut()
        self._may_pass.set()
        if mode == "closed":
            self.close()
        elif was == "closed":
            await self.start()

    def cut(self) -> None:
        for writer in (*self._open,):
            writer.transport.abort()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        self.logins += 1
        try:
            with suppress(OSError, ValueError, asyncio.IncompleteReadError):
                await self._converse(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.mode == "refuse":
            while line := await reader.readline():
                number = json.loads(line).get("id")
                error = [24, "unauthorized worker", None]
                writer.write(json.dumps({"id": number, "result": None, "error": error}).encode())
                writer.write(b"\n")
        elif self.mode == "flood":
            while True:
                for junk in JUNK:
                    writer.write(junk)
                    await writer.drain()
                    self.sent += len(junk)
                    await asyncio.sleep(len(junk) / JUNK_PER_SECOND)
        else:
            await self._may_pass.wait()
            theirs, ours = await asyncio.open_connection("127.0.0.1", self.pool.port)
            self._open.add(ours)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pass(reader, ours, writer))
                    group.create_task(self._pass(theirs, writer, ours))
            except* OSError:
                pass
            finally:
                self._open.discard(ours)
                ours.transport.abort()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
    ) -> None:
        while data := await source.read(65536):
            await self._may_pass.wait()
            target.write(data)
            await target.drain()
        target.transport.abort()
        back.transport.abort()


@dataclass
class FaultyNode(ProvingBlockNode):
    """A node that proves each block, and records those that it accepted."""

    accepted: list[tuple[str, str]] = field(default_factory=list)
    """Header and nonce, as the ledger writes them."""
    wrong: list[str] = field(default_factory=list)
    slow_until: float = 0.0

    async def rpc_submitblock(self, params: list[Any]) -> Any:
        try:
            verdict = await super().rpc_submitblock(params)
        except AssertionError as error:
            self.wrong.append(f"a block is not proved: {error}")
            raise RpcFault(-22, "invalid proof") from None
        if verdict is None:
            block = self.blocks[-1]
            self.accepted.append((block["header"], f"{block['nonce']:016x}"))
        return verdict

    async def rpc_getbestblockhash(self, params: list[Any]) -> Any:
        await asyncio.sleep(max(self.slow_until - asyncio.get_running_loop().time(), 0.0))
        return await super().rpc_getbestblockhash(params)

    def inject(self, name: str) -> None:
        """Make the next calls fail."""
        template, look = "getblocktemplate", "getbestblockhash"
        match name:
            case "is starting":
                self.fails(template, *[RpcFault(-28, "Loading block index...")] * 3)
            case "has no peers":
                self.fails(template, *[RpcFault(-9, "not connected")] * 2)
            case "is downloading":
                self.fails(template, *[RpcFault(-10, "is downloading blocks")] * 2)
            case "has a full queue":
                full = Raw(500, b"Work queue depth exceeded")
                self.fails(look, *[full] * 3)
                self.fails("submitblock", full)
            case "cuts the connection":
                self.fails(look, Cut())
                self.fails(template, Cut())
            case "answers nonsense":
                self.fails(template, Raw(200, b"<html>502 Bad Gateway</html>"))
            case "takes a block and cuts":
                self.loses("submitblock", Cut())
            case "is slow":
                self.slow_until = asyncio.get_running_loop().time() + 6.0


def _json_line(event: ServerEvent) -> str:
    line = {"kind": type(event).__name__, **asdict(event)}
    if "difficulty" in line:
        line["hashes"] = line["difficulty"] * float(expected_hashes(DIFF1_KAWPOW))
    if line["kind"] == "FaultInjected":
        line["fault"] = line["fault"]["name"]
    return json.dumps(line, default=str)


def main() -> None:
    """Serve the test pool; print its port, then an event as JSON on each line."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("variant", type=Path)
    parser.add_argument("difficulty", type=float)
    for name in ("seed", "plan"):
        parser.add_argument(name, type=int)
    parser.add_argument("seconds", type=float, help="of the run")
    for name in ("skip", "height", "port"):
        parser.add_argument(name, type=int)
    asked = parser.parse_args()
    script = pool_script(asked.plan, asked.seconds, SCRIPT_LENGTH)[asked.skip :]
    options = PoolOptions(
        load_variant(asked.variant), asked.height, asked.difficulty, asked.difficulty * 1e6,
        BLOCK_SECONDS, asked.seed, port=asked.port, faults=Script(script),
    )  # fmt: skip

    def write(line: str) -> None:
        print(line.rpartition(":")[2] if line.startswith("listening") else line)

    with patch.object(pool_process, "pool_line", _json_line):
        asyncio.run(serve_pool(options, write))


if __name__ == "__main__":
    main()

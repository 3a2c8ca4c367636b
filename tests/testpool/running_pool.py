"""A test pool on sockets, with a clock that tests advance, and a bare client."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from miner.stratum.chain import Chain, Template
from miner.testpool.pool_server import PoolServer, ServerOptions, ShareProver
from miner.testpool.server_events import ServerEvent
from tests.fakes.clock import FakeClock
from tests.testpool.standins import StandInProver, make_chain, mix_of

E = TypeVar("E")

SECONDS = 30
"""Limit of each wait, generous for busy machines."""


class Client:
    """A bare Stratum client; every wait is bounded."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.prefix = b""
        self.notices: list[dict[str, Any]] = []
        self.last_id = 0

    async def line(self) -> dict[str, Any] | None:
        """Return the next message, or None at the end of the stream."""
        async with asyncio.timeout(SECONDS):
            try:
                line = await self.reader.readline()
            except ConnectionError:
                return None
        return json.loads(line) if line else None

    def ask(self, method: str, *params: object) -> int:
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": params}
        self.writer.write(json.dumps(message).encode() + b"\n")
        return self.last_id

    async def answer(self, request_id: int) -> dict[str, Any]:
        while True:
            message = await self.line()
            assert message is not None, "the connection ended"
            if "method" in message:
                self.notices.append(message)
            elif message["id"] == request_id:
                return message

    async def call(self, method: str, *params: object) -> Any:
        """Return the result, or the error."""
        reply = await self.answer(self.ask(method, *params))
        return reply["result"] if reply["error"] is None else reply["error"]

    async def job(self) -> list[Any]:
        """Return the params of the next notify."""
        while True:
            message = self.notices.pop(0) if self.notices else await self.line()
            assert message is not None, "the connection ended"
            if message.get("method") == "mining.notify":
                return list(message["params"])

    async def login(self, worker: str = "w") -> list[Any]:
        self.prefix = bytes.fromhex((await self.call("mining.subscribe", "test/1"))[1])
        assert await self.call("mining.authorize", worker, "x") is True
        return await self.job()

    @property
    def first(self) -> int:
        return int.from_bytes(self.prefix.ljust(8, b"\0"), "big")

    def share(self, job: Template, nonce: int, worker: str = "w") -> tuple[str, ...]:
        mix = mix_of(job.height, job.header_hash, nonce).hex()
        return (worker, job.job_id, f"0x{nonce:016x}", "0x" + job.header_hash.hex(), "0x" + mix)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


class RunningPool:
    """A test pool with its clock and its events."""

    def __init__(
        self,
        chain: Chain | None = None,
        prover: ShareProver | None = None,
        **options: Any,
    ) -> None:
        self.chain = chain or make_chain()
        self.clock = FakeClock()
        self.events: list[ServerEvent] = []
        self._happened = asyncio.Event()
        self.server = PoolServer(
            self.chain, prover or StandInProver(), self.clock, ServerOptions(**options), self
        )
        self._clients: list[Client] = []

    def on_event(self, event: ServerEvent) -> None:
        self.events.append(event)
        self._happened.set()

    async def connect(self, connected: socket.socket | None = None) -> Client:
        if connected is None:
            streams = await asyncio.open_connection("127.0.0.1", self.server.port)
        else:
            streams = await asyncio.open_connection(sock=connected)
        client = Client(*streams)
        self._clients.append(client)
        return client

    async def event(self, kind: type[E]) -> E:
        """Return the next event of `kind`, waiting for it, and remove it."""
        async with asyncio.timeout(SECONDS):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        self.events.remove(event)
                        return event
                self._happened.clear()
                await self._happened.wait()

    async def hang_up(self) -> None:
        for client in self._clients:
            await client.close()


@asynccontextmanager
async def running(
    chain: Chain | None = None, prover: ShareProver | None = None, **options: Any
) -> AsyncIterator[RunningPool]:
    pool = RunningPool(chain, prover, **options)
    before = asyncio.all_tasks()
    try:
        async with asyncio.timeout(4 * SECONDS), pool.server.listen():
            yield pool
    finally:
        await pool.hang_up()
        assert asyncio.all_tasks() <= before

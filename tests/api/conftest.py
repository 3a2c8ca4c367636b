"""A server with a rig on a loopback port, and plain sockets as clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import pytest

from miner.api.api_server import ApiOptions, ApiServer
from miner.api.connection_limits import ConnectionLimits
from miner.api.context import ApiContext, RunControl
from miner.api.loop_budget import HOLD_SECONDS, LoopBudgets
from miner.panels.http_panels import routes
from miner.telemetry.events import KernelReady, Launched, NewJob, PoolConnecting, PoolReady
from tests.fakes import api
from tests.fakes.api import FakeControl
from tests.fakes.clock import FakeClock, settle
from tests.fakes.rig import FIRST, Rig, busy_rig, job

TOKEN = "a token of the tests, ünlike others"

ROW = {
    "id": 7, "run": "r1", "number": 3, "device": "cuda:0", "pci": "0000:0a:00.0", "uuid": None,
    "pool": "stratum+tls://first.example:4444", "algorithm": "kawpow", "job": "5a17",
    "height": 3_000_000, "epoch": 400, "period": 1_000_000, "nonce": "00000000000000ff",
    "header": "ab" * 32, "difficulty_asked": 8e9, "difficulty_reached": 9e9, "is_block": False,
    "found_at": 1_800_000_000.5, "verified_at": 1_800_000_000.6, "sent_at": None,
    "answered_at": None, "outcome": "accepted", "text": "", "user": "canary.wallet",
}  # fmt: skip


def context_of(rig: Rig, control: RunControl | None = None, **changes: Any) -> ApiContext:
    """The context of an API for `rig`, with `changes`, see `tests.fakes.api.context_of`."""
    own = {"journal": rig.journal, "history": rig.history, **changes}
    return api.context_of(rig.telemetry, rig.clock, control, **own)


def small_rig() -> Rig:
    """A rig that has just started to mine, with a few entries in its journal."""
    rig = Rig()
    rig.emit(PoolConnecting(FIRST), PoolReady(FIRST), NewJob(job()))
    for device in ("cuda:0", "opencl:0.1"):
        rig.emit(KernelReady(device, 1_000_000, 0.3), Launched(device, 1000, 0.1))
    return rig


async def newest(limit: int) -> list[dict[str, Any]]:
    return [ROW][:limit]


@dataclass
class RawResponse:
    """A complete response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        assert list(self.json) == ["error"]
        sentence = self.json["error"]
        assert isinstance(sentence, str)
        return sentence


@dataclass
class RawConnection:
    """One connection, on which tests write any bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *lines: str, body: bytes = b"") -> None:
        """Write a request with these lines of its head, and `body`."""
        self.writer.write("\r\n".join((*lines, "", "")).encode("utf-8", "surrogateescape") + body)

    async def answer(self, head: bool = False) -> RawResponse:
        """Read one response; with `head` it has no body."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
        headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines)}
        length = 0 if head else int(headers.get("content-length", "0"))
        body = await self.reader.readexactly(length)
        return RawResponse(int(first.split()[1]), headers, body)

    async def get(self, path: str, *headers: str) -> RawResponse:
        """Send one request, and read its response."""
        self.send(f"GET {path} HTTP/1.1", "Host: localhost", *headers)
        return await self.answer()

    async def ended(self) -> bytes:
        """Return the bytes until the server closes the connection."""
        with suppress(ConnectionError):
            return await self.reader.read()
        return b""


class Service:
    """The server with its rig."""

    def __init__(self, rig: Rig, control: FakeControl, server: ApiServer) -> None:
        self.rig, self.control, self.server = rig, control, server
        self.wires: list[RawConnection] = []

    @property
    def port(self) -> int:
        assert self.server.address is not None
        return self.server.address.port

    async def wire(self, **options: Any) -> RawConnection:
        wire = RawConnection(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.wires.append(wire)
        return wire

    async def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> RawResponse:
        """Send one request on a new connection, with a Host header unless it is given."""
        wire = await self.wire()
        host = [] if any(h.lower().startswith("host:") for h in headers) else ["Host: 127.0.0.1"]
        length = [f"Content-Length: {len(body)}"] if body else []
        wire.send(f"{method} {path} HTTP/1.1", *host, *headers, *length, body=body)
        return await wire.answer(head=method == "HEAD")

    async def get(self, path: str, *headers: str) -> RawResponse:
        return await self.ask("GET", path, *headers)

    async def post(self, path: str, *headers: str, token: str | None = TOKEN) -> RawResponse:
        bearer = [] if token is None else [f"Authorization: Bearer {token}"]
        return await self.ask("POST", path, *bearer, *headers)


async def refused(service: Service, path: str) -> RawResponse:
    """Return the answer to a request that is held back."""
    return await held_back(service, service.get(path))


async def held_back(service: Service, answer: Coroutine[None, None, RawResponse]) -> RawResponse:
    """Return `answer`, which does not come before `HOLD_SECONDS`."""
    asking = asyncio.ensure_future(answer)
    while not service.rig.clock.sleepers_due_in(HOLD_SECONDS):
        await settle()
    assert not asking.done()
    await service.rig.clock.advance(HOLD_SECONDS)
    return await asking


Serve = Callable[..., Awaitable[Service]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a server with `options`; `context` changes fields of its context, and `busy` gives it
    a rig after an eventful hour."""
    async with AsyncExitStack() as stack:
        services: list[Service] = []

        async def start(
            limits: ConnectionLimits | None = None,
            context: dict[str, Any] | None = None,
            busy: bool = False,
            budgets: Callable[[FakeClock], LoopBudgets] = LoopBudgets,
            **options: Any,
        ) -> Service:
            rig, control = await busy_rig() if busy else small_rig(), FakeControl()
            changes: dict[str, Any] = {"shares": newest, **(context or {})}
            server = ApiServer(
                ApiOptions(**{"port": 0, "explicit": True, "token": TOKEN, **options}),
                context_of(rig, control, **changes),
                limits,
                budgets(rig.clock),
                panel_routes=routes,
            )
            service = Service(rig, control, await stack.enter_async_context(server))
            services.append(service)
            return service

        yield start
        for service in services:
            for wire in service.wires:
                wire.writer.close()
                with suppress(ConnectionError):
                    await wire.writer.wait_closed()

"""The server of the test pool."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Protocol

from miner.clock import Clock
from miner.errors import BadValue, ConfigError, not_one_of
from miner.net.address import HostPort, listen_error, listen_problem
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.variant import Variant
from miner.stratum.chain import Chain
from miner.stratum.dialects import DIALECTS
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import OTHER, ClientEvent, LoggedIn, ShareJudged, ShareToProve
from miner.stratum.wire_format import encode
from miner.testpool.client_session import ClientConnection, ClientSession
from miner.testpool.fault_injector import FaultInjector
from miner.testpool.faults import FaultPlan
from miner.testpool.server_events import (
    ClientJoined,
    ClientLeft,
    HeightAdvanced,
    ServerEvent,
    ServerListener,
)
from miner.work import NonceSpace

MAX_CLIENTS = 64

REFRESH_SECONDS = 60.0
"""A height that lasts longer gets a new header, as real pools do for new transactions."""

READ_BYTES = 4096

UNREAD_BYTES = 8192
"""The pool stops reading from a client that leaves more than this unread."""

UNREAD_SECONDS = 10.0
"""Time after which such a client is disconnected."""


class ShareProver(Protocol):
    """Recomputes the hashes of shares."""

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> Digest:
        """Return the digest without blocking the event loop."""


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of the server; raises `BadValue` for values out of range."""

    block_time: float | None = None
    """Seconds until the height advances; None: only clients' blocks advance it."""
    extranonce_bytes: int = 2
    """0 to 4."""
    protocol: str | None = None
    """The only dialect, a key of `DIALECTS`; None: all of them."""
    faults: FaultPlan | None = None
    strict: bool = False
    """Be as strict as the strictest server of each dialect."""
    odd_seed: int | None = None
    """Send messages in the odd forms of known servers, drawn with this seed; None: do not."""

    def __post_init__(self) -> None:
        if self.protocol is not None and self.protocol not in DIALECTS:
            raise BadValue("protocol", not_one_of(self.protocol, DIALECTS))
        if self.block_time is not None and not 0 < self.block_time < inf:
            raise BadValue("block time", f"{self.block_time} is not a positive number of seconds")
        if not 0 <= self.extranonce_bytes <= 4:
            raise BadValue("extranonce bytes", f"{self.extranonce_bytes} is outside 0 to 4")


class PoolServer:
    """Serves `chain` to at most `MAX_CLIENTS` clients and proves every share."""

    def __init__(
        self,
        chain: Chain,
        prover: ShareProver,
        clock: Clock,
        options: ServerOptions,
        listener: ServerListener | None = None,
    ) -> None:
        self.chain, self.sessions = chain, ResumableSessions(clock.now)
        self.strict, self._odd_seed = options.strict, options.odd_seed
        self._connections = 0
        self._prover, self._clock, self._listener = prover, clock, listener
        self._block_time = inf if options.block_time is None else options.block_time
        self._prefix_bits = 8 * options.extranonce_bytes
        self._prefixes_taken = 0
        self._protocol = options.protocol
        self._injector = FaultInjector(options.faults, self, clock) if options.faults else None
        self._group: asyncio.TaskGroup | None = None
        self._clients: dict[ClientConnection, asyncio.Task[None]] = {}
        self._port: int | None = None
        self._block_due = self._refresh_due = inf

    @property
    def port(self) -> int:
        """The port listened on; raises `ConfigError` before `listen`."""
        if self._port is None:
            raise ConfigError("the test pool is not listening yet")
        return self._port

    @asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[PoolServer]:
        """Serve within the context; no task or socket outlives it. Port 0: any free one.

        Raises `ConfigError` for a host other than loopback, `AddressTaken` or `ConfigError` for an
        address that cannot be listened on, `BadValue` for an impossible port. Errors of the pool
        itself leave the context as an exception group.
        """
        listener = await self._bind(host, port)
        self._port = listener.sockets[0].getsockname()[1]
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._restart_timers()
            timers = group.create_task(self._run_timers())
            try:
                await listener.start_serving()
                yield self
            finally:
                self._group = None
                listener.close()
                timers.cancel()
                for client, task in self._clients.items():
                    for pending in (task, *client.tasks):
                        pending.cancel()
                    client.writer.transport.abort()
        await listener.wait_closed()

    # Called by sessions and faults

    def advance(self, clean: bool = True) -> None:
        """Go to the next height; `clean`: older jobs become void."""
        self.chain.advance(clean)
        self._restart_timers()
        self._announce()
        self.report(HeightAdvanced(self.chain.template.height))

    def refresh(self) -> None:
        """Replace the header at the current height."""
        self.chain.refresh()
        self._refresh_due = self._clock.now() + REFRESH_SECONDS
        self._announce()

    def take_prefix(self) -> NonceSpace | None:
        """Return an unused extranonce, in the order 1, 2, … 0; None if there is none left."""
        size = 1 << self._prefix_bits
        if self._prefixes_taken == size:
            return None
        self._prefixes_taken += 1
        return NonceSpace(self._prefixes_taken % size, self._prefix_bits)

    def ban_reason(self, worker: str) -> str:
        """Return why `worker` may not log in now; empty if it may."""
        return self._injector.ban_reason(worker) if self._injector else ""

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Start a task that ends with the pool; raises `ConfigError` before `listen`."""
        if self._group is None:
            raise ConfigError("the test pool is not listening yet")
        return self._group.create_task(work)

    def report(self, event: ServerEvent) -> None:
        """Pass `event` to the listener."""
        if self._listener is not None:
            self._listener.on_event(event)

    # Clients

    async def _bind(self, host: str, port: int) -> asyncio.Server:
        if not HostPort(host, port).is_loopback:
            raise ConfigError(
                f"the test pool serves this machine only; listen on 127.0.0.1 instead of {host!r}"
            )
        if not 0 <= port < 65536:
            raise BadValue("port", f"{port} is outside 0 to 65535")
        address = "127.0.0.1" if host == "localhost" else host
        try:
            return await asyncio.start_server(
                self._connected, address, port, limit=READ_BYTES, start_serving=False
            )
        except OSError as error:
            text = f"the test pool cannot listen on {address} port {port}: {listen_problem(error)}"
            raise listen_error(text, error) from error

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None:
            writer.transport.abort()
            return
        if len(self._clients) == MAX_CLIENTS:
            error = [OTHER, f"the pool is full ({MAX_CLIENTS} clients)"]
            writer.write(encode({"id": None, "result": None, "error": error}))
            writer.close()
            return
        writer.transport.set_write_buffer_limits(high=UNREAD_BYTES)
        host, port = writer.get_extra_info("peername")[:2]
        self._connections += 1
        seed = self._odd_seed
        odd = None if seed is None else Random(f"{seed} {self._connections}")
        session = ClientSession(self, self._protocol, odd)
        client = ClientConnection(reader, writer, session, f"{host}:{port}")
        self._clients[client] = self._group.create_task(self._serve_client(client))

    async def _serve_client(self, client: ClientConnection) -> None:
        writer = client.writer
        reason = "the pool is stopping"
        try:
            end_reason = await self._converse(client)
            reason = client.close_reason or end_reason
            writer.close()
            async with self._unread_limit(client):
                await writer.wait_closed()
        finally:
            writer.transport.abort()
            del self._clients[client]
            client.session.side.disconnected()
            for task in client.tasks:
                task.cancel()
            self.report(ClientLeft(client.address, client.session.worker, reason))
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, client: ClientConnection) -> str:
        """Read, prove and answer until either side ends the connection; return why.

        Shares of one client are proved one at a time, so a fast submitter is read slower.
        """
        writer = client.writer
        while not client.session.close_reason:
            try:
                data = await client.reader.read(READ_BYTES)
            except OSError as error:
                return f"the connection was lost: {error.strerror}"
            if not data:
                return "closed by the client"
            if client.half_open:
                continue
            for event in client.session.receive(data):
                await self._handle(client, event)
            client.flush()
            if writer.transport.get_write_buffer_size():
                async with self._unread_limit(client):
                    await writer.drain()
        return client.session.close_reason

    async def _handle(self, client: ClientConnection, event: ClientEvent) -> None:
        match event:
            case LoggedIn(worker, agent):
                self.report(ClientJoined(client.address, worker, agent))
                if self._injector:
                    self._injector.begin(client, worker)
            case ShareJudged():
                self.report(event)
            case ShareToProve(_, share):
                client.flush()
                job = share.template
                digest = await self._prover.prove(
                    self.chain.variant, job.epoch, job.height, job.header_hash, share.nonce
                )
                judged, block = client.session.side.answer_share(event, digest)
                client.flush()
                self.report(judged)
                if block is not None:
                    self.report(block)
                    self.advance()

    @asynccontextmanager
    async def _unread_limit(self, client: ClientConnection) -> AsyncIterator[None]:
        """Cut `client` if the block waits for it longer than `UNREAD_SECONDS`."""

        async def cut_late() -> None:
            await self._clock.sleep(UNREAD_SECONDS)
            client.cut_unread()

        # Not `within`: to cancel `wait_closed` would break all later calls of it.
        async with asyncio.TaskGroup() as group:
            late = group.create_task(cut_late())
            with suppress(OSError):
                yield
            late.cancel()

    def _announce(self) -> None:
        for client in self._clients:
            client.session.side.announce()
            client.flush()

    # Time

    async def _run_timers(self) -> None:
        while True:
            due = min(self._block_due, self._refresh_due)
            await self._clock.sleep(max(due - self._clock.now(), 0.0))
            now = self._clock.now()
            if now >= self._block_due:
                self.advance()
            elif now >= self._refresh_due:
                self.refresh()

    def _restart_timers(self) -> None:
        now = self._clock.now()
        self._block_due = now + self._block_time
        self._refresh_due = now + REFRESH_SECONDS

"""The server of the test pool."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf

from miner.clock import Clock
from miner.errors import BadValue, ConfigError
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.stratum.chain import Chain
from miner.stratum.dialects import DIALECTS
from miner.stratum.framing import encode
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import (
    OTHER,
    BlockFound,
    ClientEvent,
    LoggedIn,
    ShareJudged,
    ShareToProve,
)
from miner.testpool.client_session import Client, Teller
from miner.testpool.fault_injector import Culprit, FaultCommitted, Means
from miner.testpool.faults import Mischief
from miner.work import NonceSpace

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


async def bind(host: str, port: int, connected: Connected, read_bytes: int) -> asyncio.Server:
    """Return a server that does not accept yet; port 0: any free one.

    Raises `ConfigError` for a host that is not loopback or an address that cannot be listened
    on, `BadValue` for an impossible port.
    """
    address = _loopback(host)
    if not 0 <= port < 65536:
        raise BadValue("port", f"{port} is outside 0 to 65535")
    try:
        return await asyncio.start_server(
            connected, address, port, limit=read_bytes, start_serving=False
        )
    except OSError as error:
        raise ConfigError(
            f"the bundled pool cannot listen on {address} port {port}: {error.strerror}"
        ) from error


def _loopback(host: str) -> str:
    """Return the loopback address meant by `host`, or raise `ConfigError`."""
    if host == "localhost":
        return "127.0.0.1"
    with suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return host
    raise ConfigError(
        f"the bundled pool serves this machine alone: listen on 127.0.0.1, not on {host!r}"
    )


MAX_CLIENTS = 64

REFRESH_SECONDS = 60.0
"""A height that lasts longer gets a new header, as real pools do for new transactions."""

READ_BYTES = 4096

DRAIN_BYTES = 8192
"""A client that leaves more than this unread is not read either, until it takes its replies."""

DRAIN_SECONDS = 10.0
"""Time that it has for that."""

Prove = Callable[[Variant, Epoch, int, bytes, int], Awaitable[tuple[bytes, bytes]]]
"""(variant, epoch, height, header hash, nonce) -> (mix hash, final hash), off the loop.
Hashes are 32 bytes in display order. Whatever it raises ends the server."""

Sent = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ClientJoined:
    """A client authorized its first worker; `address` is host:port."""

    address: str
    worker: str
    agent: str


@dataclass(frozen=True, slots=True)
class ClientLeft:
    """A connection ended; `worker` is empty if none was authorized."""

    address: str
    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class HeightAdvanced:
    """The chain went to `height`, and every client was told so."""

    height: int


ServerEvent = ClientJoined | ClientLeft | ShareJudged | BlockFound | HeightAdvanced | FaultCommitted


class PoolServer:
    """Serves `chain` to at most 64 clients, proving every share with `prove`.

    `block_time` is in seconds of `clock`; None leaves new heights to the clients' blocks.
    `extranonce_bytes` is 0 to 4. `report` is called on the loop for every event. `protocol` is
    the only one spoken; None: all of them. `mischief` holds the faults to commit.
    """

    def __init__(
        self,
        chain: Chain,
        prove: Prove,
        clock: Clock,
        block_time: float | None,
        extranonce_bytes: int = 2,
        report: Callable[[ServerEvent], None] = lambda event: None,
        protocol: str | None = None,
        mischief: Mischief | None = None,
    ) -> None:
        if protocol is not None and protocol not in DIALECTS:
            names = ", ".join(DIALECTS)
            raise BadValue("protocol", f"{protocol!r} is none of the pool's: {names}")
        if block_time is not None and not 0 < block_time < inf:
            raise BadValue("block time", f"{block_time} is not a positive number of seconds")
        if not 0 <= extranonce_bytes <= 4:
            raise BadValue("extranonce bytes", f"{extranonce_bytes} is outside 0 to 4")
        self._chain = chain
        self._prove = prove
        self._clock = clock
        self._block_time = inf if block_time is None else block_time
        self._prefix_bits = 8 * extranonce_bytes
        self._report = report
        self._protocol = protocol
        self._sessions = ResumableSessions(clock.now)
        self._prefixes_taken = 0
        self._group: asyncio.TaskGroup | None = None
        self._clients: dict[Client, asyncio.Task[None]] = {}
        self._port: int | None = None
        self._block_due = self._refresh_due = inf
        self._culprit: Culprit | None = None
        if mischief is not None:
            means = Means(self._advance, self._renew, self._take_prefix, self._start, report)
            self._culprit = Culprit(mischief, chain, clock, means)

    @property
    def port(self) -> int:
        """The port listened on; raises `ConfigError` before `listen`."""
        if self._port is None:
            raise ConfigError("the bundled pool is not listening yet")
        return self._port

    async def serve(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve until cancelled; errors as `listen`."""
        async with self.listen(host, port):
            await asyncio.Event().wait()

    @asynccontextmanager
    async def listen(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[PoolServer]:
        """Serve while the context lasts; no task or socket outlives it. Port 0: any free one.

        Raises `ConfigError` for a host that is not loopback or an address that cannot be
        listened on. As in any task group, errors from inside come out as an exception group.
        """
        listener = await bind(host, port, self._connected, READ_BYTES)
        self._port = listener.sockets[0].getsockname()[1]
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._restart_timers()
            timers = group.create_task(self._keep_time())
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

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is None:
            writer.transport.abort()
            return
        if len(self._clients) == MAX_CLIENTS:
            error = [OTHER, f"the pool has its {MAX_CLIENTS} clients already"]
            writer.write(encode({"id": None, "result": None, "error": error}))
            writer.close()
            return
        writer.transport.set_write_buffer_limits(high=DRAIN_BYTES)
        host, port = writer.get_extra_info("peername")[:2]
        teller = Teller(
            self._chain,
            self._take_prefix,
            self._protocol,
            self._sessions,
            self._culprit.barred if self._culprit else lambda worker: "",
        )
        client = Client(reader, writer, teller, f"{host}:{port}")
        self._clients[client] = self._group.create_task(self._attend(client))

    async def _attend(self, client: Client) -> None:
        writer = client.writer
        reason = "the pool stops"
        try:
            ended = await self._converse(client)
            reason = client.given_up or ended
            writer.close()
            await self._within_limit(client, writer.wait_closed)
        finally:
            writer.transport.abort()
            del self._clients[client]
            client.teller.disconnected()
            for task in client.tasks:
                task.cancel()
            self._report(ClientLeft(client.address, client.teller.worker, reason))
            with suppress(OSError):
                await writer.wait_closed()

    async def _converse(self, client: Client) -> str:
        """Read, prove, answer until either side ends it; return why.

        One share of a client is proved at a time: a client that submits faster is read slower.
        """
        writer = client.writer
        while not client.teller.close_reason:
            try:
                data = await client.reader.read(READ_BYTES)
            except OSError as error:
                return f"the connection was lost: {error.strerror}"
            if not data:
                return "it closed the connection"
            if client.dead:
                continue
            for event in client.teller.receive(data):
                await self._handle(client, event)
            client.flush()
            if writer.transport.get_write_buffer_size():
                await self._within_limit(client, writer.drain)
        return client.teller.close_reason

    async def _handle(self, client: Client, event: ClientEvent) -> None:
        match event:
            case LoggedIn(worker, agent):
                self._report(ClientJoined(client.address, worker, agent))
                if self._culprit:
                    self._culprit.attend(client, worker)
            case ShareJudged():
                self._report(event)
            case ShareToProve(_, share):
                client.flush()
                job = share.template
                mix_hash, final_hash = await self._prove(
                    self._chain.variant, job.epoch, job.height, job.header_hash, share.nonce
                )
                judged, block = client.teller.answer_share(event, mix_hash, final_hash)
                client.flush()
                self._report(judged)
                if block is not None:
                    self._report(block)
                    self._advance()

    async def _within_limit(self, client: Client, sent: Sent) -> None:
        """Await `sent()`; give up on a client that takes too long to read."""

        async def limit() -> None:
            await self._clock.sleep(DRAIN_SECONDS)
            client.give_up()

        async with asyncio.TaskGroup() as group:
            watch = group.create_task(limit())
            with suppress(OSError):
                await sent()
            watch.cancel()

    def _take_prefix(self) -> NonceSpace | None:
        """Return a prefix that no client had before: 1, 2, … and 0 last."""
        size = 1 << self._prefix_bits
        if self._prefixes_taken == size:
            return None
        self._prefixes_taken += 1
        return NonceSpace(self._prefixes_taken % size, self._prefix_bits)

    async def _keep_time(self) -> None:
        while True:
            due = min(self._block_due, self._refresh_due)
            await self._clock.sleep(max(due - self._clock.now(), 0.0))
            now = self._clock.now()
            if now >= self._block_due:
                self._advance()
            elif now >= self._refresh_due:
                self._renew()

    def _renew(self) -> None:
        self._chain.refresh()
        self._refresh_due = self._clock.now() + REFRESH_SECONDS
        self._announce()

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        if self._group is None:
            raise ConfigError("the bundled pool is not listening yet")
        return self._group.create_task(work)

    def _advance(self, clean: bool = True) -> None:
        self._chain.advance(clean)
        self._restart_timers()
        self._announce()
        self._report(HeightAdvanced(self._chain.template.height))

    def _restart_timers(self) -> None:
        now = self._clock.now()
        self._block_due = now + self._block_time
        self._refresh_due = now + REFRESH_SECONDS

    def _announce(self) -> None:
        for client in self._clients:
            client.teller.announce()
            client.flush()

"""A TCP server for panels that send short requests: few connections, each with time limits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, Self

from miner.api.auth import network_of
from miner.clock import Clock
from miner.errors import ConfigError
from miner.net.address import HostPort, check_exposure, listen_error, listen_problem
from miner.telemetry import Journal

MAX_CONNECTIONS = 32

CONNECTIONS_OF_ONE = 16
"""Connections of one address; one more takes the place of its oldest."""

IDLE_SECONDS = 60.0
"""Limit on the time without a completed request, and on taking an answer."""

READ_BYTES = 1024

REQUEST_SECONDS = 0.05
"""Minimum time between two answers to one client, so that a flood of requests delays only that
client."""

_HTTP = re.compile(b"[A-Z]{3,} ")


def looks_like_http(request: bytes) -> bool:
    """Return whether `request` starts like HTTP. Such a request is not answered: a page of another
    origin can make a browser send it."""
    return _HTTP.match(request) is not None


class PanelSession(Protocol):
    """The protocol of one client without its socket: bytes in, bytes out."""

    @property
    def ended(self) -> bool:
        """Whether to close the connection after the answers are sent."""

    def split(self, data: bytes) -> list[bytes]:
        """Return received `data` in pieces with at most one request each."""

    def receive(self, piece: bytes) -> bytes:
        """Return the answer to the request that `piece` completes; empty if none."""

    def finish(self) -> bytes:
        """Return the answer to a last request without its end; called when the client closes."""


class PanelPort:
    """Listens on a port while its context lasts; `new_session` is called for each client.

    `key` is the setting of the port, for messages. Port 0 means any free port. Without `has_token`
    only this machine may connect. The journal reports the address that the port listens on.
    Entering raises `AddressTaken` or `ConfigError` if the address cannot be listened on, and
    `ConfigError` if other machines can reach it without a token. Leaving the context closes all
    connections.
    """

    def __init__(
        self,
        key: str,
        host: str,
        port: int,
        new_session: Callable[[], PanelSession],
        clock: Clock,
        journal: Journal,
        has_token: bool = False,
    ) -> None:
        self._key = key
        self._host = host
        self._port = port
        self._new_session = new_session
        self._clock = clock
        self._journal = journal
        self._has_token = has_token
        self._server: asyncio.Server | None = None
        self._connections: dict[_PanelConnection, str] = {}
        """Oldest first, with their addresses."""
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def port(self) -> int:
        """The port that is listened on; raises `ConfigError` outside the context."""
        if self._server is None:
            raise ConfigError(f"[api] {self._key}: the port is not open")
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def __aenter__(self) -> Self:
        address = HostPort(self._host, self._port)
        check_exposure(self._key, address, has_token=self._has_token)
        host = "127.0.0.1" if self._host.lower() == "localhost" else self._host
        try:
            self._server = await asyncio.start_server(
                self._serve, host, self._port, limit=READ_BYTES
            )
        except (OSError, OverflowError) as error:
            reason = listen_problem(error)
            raise listen_error(
                f'[api] {self._key} = "{address}": cannot listen on this address ({reason}); '
                'choose another port, or "" for none',
                error,
            ) from error
        listening = HostPort(self._host, self.port)
        self._journal.add("api", f"{self._key} API on {listening}")
        return self

    async def __aexit__(self, *_: object) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for connection in self._connections:
            connection.cancel()
        await self._empty.wait()
        await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:
            writer.transport.abort()
            return
        peer = writer.get_extra_info("peername")
        address = network_of(peer[0] if peer else None)
        own = [each for each, its in self._connections.items() if its == address]
        if len(own) >= CONNECTIONS_OF_ONE:
            del self._connections[own[0]]
            own[0].cancel()
        elif len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        connection = _PanelConnection(reader, writer, self._new_session(), self._clock)
        self._connections[connection] = address
        self._empty.clear()
        try:
            await connection.run()
        finally:
            writer.transport.abort()
            self._connections.pop(connection, None)
            if not self._connections:
                self._empty.set()


class _PanelConnection:
    """One client's connection and its idle timeout."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: PanelSession,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._session = session
        self._clock = clock
        self._last_request = self._next_answer = clock.now()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._serving = group.create_task(self._serve())
            timeout = group.create_task(self._cancel_when_idle())
            self._serving.add_done_callback(lambda done: timeout.cancel())

    def cancel(self) -> None:
        self._serving.cancel()

    async def _serve(self) -> None:
        # A client may disconnect at any time; that is not worth a message.
        with suppress(OSError):
            await self._answer_requests()
            self._writer.close()
            await self._writer.wait_closed()

    async def _answer_requests(self) -> None:
        while data := await self._reader.read(READ_BYTES):
            # Neither read nor drain yields to other tasks while data is available and the write
            # buffer has room.
            await asyncio.sleep(0)
            for piece in self._session.split(data):
                await self._send(self._session.receive(piece))
                if self._session.ended:
                    return
        await self._send(self._session.finish())

    async def _send(self, answer: bytes) -> None:
        """Send `answer`, at least `REQUEST_SECONDS` after the previous one."""
        if not answer:
            return
        if (early := self._next_answer - self._clock.now()) > 0:
            await self._clock.sleep(early)
        self._last_request = self._clock.now()
        self._next_answer = self._last_request + REQUEST_SECONDS
        self._writer.write(answer)
        await self._writer.drain()

    async def _cancel_when_idle(self) -> None:
        while (left := self._last_request + IDLE_SECONDS - self._clock.now()) > 0:
            await self._clock.sleep(left)
        self.cancel()

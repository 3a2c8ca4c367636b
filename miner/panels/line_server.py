"""A TCP port for panels that speak in lines: few connections, short requests, no long silence."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from miner.clock import Clock
from miner.errors import ConfigError
from miner.net.address import HostPort, check_exposure

LINE_LIMIT = 65536
"""Bytes that a request may have."""

MAX_CONNECTIONS = 32

IDLE_SECONDS = 60.0
"""A client that completes no request or does not take its answers for so long is dropped."""

READ_BYTES = 1024

REQUEST_SECONDS = 0.05
"""From one answer to a client to its next: who sends many requests at once holds nobody up."""


_HTTP = re.compile(b"[A-Z]{3,} ")


def looks_like_http(request: bytes) -> bool:
    """Tell whether it begins as HTTP does: a page in a browser is not spoken to, lest it be made
    use of."""
    return _HTTP.match(request) is not None


class PanelSession(Protocol):
    """One client's conversation: bytes in, bytes out, no socket."""

    @property
    def ended(self) -> bool:
        """Whether the connection is to be closed once the answers are sent."""

    def pieces(self, data: bytes) -> list[bytes]:
        """Return what arrived, cut where a request may end: none holds more than one."""

    def receive(self, piece: bytes) -> bytes:
        """Return the answers to what `piece` completes."""

    def end(self) -> bytes:
        """Return the answer to a last request that came without its end."""


class Lines:
    """Cuts what arrives into lines, holding never more than `limit` bytes."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = b""
        self.too_long = False
        """A line was longer than the limit; nothing more is taken."""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without ends and blanks; empty ones not."""
        if self.too_long:
            return []
        *complete, self._rest = (self._rest + data).split(b"\n")
        lines: list[bytes] = []
        for line in complete:
            if self._is_too_long(line):
                return lines
            if stripped := line.strip():
                lines.append(stripped)
        self._is_too_long(self._rest)
        return lines

    def rest(self) -> bytes:
        """Return what came after the last line's end, and forget it."""
        rest, self._rest = self._rest.strip(), b""
        return rest

    def _is_too_long(self, line: bytes) -> bool:
        if len(line) > self._limit:
            self.too_long, self._rest = True, b""
        return self.too_long


class PanelPort:
    """Serves `dialogue()` to each client of a port while its context lasts.

    `key` is the setting that asks for the port, as its errors name it. Port 0 is any free one.
    `guarded` says that a token is set; without one only this machine is let in. `note` is told the
    address once it is listened on. Entering raises `ConfigError` for an address that lets others in
    without a token, and for one that cannot be listened on. When the context ends, so do all
    connections.
    """

    def __init__(
        self,
        key: str,
        host: str,
        port: int,
        dialogue: Callable[[], PanelSession],
        clock: Clock,
        guarded: bool = False,
        note: Callable[[str], None] = lambda address: None,
    ) -> None:
        self._key = key
        self._host = host
        self._port = port
        self._dialogue = dialogue
        self._clock = clock
        self._guarded = guarded
        self._note = note
        self._server: asyncio.Server | None = None
        self._served: set[_Conversation] = set()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def port(self) -> int:
        """The port listened on; raises `ConfigError` outside of the context."""
        if self._server is None:
            raise ConfigError(f"[api] {self._key}: the port is not open")
        number: int = self._server.sockets[0].getsockname()[1]
        return number

    @property
    def connections(self) -> int:
        """Clients that are served now."""
        return len(self._served)

    async def __aenter__(self) -> Self:
        where = HostPort(self._host, self._port)
        check_exposure(self._key, where, has_token=self._guarded)
        host = "127.0.0.1" if self._host.lower() == "localhost" else self._host
        try:
            self._server = await asyncio.start_server(
                self._attend, host, self._port, limit=READ_BYTES
            )
        except (OSError, OverflowError) as error:
            # asyncio puts its own words before the system's.
            reason = str(getattr(error, "strerror", None) or "no such port").rpartition(": ")[2]
            raise ConfigError(
                f'[api] {self._key} = "{where}": the address cannot be listened on ({reason}); '
                'choose another port, or "" for none'
            ) from error
        self._note(str(HostPort(self._host, self.port)))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for conversation in self._served:
            conversation.end()
        await self._empty.wait()
        await server.wait_closed()

    async def _attend(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None or len(self._served) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        conversation = _Conversation(reader, writer, self._dialogue(), self._clock)
        self._served.add(conversation)
        self._empty.clear()
        try:
            await conversation.run()
        finally:
            writer.transport.abort()
            self._served.discard(conversation)
            if not self._served:
                self._empty.set()


class _Conversation:
    """One connection, with a watch over its silence."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        dialogue: PanelSession,
        clock: Clock,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._dialogue = dialogue
        self._clock = clock
        self._asked = self._free = clock.now()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._talk = group.create_task(self._talk_on())
            watch = group.create_task(self._watch())
            self._talk.add_done_callback(lambda done: watch.cancel())

    def end(self) -> None:
        """End it in the middle of whatever it is at."""
        self._talk.cancel()

    async def _talk_on(self) -> None:
        # A client may go at any moment; that is no fault of ours and nobody's news.
        with suppress(OSError):
            await self._converse()
            self._writer.close()
            await self._writer.wait_closed()

    async def _converse(self) -> None:
        while data := await self._reader.read(READ_BYTES):
            # Neither reading nor writing gives the loop a turn where there is something to read,
            # and room to write.
            await asyncio.sleep(0)
            for piece in self._dialogue.pieces(data):
                await self._answer(self._dialogue.receive(piece))
                if self._dialogue.ended:
                    return
        await self._answer(self._dialogue.end())

    async def _answer(self, answer: bytes) -> None:
        """Send it no sooner than is allowed after the one before."""
        if not answer:
            return
        if (early := self._free - self._clock.now()) > 0:
            await self._clock.sleep(early)
        self._asked = self._clock.now()
        self._free = self._asked + REQUEST_SECONDS
        self._writer.write(answer)
        await self._writer.drain()

    async def _watch(self) -> None:
        while (left := self._asked + IDLE_SECONDS - self._clock.now()) > 0:
            await self._clock.sleep(left)
        self.end()

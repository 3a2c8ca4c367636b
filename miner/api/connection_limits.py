"""Limits on clients that aiohttp does not enforce."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from dataclasses import dataclass
from math import ceil

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from miner.api.auth import network_of
from miner.api.loop_budget import (
    CONNECTION_SECONDS,
    HOLD_SECONDS,
    PROBES,
    REFUSAL_SECONDS,
    TOO_MANY_REQUESTS,
    LoopBudgets,
    metered,
    now,
)
from miner.api.security import STATUS_SENTENCES, add_security_headers, error_response, refusal_bytes

DISCARD = logging.Logger("miner.api")
"""Receives aiohttp's log: errors of clients are of no interest, our own go to the journal."""
DISCARD.addHandler(logging.NullHandler())

TOO_MANY_CLIENTS = "too many clients are connected; try again later"
RETRY_SECONDS = 10
"""The `Retry-After` of clients beyond the limit."""

PROBE_STARTS = tuple(f"GET {path} ".encode() for path in PROBES)

SPARE_SECONDS = 1.0
"""Time for the client of a spare connection to send its request."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """Limits for the resources that clients take."""

    connections: int = 64
    """Connections served at a time."""
    connections_of_one: int = 32
    """Connections of one address."""
    spare: int = 128
    """Further connections, which serve probes only. asyncio accepts up to 100 connections before
    it reads from one of them; with fewer spare ones a probe could be displaced unread."""
    streams: int = 16
    """Event streams among them."""
    request_seconds: float = 10.0
    """From the start of a connection, or the last response, to the end of a request's head; the
    same again for its body."""
    answer_seconds: float = 10.0
    """Time for the client to take everything that was written."""
    body: int = 64 * 1024
    """Bytes of a request's body."""
    line: int = 4096
    """Bytes of a request's first line."""
    field: int = 8190
    """Bytes of a header."""
    headers: int = 64
    """Headers of a request."""
    close_seconds: float = 0.5
    """Time for requests in flight when the server stops."""


class ConnectionFactory:
    """Accepts each new connection; those beyond the limits become spare ones.

    A spare connection serves one request, which must be a probe: half-open connections and greedy
    readers must not make the miner look dead. A new one always fits: it takes
    the place of the oldest one of the address that has most of them.
    """

    def __init__(self, server: web.Server, limits: ConnectionLimits, budgets: LoopBudgets) -> None:
        self._server = server
        self._limits = limits
        self._budgets = budgets
        self.turns = ReaderTurns()
        self.served: set[HttpConnection] = set()
        self.spare: dict[HttpConnection, None] = {}
        """Oldest first."""

    def __call__(self) -> asyncio.Protocol:
        return _Reception(self)

    def admit(self, transport: asyncio.Transport) -> None:
        """Serve the client of `transport`."""
        peer = transport.get_extra_info("peername")
        address = network_of(peer[0] if peer else None)
        self._budgets.readers.charge(address, CONNECTION_SECONDS)
        own = sum(connection.address == address for connection in self.served)
        is_spare = (
            own >= self._limits.connections_of_one or len(self.served) >= self._limits.connections
        )
        if is_spare and len(self.spare) >= self._limits.spare:
            self._displace()
        connection = HttpConnection(
            self, self._server, self._limits, self._budgets, address, is_spare
        )
        transport.set_protocol(connection)
        connection.connection_made(transport)

    def add(self, connection: HttpConnection) -> None:
        """Note that `connection` has begun."""
        if connection.is_spare:
            self.spare[connection] = None
        else:
            self.served.add(connection)

    def remove(self, connection: HttpConnection) -> None:
        """Note that `connection` has ended."""
        self.served.discard(connection)
        self.spare.pop(connection, None)

    def abort_all(self) -> None:
        for connection in (*self.served, *self.spare):
            connection.abort()

    def _displace(self) -> None:
        counts = Counter(connection.address for connection in self.spare)
        ((greedy, _),) = counts.most_common(1)
        oldest = next(each for each in self.spare if each.address == greedy)
        self.remove(oldest)
        oldest.abort()


class _Reception(asyncio.Protocol):
    """The first protocol of a connection: only the connected transport knows the address."""

    def __init__(self, factory: ConnectionFactory) -> None:
        self._factory = factory

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._factory.admit(transport)


@web.middleware
async def spare_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests other than probes on spare connections; a middleware."""
    connection = request.protocol
    is_spare = isinstance(connection, HttpConnection) and connection.is_spare
    if is_spare and request.path not in PROBES:
        raise web.HTTPServiceUnavailable(
            text=TOO_MANY_CLIENTS, headers={"Retry-After": str(RETRY_SECONDS)}
        )
    return await handler(request)


class ReaderTurns:
    """Passes bytes of one connection in each iteration of the event loop.

    So the miner reads what a pool sends between any two requests, however many clients send some.
    """

    def __init__(self) -> None:
        self._due: deque[tuple[HttpConnection, bytes]] = deque()

    def put(self, connection: HttpConnection, data: bytes) -> None:
        """Pass `data` to `connection` after all that is due before."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._pass_next)
        self._due.append((connection, data))

    def _pass_next(self) -> None:
        connection, data = self._due.popleft()
        if self._due:
            asyncio.get_running_loop().call_soon(self._pass_next)
        connection.parse(data)


class HttpConnection(web.RequestHandler):
    """aiohttp's handler of a connection; aborts it if the client does not take a response in
    time.

    Requests of readers over their budget are refused before aiohttp parses them. aiohttp has no
    hook for that, so this reads its private `_messages`, `_current_request` and `_reading_paused`.
    """

    def __init__(
        self,
        factory: ConnectionFactory,
        server: web.Server,
        limits: ConnectionLimits,
        budgets: LoopBudgets,
        address: str,
        is_spare: bool,
    ) -> None:
        seconds = min(SPARE_SECONDS, limits.request_seconds) if is_spare else limits.request_seconds
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # aiohttp also closes a connection in the middle of a head after this time.
            keepalive_timeout=seconds,
            logger=DISCARD,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=limits.line,
            max_field_size=limits.field,
            max_headers=limits.headers,
            lingering_time=min(1.0, seconds),
            auto_decompress=False,
        )
        self.address = address
        """The client's network, by which budgets and limits count."""
        self.is_spare = is_spare
        self._factory = factory
        self._budgets = budgets
        self._answer_seconds = limits.answer_seconds
        self._socket: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._refusing: asyncio.Task[None] | None = None
        self._at_boundary = True
        """Whether nothing of a request was read, or all of one that has no body."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        # asyncio then calls pause_writing as long as any byte is not taken.
        transport.set_write_buffer_limits(high=0)
        self._factory.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._factory.remove(self)
        self._cancel_deadline()
        if self._refusing is not None:
            self._refusing.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not data:  # from aiohttp, which looks at what it has read before
            super().data_received(data)
            return
        is_new = self._at_boundary and not self._messages and self._current_request is None
        if is_new and data.startswith(PROBE_STARTS):
            self.parse(data)
            return
        assert self._socket is not None
        self._socket.pause_reading()
        wait = self._budgets.readers.seconds_to_wait(self.address)
        if is_new and data.startswith(b"GET ") and (wait or self.is_spare):
            self._budgets.readers.charge(self.address, REFUSAL_SECONDS)
            # It is cancelled when the connection ends.
            self._refusing = asyncio.create_task(self._refuse(data, wait))  # noqa: TID251
        else:
            self._factory.turns.put(self, data)

    def parse(self, data: bytes) -> None:
        """Pass `data` on to aiohttp, and read more."""
        if self._socket is None or self._socket.is_closing():
            return
        self._at_boundary = data.endswith(b"\r\n\r\n")
        begun = now()
        super().data_received(data)
        self._budgets.readers.charge_since(self.address, begun)
        if not self._reading_paused:
            self._socket.resume_reading()

    async def _refuse(self, request: bytes, wait: float) -> None:
        """Answer `request` after a while, and read the next one."""
        assert self._socket is not None
        await self._budgets.clock.sleep(HOLD_SECONDS)
        is_last = self.is_spare or not _is_one_request(request)
        if self.is_spare:
            answer = refusal_bytes(503, TOO_MANY_CLIENTS, RETRY_SECONDS, is_last)
        else:
            answer = refusal_bytes(429, TOO_MANY_REQUESTS, ceil(wait), is_last)
        self._socket.write(answer)
        if is_last:
            self._socket.close()
        else:
            self._socket.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._deadline = asyncio.get_running_loop().call_later(self._answer_seconds, self.abort)

    def resume_writing(self) -> None:
        self._cancel_deadline()
        super().resume_writing()

    def abort(self) -> None:
        """End the connection; unwritten bytes are lost."""
        self._cancel_deadline()
        if self._socket is not None:
            self._socket.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send `resp`; errors that aiohttp raises before our middlewares get the common form."""
        if isinstance(resp, web.HTTPException):
            resp = error_response(resp.status, STATUS_SENTENCES[resp.status])
        if self.is_spare:
            resp.force_close()
        steps = super().finish_response(request, resp, start_time).__await__()
        return await metered(steps, self._budgets.of(request.path), self.address)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the error, in the common form, for bytes that cannot be parsed as a request."""
        if request.writer.output_size > 0:
            raise ConnectionResetError("part of a response was already sent")
        if isinstance(exc, LineTooLong):
            response = error_response(431, "the first line or a header of the request is too long")
        elif status == 400:
            response = error_response(400, "the request cannot be read as HTTP")
        else:
            response = error_response(500, "internal error")
        add_security_headers(response.headers)
        response.force_close()
        return response

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def _is_one_request(data: bytes) -> bool:
    """Return whether `data` is a whole request, after which its connection stays open."""
    is_whole = data.endswith(b"\r\n\r\n") and data.count(b"\r\n\r\n") == 1
    return is_whole and b" HTTP/1.1\r\n" in data and b"connection:" not in data.lower()

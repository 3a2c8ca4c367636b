"""Limits on clients that aiohttp does not enforce."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from time import thread_time

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.typedefs import Handler

from miner.api.auth import network_of
from miner.api.cpu_budget import PROBES, CpuBudgets, metered
from miner.api.security import STATUS_SENTENCES, add_security_headers, error_response

DISCARD = logging.Logger("miner.api")
"""Receives aiohttp's log: errors of clients are of no interest, our own go to the journal."""
DISCARD.addHandler(logging.NullHandler())

SPARE_SECONDS = 1.0
"""Time for a client on a spare seat to send its request."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How much of the miner's resources clients may use."""

    connections: int = 64
    """Served at a time."""
    connections_of_one: int = 32
    """Of one address."""
    spare: int = 128
    """More connections, which serve probes only. More than asyncio accepts before it reads from
    one of them, so that no probe is displaced unread."""
    streams: int = 16
    """Event streams among them."""
    request_seconds: float = 10.0
    """From the start of a connection, or the last response, to the end of a request's head; the
    same again for its body."""
    answer_seconds: float = 10.0
    """Until the client has taken everything that was written."""
    body: int = 64 * 1024
    """Bytes of a request's body."""
    line: int = 4096
    """Bytes of a request's first line."""
    field: int = 8190
    """Bytes of a header."""
    headers: int = 64
    """Headers of a request."""
    close_seconds: float = 0.5
    """For requests in flight when the server stops."""


class ConnectionFactory:
    """Gives each new connection a seat: one of those that serve everything, or a spare one.

    A spare seat serves probes only, one request of each connection: half-open connections and
    greedy readers must not make the miner look dead. It always has room, since a new connection
    takes the place of the oldest one of the address that has most of them.
    """

    def __init__(self, server: web.Server, limits: ConnectionLimits, budgets: CpuBudgets) -> None:
        self._server = server
        self._limits = limits
        self._budgets = budgets
        self.served: set[HttpConnection] = set()
        self.spare: dict[HttpConnection, None] = {}
        """Oldest first."""

    def __call__(self) -> asyncio.Protocol:
        return _Reception(self)

    def admit(self, transport: asyncio.Transport) -> None:
        """Serve the client of `transport`."""
        peer = transport.get_extra_info("peername")
        address = network_of(peer[0] if peer else None)
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
async def seat_guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what is not a probe on a spare seat; a middleware."""
    connection = request.protocol
    is_spare = isinstance(connection, HttpConnection) and connection.is_spare
    if is_spare and request.path not in PROBES:
        raise web.HTTPServiceUnavailable(
            text="too many clients are connected; try again later", headers={"Retry-After": "10"}
        )
    return await handler(request)


class HttpConnection(web.RequestHandler):
    """aiohttp's handler of a connection; aborts it if the client does not take a response in
    time."""

    def __init__(
        self,
        factory: ConnectionFactory,
        server: web.Server,
        limits: ConnectionLimits,
        budgets: CpuBudgets,
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
        """As budgets and limits count it."""
        self.is_spare = is_spare
        self._factory = factory
        self._budgets = budgets
        self._answer_seconds = limits.answer_seconds
        self._socket: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

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
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        begun = thread_time()
        super().data_received(data)
        self._budgets.readers.charge(self.address, thread_time() - begun)

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
        budget = self._budgets.of(request.path)
        return await metered(
            super().finish_response(request, resp, start_time).__await__(),
            lambda seconds: budget.charge(self.address, seconds),
        )

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

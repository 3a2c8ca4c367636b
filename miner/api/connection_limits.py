"""Limits on clients that aiohttp does not enforce."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from miner.api.responses import Error, to_json
from miner.api.security import STATUS_SENTENCES, add_security_headers, error_response

DISCARD = logging.Logger("miner.api")
"""Receives aiohttp's log: errors of clients are of no interest, our own go to the journal."""
DISCARD.addHandler(logging.NullHandler())

REFUSAL_SECONDS = 1.0
"""Time for a client beyond the limit to send its request and read the refusal."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How much of the miner's resources clients may use."""

    connections: int = 64
    """Served at a time; as many again get a refusal."""
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
    """Creates the protocol of each new connection: a served one, or a refusal over the limit."""

    def __init__(self, server: web.Server, limits: ConnectionLimits) -> None:
        self._server = server
        self._limits = limits
        self.served: set[HttpConnection] = set()
        self.refused: set[HttpRefusal] = set()

    def __call__(self) -> HttpConnection | HttpRefusal:
        if len(self.served) < self._limits.connections:
            return HttpConnection(self, self._server, self._limits)
        return HttpRefusal(self, self._limits)

    def abort_all(self) -> None:
        """Abort every connection."""
        connections: set[HttpConnection | HttpRefusal] = {*self.served, *self.refused}
        for connection in connections:
            connection.abort()


class HttpConnection(web.RequestHandler):
    """aiohttp's handler of a connection; aborts it if the client does not take a response in
    time."""

    def __init__(
        self, factory: ConnectionFactory, server: web.Server, limits: ConnectionLimits
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # aiohttp also closes a connection in the middle of a head after this time.
            keepalive_timeout=limits.request_seconds,
            logger=DISCARD,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=limits.line,
            max_field_size=limits.field,
            max_headers=limits.headers,
            lingering_time=min(1.0, limits.request_seconds),
            auto_decompress=False,
        )
        self._factory = factory
        self._answer_seconds = limits.answer_seconds
        self._socket: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        # asyncio then calls pause_writing as long as any byte is not taken.
        transport.set_write_buffer_limits(high=0)
        self._factory.served.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._factory.served.discard(self)
        self._cancel_deadline()
        super().connection_lost(exc)

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
        return await super().finish_response(request, resp, start_time)

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


class HttpRefusal(asyncio.Protocol):
    """A connection over the limit: gets a 503 response after its first bytes."""

    def __init__(self, factory: ConnectionFactory, limits: ConnectionLimits) -> None:
        self._factory = factory
        self._limits = limits
        self._socket: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._socket = transport
        if len(self._factory.refused) >= self._limits.connections:
            transport.abort()
            return
        self._factory.refused.add(self)
        self._deadline = asyncio.get_running_loop().call_later(REFUSAL_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        # Closing before the client has sent anything would look like a broken connection.
        assert self._socket is not None
        if not self._socket.is_closing():
            self._socket.write(_too_many_clients())
            self._socket.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._factory.refused.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def abort(self) -> None:
        """End the connection; unwritten bytes are lost."""
        if self._socket is not None:
            self._socket.abort()


def _too_many_clients() -> bytes:
    body = to_json(Error(error="too many clients are connected; try again later"))
    head = (
        "HTTP/1.1 503 Service Unavailable", "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}", "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store", "Retry-After: 10", "Connection: close", "", "",
    )  # fmt: skip
    return "\r\n".join(head).encode() + body

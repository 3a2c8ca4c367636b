"""One client's connection, with the limits that aiohttp leaves to others."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from miner.api.responses import Error, written
from miner.api.security import SENTENCES, harden, refused

QUIET = logging.Logger("miner.api")
"""aiohttp's own: what clients do wrong is no news, what we do wrong the journal tells."""
QUIET.addHandler(logging.NullHandler())

REFUSED_SECONDS = 1.0
"""How long a client that found no seat may take to read so."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What clients may use."""

    connections: int = 64
    """At once; as many again are told that there is no room."""
    streams: int = 16
    """Of them, those that listen."""
    request_seconds: float = 10.0
    """From the beginning of a connection, or the last answer, to the end of a request's head;
    as long again for its body."""
    answer_seconds: float = 10.0
    """Until everything written was taken."""
    body: int = 64 * 1024
    """Bytes of a request's body."""
    line: int = 4096
    """Bytes of a request's first line."""
    field: int = 8190
    """Bytes of a header."""
    headers: int = 64
    """Headers of a request."""
    close_seconds: float = 0.5
    """For what is being answered when the server ends."""


class Hall:
    """Those who are connected; gives each new connection a seat, or a refusal."""

    def __init__(self, server: web.Server, limits: ConnectionLimits) -> None:
        self._server = server
        self._limits = limits
        self.seated: set[HttpConnection] = set()
        self.turned_away: set[HttpRefusal] = set()

    def __call__(self) -> HttpConnection | HttpRefusal:
        if len(self.seated) < self._limits.connections:
            return HttpConnection(self, self._server, self._limits)
        return HttpRefusal(self, self._limits)

    def clear(self) -> None:
        """End every connection at once."""
        for seated in tuple(self.seated):
            seated.abort()
        for away in tuple(self.turned_away):
            away.abort()


class HttpConnection(web.RequestHandler):
    """aiohttp's, but its client must take its answers in time."""

    def __init__(self, hall: Hall, server: web.Server, limits: ConnectionLimits) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            # A client that has sent no whole head by then is closed, also in the middle of one.
            keepalive_timeout=limits.request_seconds,
            logger=QUIET,
            access_log=None,  # type: ignore[arg-type]
            max_line_size=limits.line,
            max_field_size=limits.field,
            max_headers=limits.headers,
            lingering_time=min(1.0, limits.request_seconds),
            auto_decompress=False,
        )
        self._hall = hall
        self._seconds = limits.answer_seconds
        self._wire: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        # Writing counts as paused as long as anything is not taken.
        transport.set_write_buffer_limits(high=0)
        self._hall.seated.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._hall.seated.discard(self)
        self._stop_waiting()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._deadline = asyncio.get_running_loop().call_later(self._seconds, self.abort)

    def resume_writing(self) -> None:
        self._stop_waiting()
        super().resume_writing()

    def abort(self) -> None:
        """End the connection, whatever is left to be written."""
        self._stop_waiting()
        if self._wire is not None:
            self._wire.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send `resp`; what aiohttp refused before our middlewares, in the form of all errors."""
        if isinstance(resp, web.HTTPException):
            resp = refused(resp.status, SENTENCES[resp.status])
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what cannot be read as a request, in the form of all errors."""
        if request.writer.output_size > 0:
            raise ConnectionResetError("an answer had begun")
        if isinstance(exc, LineTooLong):
            response = refused(431, "the first line or a header of the request is too long")
        elif status == 400:
            response = refused(400, "the request cannot be read as HTTP")
        else:
            response = refused(500, "internal error")
        harden(response.headers)
        response.force_close()
        return response

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class HttpRefusal(asyncio.Protocol):
    """The connection of a client for whom there is no seat."""

    def __init__(self, hall: Hall, limits: ConnectionLimits) -> None:
        self._hall = hall
        self._limits = limits
        self._wire: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._wire = transport
        if len(self._hall.turned_away) >= self._limits.connections:
            transport.abort()
            return
        self._hall.turned_away.add(self)
        self._deadline = asyncio.get_running_loop().call_later(REFUSED_SECONDS, self.abort)

    def data_received(self, data: bytes) -> None:
        # Only once it has spoken: closed before, it would see a broken connection.
        assert self._wire is not None
        if not self._wire.is_closing():
            self._wire.write(_no_room())
            self._wire.close()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._hall.turned_away.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def abort(self) -> None:
        """End the connection, whatever is left to be written."""
        if self._wire is not None:
            self._wire.abort()


def _no_room() -> bytes:
    body = written(Error(error="too many clients are connected; try again later"))
    head = (
        "HTTP/1.1 503 Service Unavailable", "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}", "X-Content-Type-Options: nosniff",
        "Cache-Control: no-store", "Retry-After: 10", "Connection: close", "", "",
    )  # fmt: skip
    return "\r\n".join(head).encode() + body

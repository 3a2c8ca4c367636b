"""One client of the test pool: its connection and its Stratum session."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from miner.errors import ProtocolError
from miner.stratum.dialect import Dialect
from miner.stratum.dialects import DIALECTS, recognise
from miner.stratum.extremes import OddForms, RequestCheck
from miner.stratum.pool_side import PoolContext
from miner.stratum.share_rules import OTHER, UNAUTHORIZED, ClientEvent, Refusal, RequestId
from miner.stratum.wire_format import LineReader

CLIENT_LINE_BYTES = 10240
"""A longer line ends the connection, as NOMP's pools do."""

MAX_UNREAD_BYTES = 65536
"""A client that leaves more than this unread is disconnected at once."""


@dataclass(eq=False, slots=True)
class ClientConnection:
    """The connection of one client of the test pool."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    session: ClientSession
    address: str
    """host:port"""
    close_reason: str = ""
    """Why the pool closed the connection."""
    delays: int = 0
    """Number of injected faults that currently hold back everything sent."""
    half_open: bool = False
    """Neither read nor answered, as if the network between had failed."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Cancelled with the connection."""
    _unsent: bytearray = field(default_factory=bytearray)

    def flush(self) -> None:
        """Send the session's output."""
        self.send(self.session.output())

    def send(self, data: bytes) -> None:
        """Send `data` after what is held back; cut a client that reads nothing."""
        transport = self.writer.transport
        if self.half_open or transport.is_closing():
            self._unsent.clear()
            return
        self._unsent += data
        if self.delays or not self._unsent:
            return
        self.writer.write(bytes(self._unsent))
        self._unsent.clear()
        if transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.cut_unread()

    def cut_unread(self) -> None:
        """Cut a client that does not read."""
        self.cut("the client does not read what it is sent")

    def cut(self, reason: str) -> None:
        """Close the connection at once, without sending what is buffered."""
        self.close_reason = reason
        self.writer.transport.abort()

    def close(self, reason: str) -> None:
        """Close the connection after sending what is buffered."""
        self.close_reason = reason
        self.writer.close()


class ClientSession:
    """The pool's side of one Stratum session without I/O: `receive` takes received bytes, `output`
    returns bytes to send.

    `protocol` is a name in `DIALECTS`; None: the client's first message decides. `odd` draws the
    forms of what is sent; None: the usual ones.
    """

    def __init__(
        self, context: PoolContext, protocol: str | None = None, odd: Random | None = None
    ) -> None:
        self._context, self._random = context, odd
        self._undecided = protocol is None
        self._lines = LineReader(CLIENT_LINE_BYTES)
        self._unsent = b""
        self._serve(DIALECTS[protocol] if protocol else next(iter(DIALECTS.values())))

    def _serve(self, dialect: Dialect) -> None:
        extremes, random = dialect.extremes, self._random
        self.side = dialect.serve(self._context)
        self._check = RequestCheck(extremes) if extremes and self._context.strict else None
        self._odd = OddForms(extremes, random) if extremes and random else None

    @property
    def close_reason(self) -> str:
        """Why the connection must be closed after sending `output`; empty: keep it open."""
        return self.side.close_reason

    @property
    def worker(self) -> str:
        """The first authorized worker; empty before the login."""
        return self.side.workers[0] if self.side.workers else ""

    def output(self) -> bytes:
        """Return and clear the bytes to send."""
        data, self._unsent = self._unsent + self.side.output(), b""
        return self._odd.rewrite(data) if self._odd else data

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Handle bytes from the client. A malformed line sets `close_reason`; what follows it is
        ignored."""
        events: list[ClientEvent] = []
        try:
            for line in [] if self.close_reason else self._lines.feed(data):
                event = self._message(_parse(line), len(line) + 1)
                if event is not None:
                    events.append(event)
                if self.close_reason:
                    break
        except ProtocolError as error:
            self.side.close_reason = str(error)
            self.side.refuse(None, Refusal(OTHER, str(error)))
        return events

    def _message(self, message: dict[str, Any], size: int) -> ClientEvent | None:
        request_id = _request_id(message.get("id"))
        method = message.get("method")
        if not isinstance(method, str):
            if self.side.takes_answers and ("result" in message or "error" in message):
                return None  # an answer to no request
            raise ProtocolError("a message has no method")
        if self._undecided:
            self._decide(method, message.get("params"))
        if self._check and (problem := self._check.problem(message, size)):
            self.side.close_reason = problem
            if method in self.side.dialect.logins:
                self.side.refuse(request_id, Refusal(UNAUTHORIZED, problem))
            return None
        return self.side.message(request_id, method, message)

    def _decide(self, method: str, params: object) -> None:
        """Switch to the dialect of the message; if it is unknown, the next message may decide."""
        dialect = recognise(method, params)
        if dialect is not None:
            self._undecided = False
            self._unsent = self.side.output()
            self._serve(dialect)


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a line is not a JSON object")
    return message


def _request_id(value: object) -> RequestId:
    """Return a request's id; raises `ProtocolError` for one that cannot be echoed."""
    match value:
        case None:
            return None
        case int(number) if not isinstance(number, bool) and abs(number) < 2**63:
            return number
        case str(text) if len(text) <= 64:
            return text
    raise ProtocolError("an id is a whole number")

"""One client of the test pool: its connection, and the dialogue with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from miner.errors import ProtocolError
from miner.stratum.chain import Chain
from miner.stratum.dialects import DIALECTS
from miner.stratum.framing import LineReader
from miner.stratum.pool_side import PoolContext
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import (
    OTHER,
    BlockFound,
    ClientEvent,
    Refusal,
    RequestId,
    ShareJudged,
    ShareToProve,
)
from miner.work import NonceSpace

UNREAD_BYTES = 65536
"""A client that leaves more than this unread is disconnected at once."""


@dataclass(eq=False, slots=True)
class Client:
    """A connected client."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    teller: Teller
    address: str
    """host:port"""
    given_up: str = ""
    """Why the pool cut the connection."""
    held: int = 0
    """How many faults hold back what is to be sent."""
    dead: bool = False
    """Neither answered nor listened to, as if its line had been cut somewhere."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """Ended with the connection."""
    _unsent: bytearray = field(default_factory=bytearray)

    def flush(self) -> None:
        """Hand what the teller wrote to the transport; give up on a client that never reads."""
        self.send(self.teller.output())

    def send(self, data: bytes) -> None:
        """Hand `data` to the transport, after what is held back."""
        transport = self.writer.transport
        if self.dead or transport.is_closing():
            self._unsent.clear()
            return
        self._unsent += data
        if self.held or not self._unsent:
            return
        self.writer.write(bytes(self._unsent))
        self._unsent.clear()
        if transport.get_write_buffer_size() > UNREAD_BYTES:
            self.give_up()

    def give_up(self) -> None:
        """Cut off a client that does not read."""
        self.cut("it does not read what it is sent")

    def cut(self, reason: str) -> None:
        """End the connection at once; what is unsent is lost."""
        self.given_up = reason
        self.writer.transport.abort()

    def close(self, reason: str) -> None:
        """End the connection when what is unsent has been sent."""
        self.given_up = reason
        self.writer.close()


CLIENT_LINE_BYTES = 10240
"""A longer line ends the connection, as NOMP's pools do."""


class Teller:
    """Serves one client: bytes go into `receive`, replies come out of `output`.

    `take_prefix` is called at the subscription; None means that no prefix is left. `protocol`
    is a name in `DIALECTS`; None: whichever the first message is of. `barred` says why a worker
    may not log in now, empty where it may.
    """

    def __init__(
        self,
        chain: Chain,
        take_prefix: Callable[[], NonceSpace | None],
        protocol: str | None = None,
        sessions: ResumableSessions | None = None,
        barred: Callable[[str], str] = lambda worker: "",
    ) -> None:
        self._context = PoolContext(
            chain, take_prefix, sessions or ResumableSessions(lambda: 0.0), barred
        )
        self._undecided = protocol is None
        dialect = DIALECTS[protocol] if protocol else next(iter(DIALECTS.values()))
        self.dialect = dialect.serve(self._context)
        self._lines = LineReader(CLIENT_LINE_BYTES)
        self._unsent = b""

    @property
    def close_reason(self) -> str:
        """Why the connection must end after `output` is sent; empty while all is well."""
        return self.dialect.close_reason

    @property
    def worker(self) -> str:
        """The first authorized worker; empty before."""
        return self.dialect.workers[0] if self.dialect.workers else ""

    def output(self) -> bytes:
        """Return what is to be sent, once."""
        data, self._unsent = self._unsent + self.dialect.output(), b""
        return data

    def receive(self, data: bytes) -> list[ClientEvent]:
        """Take bytes from the client; after a malformed line `broken` is set, the rest ignored."""
        events: list[ClientEvent] = []
        try:
            for line in [] if self.close_reason else self._lines.feed(data):
                event = self._message(_parse(line))
                if event is not None:
                    events.append(event)
                if self.close_reason:
                    break
        except ProtocolError as error:
            self.dialect.close_reason = str(error)
            self.dialect.refuse(None, Refusal(OTHER, str(error)))
        return events

    def announce(self) -> None:
        """Tell the chain's newest template to a client that is logged in."""
        self.dialect.announce()

    def answer_share(
        self, pending: ShareToProve, mix_hash: bytes, final_hash: bytes
    ) -> tuple[ShareJudged, BlockFound | None]:
        """Answer a share, given the recomputed hashes (32 bytes each, display order).

        On a `BlockFound` the caller advances the chain.
        """
        return self.dialect.answer_share(pending, mix_hash, final_hash)

    def disconnected(self) -> None:
        """Note that the connection has ended."""
        self.dialect.disconnected()

    def _message(self, message: dict[str, Any]) -> ClientEvent | None:
        request_id = _request_id(message.get("id"))
        method = message.get("method")
        if not isinstance(method, str):
            if "result" in message or "error" in message:
                return None  # an answer, though nothing was asked
            raise ProtocolError("a message has no method")
        if self._undecided:
            self._decide(method, message.get("params"))
        return self.dialect.message(request_id, method, message)

    def _decide(self, method: str, params: object) -> None:
        """Switch to the dialect that recognises the message; without one, the next may decide."""
        for dialect in DIALECTS.values():
            if dialect.recognises(method, params):
                self._undecided = False
                self._unsent = self.dialect.output()
                self.dialect = dialect.serve(self._context)
                return


def _parse(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a line is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a line is not a JSON object")
    return message


def _request_id(value: object) -> RequestId:
    """Return the id as it may be echoed; raise `ProtocolError` for one that may not."""
    match value:
        case None:
            return None
        case int(number) if not isinstance(number, bool) and abs(number) < 2**63:
            return number
        case str(text) if len(text) <= 64:
            return text
    raise ProtocolError("an id is a whole number")

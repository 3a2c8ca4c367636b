"""One connection of the bundled pool, with the teller at its end."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from miner.pool.bundled.teller import Teller

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

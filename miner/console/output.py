"""The stream that a console writes to, which may be slow, full or gone."""

from __future__ import annotations

import errno
import io
import os
import select
from collections import deque
from collections.abc import Callable
from typing import TextIO

HELD = 1000
"""Lines kept for a reader that does not read now, as behind Ctrl-S or in `less`."""

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Synchronised output; terminals that do not know it ignore it."""

_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
_ASCII = str.maketrans({"─": "-", "…": "...", "°": " ", "·": "|"})


class Output(io.TextIOBase):
    """Writes text whole and at once; no failure leaves it, and no reader can stop the miner.

    What cannot be written is lost: to a full disk for this line, to a closed pipe for good.
    """

    framed = False
    """Whether a terminal is asked to show what one `write` draws all at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._held: deque[str] = deque(maxlen=HELD)
        self._lost = 0
        self.phrase: Callable[[str], str] = str
        """Makes a line of a sentence of the stream's own."""
        self._gone = False
        self._poll = _poll_of(stream)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As of the stream: whether it takes more than ASCII."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def ready(self) -> bool:
        """Whether writing would not wait for a reader."""
        return self._poll is None or bool(self._poll.poll(0))

    def line(self, text: str) -> None:
        """Write a line, now or when somebody reads again."""
        if len(self._held) == HELD:
            self._lost += 1
        self._held.append(text)
        self.catch_up()

    def catch_up(self) -> None:
        """Write what was held back."""
        while self._held and self.ready:
            if self._lost:
                lost = self.phrase(f"({self._lost} lines are left out: nobody read them)")
                self.write(f"{lost}\n")
                self._lost = 0
            self.write(self._held.popleft() + "\n")
            self.flush()

    def give_up(self) -> None:
        """Write nothing from now on, so that the end does not wait for a reader either."""
        self._gone = True
        self._held.clear()

    def write(self, text: str) -> int:
        if not self._gone:
            drawn = f"{_BEGIN}{text}{_END}" if self.framed else text
            try:
                self._stream.write(self._encodable(drawn))
            except (OSError, ValueError) as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._failed(error)

    def isatty(self) -> bool:
        return not self.closed and self._stream.isatty()

    def writable(self) -> bool:
        return True

    def _encodable(self, text: str) -> str:
        try:
            text.encode(self.encoding)
        except UnicodeEncodeError:
            plain = text.translate(_ASCII)
            return plain.encode(self.encoding, "replace").decode(self.encoding)
        return text

    def _failed(self, error: OSError | ValueError) -> None:
        """A stream is gone when its reader is, or when it was closed (`ValueError`)."""
        if isinstance(error, OSError) and error.errno not in _GONE:
            return
        self._gone = True
        self._poll = None
        if isinstance(error, OSError):
            # What the stream still holds would fail once more when the process ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def _poll_of(stream: TextIO) -> select.poll | None:
    """Return what asks whether `stream` would wait; None where it never does, or cannot be
    asked."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return None
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return poll

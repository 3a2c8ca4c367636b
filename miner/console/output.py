"""The output stream of a console, which may be slow, full or closed."""

from __future__ import annotations

import errno
import io
import select
from collections import deque
from collections.abc import Callable
from typing import TextIO

from miner.signals import redirect_to_null

HELD = 1000
"""Most lines held while the reader does not read, as after Ctrl-S or in `less`."""

_BEGIN, _END = "\x1b[?2026h", "\x1b[?2026l"
"""Begin and end of a synchronised update; other terminals ignore both."""

_READER_GONE = (errno.EPIPE, errno.EIO, errno.EBADF)
_ASCII = str.maketrans({"─": "-", "…": "...", "°": " ", "·": "|"})


class Output(io.TextIOBase):
    """Writes to `stream` without raising and, by `line`, without blocking.

    Text is lost while the disk is full; nothing is written after the pipe is closed. `format_note`
    formats the note on dropped lines.
    """

    synchronised = False
    """Whether each `write` is marked as an update that a terminal shows as a whole."""

    def __init__(self, stream: TextIO, format_note: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._held: deque[str] = deque(maxlen=HELD)
        self._dropped = 0
        self._format_note = format_note
        self._ended = False
        self._poll = _poll_of(stream)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    @property
    def ready(self) -> bool:
        """Whether the stream takes text without blocking."""
        return self._poll is None or bool(self._poll.poll(0))

    def line(self, text: str) -> None:
        """Write a line, now or when the reader reads again."""
        if len(self._held) == HELD:
            self._dropped += 1
        self._held.append(text)
        self.catch_up()

    def catch_up(self) -> None:
        """Write the lines held."""
        while self._held and self.ready:
            if self._dropped:
                note = f"({self._dropped} lines dropped: the output was not read)"
                self.write(f"{self._format_note(note)}\n")
                self._dropped = 0
            self.write(self._held.popleft() + "\n")
            self.flush()

    def give_up(self) -> None:
        """Write nothing from now on: the end of a run does not wait for a reader."""
        self._ended = True
        self._held.clear()

    def write(self, text: str) -> int:
        if not self._ended:
            update = f"{_BEGIN}{text}{_END}" if self.synchronised else text
            try:
                self._stream.write(self._encodable(update))
            except (OSError, ValueError) as error:
                self._failed(error)
        return len(text)

    def flush(self) -> None:
        if not self._ended:
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
        """Stop writing if the reader is gone or the stream is closed (`ValueError`)."""
        if isinstance(error, OSError) and error.errno not in _READER_GONE:
            return
        self._ended = True
        self._poll = None
        if isinstance(error, OSError):
            # The stream flushes its buffer once more when the process ends, which must not fail.
            redirect_to_null(self._stream.fileno())


def _poll_of(stream: TextIO) -> select.poll | None:
    """Return a poll for writing to `stream`; None if it has no file descriptor or the platform
    has no poll."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return None
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return poll

"""Framing of Stratum messages: JSON on lines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from miner.errors import ProtocolError

LINE_LIMIT = 65536
"""Most bytes of a received line without its newline."""


class LineReader:
    """Splits a byte stream into lines; buffers at most `limit` bytes."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the non-empty lines that `data` completes, without line ends.

        Raises `ProtocolError` for a line longer than `limit` bytes, and in every later call.
        """
        *complete, rest = data.split(b"\n")
        lines = []
        for piece in complete:
            self._append(piece)
            line = bytes(self._rest.strip(b"\r"))
            self._rest.clear()
            if line.strip():
                lines.append(line)
        self._append(rest)
        return lines

    def _append(self, piece: bytes) -> None:
        if self._broken or len(self._rest) + len(piece) > self._limit:
            self._broken = True
            self._rest.clear()
            raise ProtocolError(f"a line is longer than {self._limit} bytes")
        self._rest += piece


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of compact ASCII JSON with its newline.

    Callers keep it under 1024 bytes: open-ethereum-pool and its forks ban for longer lines.
    """
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"

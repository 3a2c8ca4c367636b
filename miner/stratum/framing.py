"""Newline-terminated JSON as both ends of a Stratum connection frame it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from miner.errors import ProtocolError

LINE_LIMIT = 65536
"""Bytes that a received line may have, its newline not counted."""


class LineReader:
    """Cuts a byte stream into lines, holding never more than `limit` bytes between two calls."""

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._rest = bytearray()
        self._broken = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without line ends; empty ones are left out.

        Raises `ProtocolError` for a line longer than `limit` bytes, then at every later call.
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

    Callers keep it under 1024 bytes: pools of the open-ethereum-pool family ban for more.
    """
    return json.dumps(message, separators=(",", ":"), ensure_ascii=True).encode("ascii") + b"\n"

"""Connections in memory."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any

from miner.errors import ConnectionLost
from miner.net.address import PoolUrl


class FakeStream:
    """One connection; the test plays the pool."""

    def __init__(self) -> None:
        self._data: deque[bytes | Exception] = deque()
        self._arrived = asyncio.Event()
        self.written = b""
        self.closed = False

    def feed(self, data: bytes) -> None:
        self._put(data)

    def say(self, *messages: dict[str, Any]) -> None:
        self.feed(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    def end(self) -> None:
        self._put(b"")

    def breaks(self, error: Exception) -> None:
        self._put(error)

    def requests(self, method: str | None = None) -> list[dict[str, Any]]:
        sent = [json.loads(line) for line in self.written.splitlines()]
        return [m for m in sent if method is None or m.get("method") == method]

    def _put(self, item: bytes | Exception) -> None:
        self._data.append(item)
        self._arrived.set()

    async def read(self, count: int) -> bytes:
        while not self._data:
            self._arrived.clear()
            await self._arrived.wait()
        item = self._data.popleft()
        if isinstance(item, Exception):
            raise item
        if len(item) > count:
            self._data.appendleft(item[count:])
        return item[:count]

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True


class FakeDial:
    """Opens the streams prepared for a host, else fails as if nothing listened there."""

    def __init__(self) -> None:
        self.opened: list[PoolUrl] = []
        self.streams: list[FakeStream] = []
        self._ready: dict[str, deque[FakeStream | Exception]] = {}

    def ready(self, host: str, *items: FakeStream | Exception) -> None:
        self._ready.setdefault(host, deque()).extend(items)

    async def open(self, url: PoolUrl) -> FakeStream:
        self.opened.append(url)
        prepared = self._ready.get(url.host)
        if not prepared:
            raise ConnectionLost(f"{url.host}: nothing listens there")
        item = prepared.popleft()
        if isinstance(item, Exception):
            raise item
        self.streams.append(item)
        return item

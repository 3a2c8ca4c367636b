"""Live data as server-sent events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from aiohttp import web

from miner.api.context import Sources
from miner.api.responses import written
from miner.api.routes import StreamQuestion, asked
from miner.api.v1 import entry, newer, status_text
from miner.clock import Clock

STATUS_SECONDS = 1.0
"""Between two statuses."""

BEAT_TURNS = 15
"""Statuses between two signs of life, by which proxies know an idle line from a dead one."""

RETRY_MILLISECONDS = 2000
"""After which a browser connects anew."""


class _Listener:
    """What is due to one client."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.status = self.beat = True

    async def tick(self, clock: Clock) -> None:
        """Let statuses and signs of life become due, until cancelled."""
        for turn in count(1):
            await clock.sleep(STATUS_SECONDS)
            self.status = True
            self.beat = self.beat or turn % BEAT_TURNS == 0
            self.wake.set()


class Streams:
    """Those who listen, at most `limit` at once; entries are read from the journal as each
    client takes them, so nothing piles up for one who is slow."""

    def __init__(self, sources: Sources, limit: int) -> None:
        self._sources = sources
        self._limit = limit
        self._listeners: set[_Listener] = set()
        self._closing = False

    def close(self) -> None:
        """End every stream at once."""
        self._closing = True
        for listener in self._listeners:
            listener.wake.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` until its client leaves or `close`."""
        last = self._begin(request)
        if self._closing or len(self._listeners) >= self._limit:
            raise web.HTTPServiceUnavailable(
                text="too many clients listen; close one or try again later",
                headers={"Retry-After": "10"},
            )
        listener = _Listener()
        self._listeners.add(listener)
        unsubscribe = self._sources.journal.subscribe(lambda entry: listener.wake.set())
        try:
            return await self._stream(request, listener, last)
        finally:
            unsubscribe()
            self._listeners.discard(listener)

    def _begin(self, request: web.Request) -> int:
        """Return the number after which entries are sent."""
        after = asked(request, StreamQuestion).after
        seen = request.headers.get("Last-Event-ID", "")
        if seen.isascii() and seen.isdigit() and len(seen) <= 16:
            return int(seen)
        if after is not None:
            return after
        entries = self._sources.journal.entries
        return entries[-1].number if entries else 0

    async def _stream(
        self, request: web.Request, listener: _Listener, last: int
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
        response.content_type, response.charset = "text/event-stream", "utf-8"
        await response.prepare(request)
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(listener.tick(self._sources.clock))
            # One who left, or was too slow, is no error.
            with suppress(ConnectionError):
                await self._write(response, listener, last)
            ticking.cancel()
        return response

    def _status(self) -> bytes:
        return self._sources.moment.of(status_text, self._sources.paths)

    async def _write(self, response: web.StreamResponse, listener: _Listener, last: int) -> None:
        await response.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        while not self._closing:
            listener.wake.clear()
            pieces = []
            for found in newer(self._sources.journal.entries, last):
                last = found.number
                pieces.append(_event("entry", written(entry(found), self._sources.paths), last))
            if listener.status:
                listener.status = False
                pieces.append(_event("status", self._status()))
            if listener.beat:
                listener.beat = False
                pieces.append(b": alive\n\n")
            if pieces:
                await response.write(b"".join(pieces))
            if not self._closing:
                await listener.wake.wait()


def _event(kind: str, answer: bytes, number: int | None = None) -> bytes:
    id_ = "" if number is None else f"id: {number}\n"
    return f"event: {kind}\n{id_}data: ".encode() + answer + b"\n\n"

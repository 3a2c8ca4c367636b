"""Live data as server-sent events."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from itertools import count

from aiohttp import web

from miner.api.context import ApiContext
from miner.api.routes import StreamQuery, parse_query
from miner.api.v1 import entries_after, status
from miner.clock import Clock
from miner.telemetry import JournalEntry

STATUS_SECONDS = 1.0
"""Interval of the status events."""

STATUSES_PER_KEEPALIVE = 15
"""Comments after so many status events keep proxies from closing an idle connection."""

RETRY_MILLISECONDS = 2000
"""Delay before a browser reconnects."""


class _StreamClient:
    """The events to be written to one client."""

    def __init__(self) -> None:
        self.wake = asyncio.Event()
        self.status = self.keepalive = True

    def on_entry(self, entry: JournalEntry) -> None:
        """Wake the writer for a new entry of the journal."""
        self.wake.set()

    async def tick(self, clock: Clock) -> None:
        """Make status events and keepalives due, until cancelled."""
        for turn in count(1):
            await clock.sleep(STATUS_SECONDS)
            self.status = True
            self.keepalive = self.keepalive or turn % STATUSES_PER_KEEPALIVE == 0
            self.wake.set()


class EventStreams:
    """Serves the event stream to at most `limit` clients at a time.

    Entries are read from the journal when a client takes them, so nothing queues up for a slow
    client.
    """

    def __init__(self, context: ApiContext, limit: int) -> None:
        self._context = context
        self._limit = limit
        self._clients: set[_StreamClient] = set()
        self._closing = False

    def close(self) -> None:
        self._closing = True
        for client in self._clients:
            client.wake.set()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer `request` until its client disconnects or `close` is called."""
        last = self._first_number(request)
        if len(self._clients) >= self._limit:
            raise web.HTTPServiceUnavailable(
                text="too many event streams are open; close one or try again later",
                headers={"Retry-After": "10"},
            )
        client = _StreamClient()
        self._clients.add(client)
        unsubscribe = self._context.journal.subscribe(client.on_entry)
        try:
            return await self._stream(request, client, last)
        finally:
            unsubscribe()
            self._clients.discard(client)

    def _first_number(self, request: web.Request) -> int:
        """Return the number after which entries are sent."""
        after = parse_query(request, StreamQuery).after
        seen = request.headers.get("Last-Event-ID", "")
        if seen.isascii() and seen.isdigit() and len(seen) <= 16:
            return int(seen)
        if after is not None:
            return after
        entries = self._context.journal.entries
        return entries[-1].number if entries else 0

    async def _stream(
        self, request: web.Request, client: _StreamClient, last: int
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
        response.content_type, response.charset = "text/event-stream", "utf-8"
        await response.prepare(request)
        async with asyncio.TaskGroup() as group:
            ticking = group.create_task(client.tick(self._context.clock))
            # The client disconnected, or was too slow and got disconnected.
            with suppress(ConnectionError):
                await self._write(response, client, last)
            ticking.cancel()
        return response

    async def _write(self, response: web.StreamResponse, client: _StreamClient, last: int) -> None:
        await response.write(f"retry: {RETRY_MILLISECONDS}\n\n".encode())
        while not self._closing:
            client.wake.clear()
            pieces = []
            for found in entries_after(self._context.journal.entries, last):
                last = found.number
                pieces.append(_event("entry", self._context.entries.json(found), last))
            if client.status:
                client.status = False
                pieces.append(_event("status", self._context.json(status)))
            if client.keepalive:
                client.keepalive = False
                pieces.append(b": alive\n\n")
            if pieces:
                await response.write(b"".join(pieces))
            if not self._closing:
                await client.wake.wait()


def _event(kind: str, data: bytes, number: int | None = None) -> bytes:
    id_line = "" if number is None else f"id: {number}\n"
    return f"event: {kind}\n{id_line}data: ".encode() + data + b"\n\n"

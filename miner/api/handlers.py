"""The request handlers of the API's operations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import cast

from aiohttp import web

from miner.api import v1
from miner.api.auth import TokenCheck
from miner.api.connection_limits import ConnectionLimits
from miner.api.context import ApiContext, CachedShares
from miner.api.metrics import exposition
from miner.api.openapi import document_text
from miner.api.responses import Access, Done, Health, Readiness, Response
from miner.api.routes import (
    OPERATIONS,
    EventsQuery,
    HistoryQuery,
    MetricsQuery,
    Operation,
    SharesQuery,
    parse_query,
)
from miner.api.security import json_response
from miner.api.stream import EventStreams
from miner.errors import UsageError
from miner.telemetry import Snapshot

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

LEDGER_SECONDS = 5.0
"""Limit on reading the ledger, whose file may be on a slow disk."""


class Handlers:
    """Handles the operations; those that change something need the token."""

    def __init__(
        self,
        context: ApiContext,
        tokens: TokenCheck,
        streams: EventStreams,
        limits: ConnectionLimits,
    ) -> None:
        self._context = context
        self._tokens = tokens
        self._streams = streams
        self._limits = limits
        self._reloading = asyncio.Lock()
        self._shares = (
            None
            if context.shares is None
            else CachedShares(context.shares, context.clock, context.redact)
        )

    def routes(self) -> list[web.RouteDef]:
        """Return a route for each operation."""
        return [self._route(operation) for operation in OPERATIONS]

    def _route(self, operation: Operation) -> web.RouteDef:
        names = {"reload_short": "reload", "pause_device": "pause", "resume_device": "resume"}
        handle = cast(Handle, getattr(self, names.get(operation.name, operation.name)))
        if operation.method == "POST":
            return web.post(operation.path, self._guarded(handle))
        return web.get(operation.path, handle, allow_head=operation.name != "stream")

    def _guarded(self, handle: Handle) -> Handle:
        async def guarded(request: web.Request) -> web.StreamResponse:
            self._tokens.require(request)
            # No operation has a body, but one must be read before the connection's next request.
            try:
                async with asyncio.timeout(self._limits.request_seconds):
                    await request.read()
            except TimeoutError:
                raise web.HTTPRequestTimeout(text="the body took too long to arrive") from None
            return await handle(request)

        return guarded

    async def status(self, request: web.Request) -> web.Response:
        return _json(self._context.json(v1.status))

    async def devices(self, request: web.Request) -> web.Response:
        return _json(self._context.json(v1.devices))

    async def device(self, request: web.Request) -> web.Response:
        try:
            device = self._context.snapshots.newest().device(request.match_info["name"])
        except KeyError:
            raise _unknown_device() from None
        return self._respond(v1.device(device))

    async def pools(self, request: web.Request) -> web.Response:
        return _json(self._context.json(v1.pools))

    async def history(self, request: web.Request) -> web.Response:
        step = parse_query(request, HistoryQuery).step
        return _json(self._context.snapshots.render(self._history, step))

    def _history(self, snapshot: Snapshot, step: int) -> bytes:
        return v1.history_bytes(step, self._context.history.samples(float(step)))

    async def events(self, request: web.Request) -> web.Response:
        query = parse_query(request, EventsQuery)
        entries = v1.entries_after(self._context.journal.entries, query.after)
        rendered = map(self._context.entries.json, entries[-query.limit :])
        return _json(_json_object("events", rendered))

    async def shares(self, request: web.Request) -> web.Response:
        limit = parse_query(request, SharesQuery).limit
        if self._shares is None:
            raise web.HTTPNotFound(text="this run keeps no ledger of its shares")
        try:
            async with asyncio.timeout(LEDGER_SECONDS):
                shares = await self._shares.json(limit)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(
                text="reading the ledger takes too long; try again later",
                headers={"Retry-After": "10"},
            ) from None
        return _json(_json_object("shares", shares))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.serve(request)

    async def access(self, request: web.Request) -> web.Response:
        control = not self._tokens.read_only and "Authorization" in request.headers
        if control:
            self._tokens.require(request)
        return self._respond(Access(read_only=self._tokens.read_only, control=control))

    async def pause(self, request: web.Request) -> web.Response:
        return self._control(request, self._context.control.pause, "pauses")

    async def resume(self, request: web.Request) -> web.Response:
        return self._control(request, self._context.control.resume, "resumes")

    async def reload(self, request: web.Request) -> web.Response:
        async with self._reloading:
            try:
                changes = await self._context.control.reload()
            except UsageError as error:
                raise web.HTTPConflict(text=self._context.redact(str(error))) from error
        return self._respond(Done(done=tuple(changes)))

    async def document(self, request: web.Request) -> web.Response:
        return _json(document_text().encode())

    async def livez(self, request: web.Request) -> web.Response:
        reasons = self._context.snapshots.render(v1.liveness)
        response = Health(ok=not reasons, reasons=tuple(reasons))
        return self._respond(response, 503 if reasons else 200)

    async def readyz(self, request: web.Request) -> web.Response:
        render = self._context.snapshots.render
        reasons, degraded = render(v1.readiness), render(v1.degradation)
        response = Readiness(ok=not reasons, reasons=tuple(reasons), degraded=tuple(degraded))
        return self._respond(response, 503 if reasons else 200)

    async def metrics(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall("Accept", []))
        renderer, content_type = exposition(accept)
        lean = parse_query(request, MetricsQuery).lean == 1
        body = self._context.snapshots.render(renderer, lean)
        return web.Response(body=body, headers={"Content-Type": content_type, "Vary": "Accept"})

    def _respond(self, response: Response, status: int = 200) -> web.Response:
        return json_response(response, status, self._context.redact)

    def _control(
        self, request: web.Request, act: Callable[[str | None], None], verb: str
    ) -> web.Response:
        name = request.match_info.get("name")
        try:
            act(name)
        except KeyError:
            raise _unknown_device() from None
        return self._respond(Done(done=(f"{name or 'every device'} {verb}",)))


def _json_object(name: str, items: Iterable[bytes]) -> bytes:
    """Return an object whose only member is the list of `items`, which are JSON."""
    return b'{"%s":[%s]}' % (name.encode(), b",".join(items))


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _unknown_device() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="unknown device; /api/v1/devices lists the known ones")

"""What each operation of the HTTP API does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from aiohttp import web

from miner.api import v1
from miner.api.auth import Tokens
from miner.api.connection_limits import ConnectionLimits
from miner.api.context import Sources
from miner.api.metrics import exposition
from miner.api.openapi import text
from miner.api.readiness import liveness, readiness
from miner.api.responses import Done, Health, Response
from miner.api.routes import (
    OPERATIONS,
    EventsQuestion,
    HistoryQuestion,
    Operation,
    SharesQuestion,
    asked,
)
from miner.api.security import answered
from miner.api.stream import Streams
from miner.errors import UsageError

Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]

SHARES_SECONDS = 5.0
"""The ledger's file may lie on a slow disk."""


class Endpoints:
    """The operations on `sources`; `tokens` guards those that change something."""

    def __init__(
        self, sources: Sources, tokens: Tokens, streams: Streams, limits: ConnectionLimits
    ) -> None:
        self._sources = sources
        self._tokens = tokens
        self._streams = streams
        self._limits = limits
        self._reloading = asyncio.Lock()

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
            self._tokens.check(request)
            # Nothing is asked in a body, but what comes must be read before the next request.
            try:
                async with asyncio.timeout(self._limits.request_seconds):
                    await request.read()
            except TimeoutError:
                raise web.HTTPRequestTimeout(text="the body took too long to arrive") from None
            return await handle(request)

        return guarded

    async def status(self, request: web.Request) -> web.Response:
        return _json(self._sources.moment.of(v1.status_text, self._sources.paths))

    async def devices(self, request: web.Request) -> web.Response:
        return self._answered(self._sources.moment.of(v1.devices))

    async def device(self, request: web.Request) -> web.Response:
        try:
            found = self._sources.moment.snapshot().device(request.match_info["name"])
        except KeyError:
            raise _no_device() from None
        return self._answered(v1.device(found))

    async def pools(self, request: web.Request) -> web.Response:
        return self._answered(self._sources.moment.of(v1.pools))

    async def history(self, request: web.Request) -> web.Response:
        step = asked(request, HistoryQuestion).step
        return _json(v1.history_text(step, self._sources.history.samples(float(step))))

    async def events(self, request: web.Request) -> web.Response:
        question = asked(request, EventsQuestion)
        entries = v1.newer(self._sources.journal.entries, question.after)
        return self._answered(v1.events(entries[-question.limit :]))

    async def shares(self, request: web.Request) -> web.Response:
        limit = asked(request, SharesQuestion).limit
        if self._sources.shares is None:
            raise web.HTTPNotFound(text="this run keeps no ledger of its shares")
        try:
            async with asyncio.timeout(SHARES_SECONDS):
                rows = await self._sources.shares(limit)
        except TimeoutError:
            raise web.HTTPServiceUnavailable(
                text="the ledger takes too long to be read", headers={"Retry-After": "10"}
            ) from None
        return self._answered(v1.shares(rows))

    async def stream(self, request: web.Request) -> web.StreamResponse:
        return await self._streams.serve(request)

    async def pause(self, request: web.Request) -> web.Response:
        return self._tell(request, self._sources.control.pause, "pauses")

    async def resume(self, request: web.Request) -> web.Response:
        return self._tell(request, self._sources.control.resume, "goes on")

    async def reload(self, request: web.Request) -> web.Response:
        async with self._reloading:
            try:
                changed = await self._sources.control.reload()
            except UsageError as error:
                raise web.HTTPConflict(text=str(error)) from error
        return self._answered(Done(done=tuple(changed)))

    async def document(self, request: web.Request) -> web.Response:
        return _json(text().encode())

    async def livez(self, request: web.Request) -> web.Response:
        return self._health(self._sources.moment.of(liveness))

    async def readyz(self, request: web.Request) -> web.Response:
        return self._health(self._sources.moment.of(readiness))

    async def metrics(self, request: web.Request) -> web.Response:
        accept = ",".join(request.headers.getall("Accept", []))
        render, form = exposition(accept)
        body = self._sources.moment.of(render)
        return web.Response(body=body, headers={"Content-Type": form, "Vary": "Accept"})

    def _answered(self, answer: Response | Sequence[Response], status: int = 200) -> web.Response:
        return answered(answer, status, self._sources.paths)

    def _health(self, reasons: list[str]) -> web.Response:
        answer = Health(ok=not reasons, reasons=tuple(reasons))
        return self._answered(answer, 503 if reasons else 200)

    def _tell(
        self, request: web.Request, act: Callable[[str | None], None], verb: str
    ) -> web.Response:
        name = request.match_info.get("name")
        try:
            act(name)
        except KeyError:
            raise _no_device() from None
        return self._answered(Done(done=(f"{name or 'every device'} {verb}",)))


def _json(text: bytes) -> web.Response:
    return web.Response(body=text, content_type="application/json")


def _no_device() -> web.HTTPNotFound:
    return web.HTTPNotFound(text="there is no such device; /api/v1/devices lists them")

"""The panels' shapes that are fetched over HTTP, as routes for the one listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from miner.api.context import Sources
from miner.panels import hiveos, mmpos, trex, xmrig
from miner.panels.panel_figures import dumps
from miner.telemetry import Snapshot

SHAPES: dict[str, Callable[[Snapshot], Any]] = {
    "/summary": trex.summary,
    "/2/summary": xmrig.summary,
    "/1/summary": xmrig.summary,
    "/api.json": xmrig.summary,
    "/2/backends": xmrig.backends,
    "/mmpos": mmpos.mmpos,
    "/hiveos": hiveos.hiveos,
}
"""By path."""


def routes(sources: Sources) -> list[web.RouteDef]:
    """Return the routes; all of them answer GET with JSON, and change nothing even for one who has
    the token: what T-Rex and xmrig let a panel write is the whole configuration."""
    return [web.get(path, _handler(sources, shape)) for path, shape in SHAPES.items()]


def _handler(sources: Sources, shape: Callable[[Snapshot], Any]) -> Callable[[web.Request], Any]:
    def text(snapshot: Snapshot) -> str:
        return dumps(shape(snapshot))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(
            text=sources.moment.of(text), headers={"Cache-Control": "no-store"}
        )

    return answer

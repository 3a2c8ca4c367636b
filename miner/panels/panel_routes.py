"""The panels' shapes that are fetched over HTTP, as routes for the one listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from miner.api.context import ApiContext
from miner.panels import hiveos, mmpos, trex, xmrig
from miner.panels.panel_figures import compact_json
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


def routes(context: ApiContext) -> list[web.RouteDef]:
    """Return the routes; all of them answer GET with JSON, and change nothing even for one who has
    the token: what T-Rex and xmrig let a panel write is the whole configuration."""
    return [web.get(path, _handler(context, shape)) for path, shape in SHAPES.items()]


def _handler(context: ApiContext, shape: Callable[[Snapshot], Any]) -> Callable[[web.Request], Any]:
    def text(snapshot: Snapshot) -> str:
        return compact_json(shape(snapshot))

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(
            text=context.snapshots.render(text), headers={"Cache-Control": "no-store"}
        )

    return answer

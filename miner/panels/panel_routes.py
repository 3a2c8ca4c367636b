"""HTTP routes of the panels, served by the API's server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from miner.api.context import ApiContext
from miner.panels import hiveos_mmpos, trex, xmrig
from miner.panels.panel_figures import compact_json
from miner.telemetry import Snapshot

Renderer = Callable[[Snapshot], Any]

RENDERERS: dict[str, Renderer] = {
    "/summary": trex.summary,
    "/2/summary": xmrig.summary,
    "/1/summary": xmrig.summary,
    "/api.json": xmrig.summary,
    "/2/backends": xmrig.backends,
    "/mmpos": hiveos_mmpos.mmpos,
    "/hiveos": hiveos_mmpos.hiveos,
}
"""By path."""


def routes(context: ApiContext) -> list[web.RouteDef]:
    """Return the routes; each answers GET with JSON.

    Clients cannot write, not even with the token: T-Rex and xmrig let panels replace the whole
    configuration.
    """
    return [web.get(path, _handler(context, renderer)) for path, renderer in RENDERERS.items()]


def _handler(context: ApiContext, renderer: Renderer) -> Callable[[web.Request], Any]:
    def text(snapshot: Snapshot) -> str:
        return compact_json(renderer(snapshot))

    async def respond(request: web.Request) -> web.Response:
        return web.json_response(
            text=context.snapshots.render(text), headers={"Cache-Control": "no-store"}
        )

    return respond

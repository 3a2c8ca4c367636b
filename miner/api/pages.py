"""The dashboard's files, read once."""

from __future__ import annotations

from importlib.resources import files

from aiohttp import web

MEDIA = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
"""What is served, by the end of its name."""


def routes() -> list[web.RouteDef]:
    """Return a route for each file of the dashboard, and / for its page."""
    found = []
    folder = files("miner.api") / "dashboard"
    for file in folder.iterdir() if folder.is_dir() else ():
        media = MEDIA.get(file.name.rpartition(".")[2])
        if media is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            found.append(_route(path, file.read_bytes(), media))
    return found


def _route(path: str, body: bytes, media: str) -> web.RouteDef:
    async def page(request: web.Request) -> web.Response:
        return web.Response(
            body=body,
            content_type=media,
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )

    return web.get(path, page)

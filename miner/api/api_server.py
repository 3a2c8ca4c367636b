"""The HTTP server of the API and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from types import TracebackType

from aiohttp import web

from miner.api.auth import Tokens
from miner.api.connection_limits import ConnectionLimits, Hall
from miner.api.context import Sources
from miner.api.handlers import Endpoints
from miner.api.security import errors, guard, harden_answer
from miner.api.stream import Streams
from miner.errors import ConfigError
from miner.net.address import HostPort, check_exposure

MEDIA = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
"""What is served, by the end of its name."""


def pages() -> list[web.RouteDef]:
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


DEFAULT_PORT = 4067

CLOSE_SECONDS = 1.5
"""Within which a server ends, whatever its clients do."""


PanelRoutes = Callable[[Sources], list[web.RouteDef]]
"""Returns the routes of the panels, which are added where the options ask for them."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """What the user may say of the API."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0: any free one."""
    explicit: bool = False
    """The user asked for this address: then a run without it does not begin."""
    token: str | None = field(default=None, repr=False)
    """What a client that changes something must know; None: nobody may."""
    hosts: tuple[str, ...] = ()
    """Names besides localhost under which browsers may come."""
    panels: bool = False
    """Answer in the forms of other miners, too."""


class ApiServer:
    """Serves while its context lasts.

    `note` is told why there is no API, where the default address cannot be listened on. Entering
    raises `ConfigError` for an address that was asked for and cannot be listened on, and for one
    that others can reach while no token is set.
    """

    def __init__(
        self,
        options: ApiOptions,
        sources: Sources,
        note: Callable[[str], None] | None = None,
        limits: ConnectionLimits | None = None,
        panel_routes: PanelRoutes = lambda sources: [],
    ) -> None:
        self._options = options
        self._panel_routes = panel_routes
        self._sources = sources
        self._note = note or (lambda text: sources.journal.say("api", text))
        self._limits = limits or ConnectionLimits()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._hall: Hall | None = None
        self.url: str | None = None
        """Where it listens; None: nowhere."""

    async def __aenter__(self) -> ApiServer:
        options, sources, limits = self._options, self._sources, self._limits
        address = HostPort(options.host, options.port)
        check_exposure("listen", address, has_token=options.token is not None)
        streams = Streams(sources, limits.streams)
        self._runner = web.AppRunner(
            self._application(streams), shutdown_timeout=limits.close_seconds
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._hall = Hall(self._runner.server, limits)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._hall, options.host, options.port)
        except OSError as error:
            await self._close()
            sentence = f"listen under [api]: cannot listen on {address}: {error.strerror or error}"
            if options.explicit:
                raise ConfigError(f"{sentence}; choose another address, or off") from error
            self._note(f"{sentence}; this run goes on without API")
            return self
        except BaseException:
            await self._close()
            raise
        port = self._listener.sockets[0].getsockname()[1]
        self.url = f"http://{HostPort(options.host, port)}/"
        sources.journal.say("api", self.url)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    def _application(self, streams: Streams) -> web.Application:
        options, sources, limits = self._options, self._sources, self._limits
        tokens = Tokens(options.token, sources.clock, sources.journal)
        app = web.Application(
            middlewares=[
                errors(sources.clock, sources.journal),
                guard(options.hosts, limits.body),
            ],
            client_max_size=limits.body,
        )
        app.add_routes(Endpoints(sources, tokens, streams, limits).routes())
        app.add_routes(pages())
        if options.panels:
            app.add_routes(self._panel_routes(sources))
        app.on_response_prepare.append(harden_answer)

        async def close(app: web.Application) -> None:
            streams.close()

        app.on_shutdown.append(close)
        return app

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_SECONDS):
                    if self._runner is not None:
                        await self._runner.cleanup()
        finally:
            if self._hall is not None:
                self._hall.clear()
            self._listener = self._runner = self._hall = self.url = None
        # An aborted connection is told so in the loop's next turn.
        await asyncio.sleep(0)

"""The HTTP server of the API and the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files

from aiohttp import web

from miner.api.auth import TokenCheck
from miner.api.connection_limits import ConnectionFactory, ConnectionLimits, spare_guard
from miner.api.context import ApiContext
from miner.api.handlers import Handlers
from miner.api.loop_budget import LoopBudgets, budget_guard
from miner.api.security import error_middleware, on_response_prepare, request_guard
from miner.api.stream import EventStreams
from miner.net.address import HostPort, check_exposure, listen_error, listen_problem

DEFAULT_PORT = 4067

CLOSE_SECONDS = 1.5
"""Limit on stopping the server; clients cannot extend it."""

CONTENT_TYPES = {
    "html": "text/html",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
"""Types of the dashboard's files by extension; other files are not served."""

PanelRoutes = Callable[[ApiContext], list[web.RouteDef]]
"""Returns the routes of the panels."""


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """The user's settings of the API."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    """0: any free port."""
    explicit: bool = False
    """The user chose this address; a run that cannot listen on it does not start."""
    token: str | None = field(default=None, repr=False)
    """Required from clients that change something; None: the API is read-only."""
    hosts: tuple[str, ...] = ()
    """Host names, besides localhost, that browsers may use for this miner."""
    panels: bool = False
    """Serve the panels' routes, too."""


class ApiServer:
    """Serves the API and the dashboard while its context lasts.

    Entering raises `AddressTaken` or `ConfigError` if an explicit address cannot be listened on,
    and `ConfigError` if other machines can reach the address although no token is set. A default
    address that cannot be listened on is reported in the journal.
    """

    def __init__(
        self,
        options: ApiOptions,
        context: ApiContext,
        limits: ConnectionLimits | None = None,
        budgets: LoopBudgets | None = None,
        panel_routes: PanelRoutes = lambda context: [],
    ) -> None:
        self._options = options
        self._context = context
        self._limits = limits or ConnectionLimits()
        self._budgets = budgets or LoopBudgets(context.clock)
        self._panel_routes = panel_routes
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._connections: ConnectionFactory | None = None
        self.address: HostPort | None = None
        """The address that the server listens on, None if it does not."""

    @property
    def url(self) -> str | None:
        return f"http://{self.address}/" if self.address else None

    async def __aenter__(self) -> ApiServer:
        options, limits = self._options, self._limits
        address = HostPort(options.host, options.port)
        check_exposure("listen", address, has_token=options.token is not None)
        streams = EventStreams(self._context, limits.streams)
        self._runner = web.AppRunner(
            self._application(streams), shutdown_timeout=limits.close_seconds
        )
        await self._runner.setup()
        assert self._runner.server is not None
        self._connections = ConnectionFactory(self._runner.server, limits, self._budgets)
        loop = asyncio.get_running_loop()
        try:
            self._listener = await loop.create_server(self._connections, options.host, options.port)
        except OSError as error:
            await self._close()
            sentence = f"listen under [api]: cannot listen on {address}: {listen_problem(error)}"
            if options.explicit:
                text = f"{sentence}; choose another address, or off"
                raise listen_error(text, error) from error
            self._context.journal.add("api", f"{sentence}; continuing without API")
            return self
        except BaseException:
            await self._close()
            raise
        port = self._listener.sockets[0].getsockname()[1]
        self.address = HostPort(options.host, port)
        self._context.journal.add("api", f"http://{self.address}/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    def _application(self, streams: EventStreams) -> web.Application:
        options, context, limits = self._options, self._context, self._limits
        tokens = TokenCheck(options.token, context.clock, context.journal)
        app = web.Application(
            middlewares=[
                error_middleware(context.clock, context.journal),
                spare_guard,
                budget_guard(self._budgets),
                request_guard(options.hosts, limits.body),
            ],
            client_max_size=limits.body,
        )
        app.add_routes(Handlers(context, tokens, streams, limits).routes())
        app.add_routes(dashboard_routes())
        if options.panels:
            app.add_routes(self._panel_routes(context))
        app.on_response_prepare.append(on_response_prepare)

        async def on_shutdown(app: web.Application) -> None:
            streams.close()

        app.on_shutdown.append(on_shutdown)
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
            if self._connections is not None:
                self._connections.abort_all()
            self._listener = self._runner = self._connections = self.address = None
        # asyncio reports an aborted connection in the loop's next iteration.
        await asyncio.sleep(0)


def dashboard_routes() -> list[web.RouteDef]:
    """Return a route for each file of the dashboard; index.html is served at /."""
    routes = []
    folder = files("miner.api") / "dashboard"
    for file in folder.iterdir() if folder.is_dir() else ():
        content_type = CONTENT_TYPES.get(file.name.rpartition(".")[2])
        if content_type is not None:
            path = "/" if file.name == "index.html" else f"/{file.name}"
            routes.append(_file_route(path, file.read_bytes(), content_type))
    return routes


def _file_route(path: str, body: bytes, content_type: str) -> web.RouteDef:
    async def respond(request: web.Request) -> web.Response:
        return web.Response(
            body=body,
            content_type=content_type,
            charset="utf-8",
            headers={"Cache-Control": "no-cache"},
        )

    return web.get(path, respond)

"""The panels' routes over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from miner.api.api_server import ApiOptions, ApiServer
from miner.panels.http_panels import RENDERERS, routes
from tests.fakes.api import context_of
from tests.fakes.rig import busy_rig
from tests.panels import consumers

Client = TestClient[web.Request, web.Application]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    rig = await busy_rig()
    application = web.Application()
    application.add_routes(routes(context_of(rig.telemetry, rig.clock)))
    async with TestClient(TestServer(application)) as client:
        yield client


async def test_every_path_returns_json(client: Client) -> None:
    for path in RENDERERS:
        answer = await client.get(path)
        assert answer.status == 200
        assert answer.content_type == "application/json"
        assert answer.headers["Cache-Control"] == "no-store"
        assert consumers.parse_strictly(await answer.read())


async def test_agents_read_the_values_over_http(client: Client) -> None:
    async def get(path: str) -> bytes:
        return await (await client.get(path)).read()

    farms = [
        consumers.hive_trex(await get("/summary")),
        consumers.hive_xmrig(await get("/api.json"), await get("/2/backends")),
        consumers.hive_custom(await get("/hiveos")),
        consumers.mmpos_agent(await get("/mmpos")),
    ]
    for farm in farms:
        assert (farm.khs, farm.hs) == (80_000, [35_000, 45_000])
        assert (farm.accepted, farm.rejected, farm.bus) == (4, 4, [10, 33])


async def test_all_paths_of_xmrigs_summary_return_the_same(client: Client) -> None:
    texts = {await (await client.get(p)).text() for p in ("/1/summary", "/2/summary", "/api.json")}
    assert len(texts) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_the_routes_are_read_only(client: Client, method: str) -> None:
    for path in RENDERERS:
        assert (await client.request(method, path, json={"paused": True})).status == 405
    for path in ("/config", "/1/config", "/json_rpc", "/trex", "/login"):
        assert (await client.request(method, path, json={})).status == 404


@pytest.mark.parametrize("switched_on", [False, True])
async def test_the_api_serves_the_routes_if_switched_on(switched_on: bool) -> None:
    rig = await busy_rig()
    context = context_of(rig.telemetry, rig.clock)
    options = ApiOptions(port=0, explicit=True, panels=switched_on)
    async with (
        ApiServer(options, context, panel_routes=routes) as server,
        ClientSession() as session,
    ):
        assert server.url is not None
        for path in RENDERERS:
            async with session.get(server.url.rstrip("/") + path) as answer:
                assert answer.status == (200 if switched_on else 404)
                assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        foreign = {"Host": "panel.example"}
        async with session.get(server.url + "summary", headers=foreign) as answer:
            assert answer.status not in (200, 404)

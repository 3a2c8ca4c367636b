"""Security headers, Host and origin checks, tokens, limits on bodies."""

from __future__ import annotations

import pytest

from miner.api.api_server import ApiOptions
from miner.api.auth import FREE_FAILURES, MAX_CLIENTS, FailedTokens
from miner.api.connection_limits import ConnectionLimits
from tests.api.conftest import TOKEN, Serve
from tests.fakes.rig import Rig

WRONG_TOKENS = "127.0.0.1 sends many wrong tokens; correct its token, or block the client"

READ_ONLY = "this miner is read-only; set token_file under [api] to change that"


async def test_every_response_has_the_security_headers(serve: Serve) -> None:
    service = await serve()
    garbage = await service.wire()
    garbage.send("nonsense")
    for answer in (
        await service.get("/api/v1/status"),
        await service.get("/"),
        await service.get("/nowhere"),
        await service.get("/livez", "Host: evil.example"),
        await service.post("/api/v1/pause", token=None),
        await garbage.answer(),
    ):
        headers = answer.headers
        assert headers["content-security-policy"].startswith("default-src 'self'; ")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["server"] == "progpow-miner"
        assert headers["cache-control"] in ("no-store", "no-cache")
        assert not any(name.startswith("access-control-") for name in headers)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:4067", "localhost", "LOCALHOST:1", "localhost.", "[::1]:4067",
     "192.168.1.7", "rig1.lan", "Rig1.LAN:4067"],
)  # fmt: skip
async def test_ip_addresses_and_listed_names_are_accepted(serve: Serve, host: str) -> None:
    service = await serve(hosts=("rig1.lan",))
    assert (await service.get("/livez", f"Host: {host}")).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "rig1.lan.evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
     "evil.example:4067", "2130706433x"],
)  # fmt: skip
async def test_an_unlisted_host_name_is_refused(serve: Serve, host: str) -> None:
    service = await serve(hosts=("rig1.lan",))
    for path in ("/", "/api/v1/status", "/metrics", "/livez", "/nowhere"):
        answer = await service.get(path, f"Host: {host}")
        assert answer.status == 421
        assert answer.error.startswith("unknown host name")
        assert b"evil" not in answer.body
    answer = await service.post("/api/v1/pause", f"Host: {host}")
    assert answer.status == 421
    assert service.control.calls == []


@pytest.mark.parametrize(
    "host",
    ["", "[::1", "127.0.0.1:port", ":4067", "a/b", "127.0.0.1#", "a@127.0.0.1", "127.0.0.1@a",
     "127.0.0.1, evil.example", "[127.0.0.1]x", "localhost\udcff"],
)  # fmt: skip
async def test_an_invalid_host_header_is_refused(serve: Serve, host: str) -> None:
    service = await serve()
    assert (await service.get("/livez", f"Host: {host}")).status == 400


async def test_http_1_1_requires_exactly_one_host_header(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    wire.send("GET /livez HTTP/1.1")
    assert (await wire.answer()).status == 400
    answer = await service.get("/livez", "Host: 127.0.0.1", "Host: evil.example")
    assert answer.status == 400
    old = await service.wire()
    old.send("GET /livez HTTP/1.0")
    assert (await old.answer()).status == 200
    assert await old.ended() == b""


@pytest.mark.parametrize(
    "headers",
    [
        ["Origin: http://evil.example"],
        ["Origin: null"],
        ["Origin: http://127.0.0.1:3000"],
        ["Origin: http://["],
        ["Origin: http://127.0.0.1", "Origin: http://evil.example"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"],
        ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"],
        ["Sec-Fetch-Site: cross-site"],
        ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe"],
    ],
)
async def test_requests_from_other_origins_are_refused(serve: Serve, headers: list[str]) -> None:
    service = await serve()
    for answer in (
        await service.post("/api/v1/pause", *headers),
        await service.get("/api/v1/status", *headers),
    ):
        assert answer.status == 403
        assert answer.error == "requests from pages of other origins are refused"
    assert service.control.calls == []


async def test_same_origin_requests_and_links_are_accepted(serve: Serve) -> None:
    service = await serve()
    own = ("Origin: http://127.0.0.1", "Sec-Fetch-Site: same-origin", "Sec-Fetch-Mode: cors")
    assert (await service.post("/api/v1/pause", *own)).status == 200
    link = (
        "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document",
    )  # fmt: skip
    assert (await service.get("/", *link)).status == 200
    # A form on another page is a navigation, too.
    assert (await service.post("/api/v1/pause", *link)).status == 403


async def test_cors_preflight_requests_are_refused(serve: Serve) -> None:
    service = await serve()
    preflight = ("Origin: http://evil.example", "Access-Control-Request-Method: POST")
    answer = await service.ask("OPTIONS", "/api/v1/pause", *preflight)
    assert answer.status == 403
    answer = await service.ask("OPTIONS", "/api/v1/pause")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_without_a_token_the_api_is_read_only(serve: Serve) -> None:
    service = await serve(token=None)
    for path in ("/api/v1/pause", "/api/v1/devices/cuda:0/pause", "/api/v1/reload", "/reload"):
        answer = await service.post(path)
        assert (answer.status, answer.error) == (403, READ_ONLY)
        assert (await service.get(path)).status == 405
    assert service.control.calls == []


@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x",
     f"Bearer {TOKEN[:-1]}", "Bearer \udcff\udcfe", "Bearer " + "x" * 5000],
)  # fmt: skip
async def test_a_wrong_token_is_refused(serve: Serve, authorization: str | None) -> None:
    service = await serve()
    given = [] if authorization is None else [f"Authorization: {authorization}"]
    answer = await service.post("/api/v1/pause", *given, token=None)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert service.control.calls == []


async def test_the_bearer_scheme_is_case_insensitive(serve: Serve) -> None:
    service = await serve()
    header = f"Authorization: bearer  {TOKEN}"
    assert (await service.post("/api/v1/pause", header, token=None)).status == 200


async def test_access_reports_what_a_token_allows(serve: Serve) -> None:
    service = await serve()
    bearer = f"Authorization: Bearer {TOKEN}"
    without = await service.get("/api/v1/access")
    assert without.json == {"read_only": False, "control": False}
    allowed = await service.get("/api/v1/access", bearer)
    assert allowed.json == {"read_only": False, "control": True}
    wrong = await service.get("/api/v1/access", "Authorization: Bearer a guess")
    assert wrong.status == 401
    assert wrong.error == "this is not the token of this miner"
    for _ in range(FREE_FAILURES):
        wrong = await service.get("/api/v1/access", "Authorization: Bearer a guess")
    assert wrong.status == 429
    read_only = await serve(token=None)
    answer = await read_only.get("/api/v1/access", bearer)
    assert answer.json == {"read_only": True, "control": False}


async def test_wrong_tokens_are_throttled_and_a_right_one_behind_their_address_is_accepted(
    serve: Serve,
) -> None:
    service = await serve()
    for _ in range(FREE_FAILURES):
        assert (await service.post("/api/v1/pause", token="guess")).status == 401
    for _ in range(3):
        answer = await service.post("/api/v1/pause", token="guess")
        assert answer.status == 429
        assert answer.headers["retry-after"] == "10"
        assert (await service.post("/api/v1/pause")).status == 200
    entries = [entry.text for entry in service.rig.journal.entries if entry.topic == "api"][1:]
    assert entries == [WRONG_TOKENS]
    assert (await service.get("/api/v1/status")).status == 200
    await service.rig.clock.advance(11)
    assert (await service.post("/api/v1/pause", token="guess")).status == 401
    assert (await service.post("/api/v1/pause", token="guess")).status == 429
    assert (await service.post("/api/v1/pause")).status == 200
    assert len([e for e in service.rig.journal.entries if "wrong tokens" in e.text]) == 1


def test_the_number_of_counted_clients_is_bounded() -> None:
    rig = Rig()
    failed = FailedTokens(rig.clock, rig.journal)
    for number in range(MAX_CLIENTS + 50):
        failed.add(f"10.0.{number // 256}.{number % 256}")
    assert len(failed._counted) == MAX_CLIENTS
    assert "10.0.0.0" not in failed._counted


def test_the_token_is_not_in_the_repr_of_the_options() -> None:
    assert "secret" not in repr(ApiOptions(token="secret"))


async def test_an_internal_error_reveals_nothing(serve: Serve) -> None:
    def broken() -> object:
        raise RuntimeError("canary in a traceback")

    service = await serve(context={"take": broken})
    for _ in range(3):
        answer = await service.get("/api/v1/status")
        assert (answer.status, answer.json) == (500, {"error": "internal error"})
    (sentence,) = [e.text for e in service.rig.journal.entries if "internal" in e.text]
    assert sentence.startswith("internal error: RuntimeError in broken, line ")
    assert "canary" not in sentence
    assert (await service.get("/api/v1/events")).status == 200


async def test_a_large_body_is_refused(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(body=1000))
    bearer = f"Authorization: Bearer {TOKEN}"
    assert (await service.ask("POST", "/reload", bearer, body=b"x" * 1000)).status == 200
    answer = await service.ask("POST", "/reload", bearer, body=b"x" * 1001)
    assert (answer.status, answer.error) == (413, "the body of the request is too large")
    # The length alone is enough: the server does not wait for the body.
    wire = await service.wire()
    wire.send("GET /livez HTTP/1.1", "Host: 127.0.0.1", "Content-Length: 999999999999")
    assert (await wire.answer()).status == 413
    chunked = await service.wire()
    chunk = b"190\r\n" + b"x" * 400 + b"\r\n"
    chunked.send(
        "POST /reload HTTP/1.1", "Host: 127.0.0.1", bearer, "Transfer-Encoding: chunked",
        body=chunk * 3 + b"0\r\n\r\n",
    )  # fmt: skip
    assert (await chunked.answer()).status == 413
    assert service.control.calls == [("reload", None)]


async def test_a_compressed_body_is_not_decompressed(serve: Serve) -> None:
    service = await serve()
    bearer = f"Authorization: Bearer {TOKEN}"
    answer = await service.ask("POST", "/reload", bearer, "Content-Encoding: gzip", body=b"bomb")
    assert answer.status == 200


async def test_expectations_other_than_100_continue_are_refused(serve: Serve) -> None:
    service = await serve(panels=True)
    for request in ("GET /livez", "GET /", "GET /summary", "GET /nothing", "PUT /livez"):
        answer = await service.ask(*request.split(), "Expect: <script>")
        assert (answer.status, answer.error) == (
            417,
            "the only supported expectation is 100-continue",
        ), request
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    wire = await service.wire()
    wire.send(
        "POST /reload HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {TOKEN}",
        "Expect: 100-continue", "Content-Length: 2",
    )  # fmt: skip
    assert (await wire.answer()).status == 100
    wire.writer.write(b"{}")
    assert (await wire.answer()).status == 200


async def test_no_response_contains_the_token_or_the_wallet(serve: Serve) -> None:
    service = await serve(panels=True, busy=True)
    paths = ["/metrics", "/livez", "/readyz", "/summary", "/2/summary", "/mmpos", "/hiveos"]
    for name in ("status", "devices", "pools", "history", "events", "shares", "openapi.json"):
        paths.append(f"/api/v1/{name}")
    for path in paths:
        answer = await service.get(path)
        assert answer.status == 200, path
        for canary in (TOKEN.encode(), TOKEN.encode("unicode_escape"), b"canary.wallet"):
            assert canary not in answer.body, path

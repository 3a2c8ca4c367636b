"""Listening, limits on clients, malformed requests, stopping."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from random import Random

import pytest

from miner.api.api_server import ApiOptions, ApiServer
from miner.api.connection_limits import ConnectionLimits
from miner.errors import AddressTaken, ConfigError
from tests.api.conftest import TOKEN, RawConnection, Serve, context_of, refused, small_rig
from tests.fakes.clock import settle
from tests.fakes.rig import Rig

QUICK = ConnectionLimits(request_seconds=0.2, answer_seconds=0.2)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "rig1.lan", ""])
async def test_a_reachable_address_requires_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^\[api\] listen = .* give token_file \(or token\), or"):
        async with ApiServer(ApiOptions(host=host, port=0), context_of(Rig())):
            raise AssertionError("the server listens")


async def test_with_a_token_any_address_is_allowed(serve: Serve) -> None:
    service = await serve(host="0.0.0.0")
    assert service.server.url == f"http://0.0.0.0:{service.port}/"
    assert (await service.get("/livez")).status == 200


async def test_localhost_is_case_insensitive() -> None:
    async with ApiServer(ApiOptions(host="LocalHost", port=0), context_of(Rig())) as server:
        assert server.url is not None


async def test_an_explicit_address_that_is_taken_is_an_error_a_default_one_a_message() -> None:
    rig = Rig()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        sentence = rf"^listen under \[api\]: cannot listen on 127\.0\.0\.1:{port}: .*; choose "
        with pytest.raises(AddressTaken, match=sentence) as caught:
            async with ApiServer(ApiOptions(port=port, explicit=True), context_of(rig)):
                raise AssertionError("the server listens")
        assert caught.value.exit_code == 3
        async with ApiServer(ApiOptions(port=port), context_of(rig)) as server:
            assert server.url is None
            (entry,) = rig.journal.entries
            assert entry.topic == "api"
            assert entry.text.endswith("; continuing without API")


async def test_the_journal_has_the_url(serve: Serve) -> None:
    service = await serve()
    entry = service.rig.journal.entries[-1]
    assert (entry.topic, entry.text) == ("api", f"http://127.0.0.1:{service.port}/")


async def test_a_connection_serves_many_requests(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    for _ in range(3):
        assert (await wire.get("/livez")).status == 200
    assert (await wire.get("/livez", "Connection: close")).status == 200
    assert await wire.ended() == b""


async def test_an_http_1_0_connection_closes_after_one_response(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    wire.send("GET /api/v1/devices/cuda:0 HTTP/1.0", "Host: localhost")
    assert (await wire.answer()).json["name"] == "cuda:0"
    assert await wire.ended() == b""


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"G",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    ],
)
async def test_an_incomplete_head_times_out(serve: Serve, start: bytes) -> None:
    service = await serve(limits=QUICK)
    wire = await service.wire()
    wire.writer.write(start)
    async with asyncio.timeout(60):
        assert await wire.ended() == b""


async def test_an_endless_head_times_out(serve: Serve) -> None:
    service = await serve(limits=QUICK)
    wire = await service.wire()
    wire.writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n")

    async def send_forever() -> None:
        number = 0
        with suppress(ConnectionError):
            while True:
                number += 1
                wire.writer.write(b"a" if number % 70 else b": b\r\n")
                await wire.writer.drain()
                await settle()

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        sending = group.create_task(send_forever())
        assert await wire.ended() == b""
        sending.cancel()


async def test_an_incomplete_second_head_times_out(serve: Serve) -> None:
    service = await serve(limits=QUICK)
    wire = await service.wire()
    assert (await wire.get("/livez")).status == 200
    wire.writer.write(b"GET /liv")
    async with asyncio.timeout(60):
        assert await wire.ended() == b""


async def test_an_incomplete_body_times_out(serve: Serve) -> None:
    service = await serve(limits=QUICK)
    for token, status in ((TOKEN, 408), ("wrong", 401)):
        wire = await service.wire()
        wire.send(
            "POST /reload HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}",
            "Content-Length: 50", body=b"so far",
        )  # fmt: skip
        async with asyncio.timeout(60):
            assert (await wire.answer()).status == status
            assert await wire.ended() == b""
    assert service.control.calls == []


async def test_a_client_that_takes_no_response_is_disconnected(serve: Serve) -> None:
    service = await serve(limits=QUICK)
    wire = await unread(service.port)
    for _ in range(400):
        wire.send("GET /api/v1/openapi.json HTTP/1.1", "Host: localhost")
    # A client that was served completely would have got more.
    async with asyncio.timeout(60):
        while not service_is_empty(service.server):
            await settle()
        got = len(await wire.ended())
    assert got < 400 * 40_000
    wire.writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a: b\r\n" * 100 + b"\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a" * 9000 + b": b\r\n\r\n", 431),
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
        (b"GET //evil.example/%2e%2e HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"TRACE /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
    ],
)  # fmt: skip
async def test_malformed_requests_are_refused(serve: Serve, request_: bytes, status: int) -> None:
    service = await serve()
    wire = await service.wire()
    wire.writer.write(request_)
    answer = await wire.answer()
    assert answer.status == status
    assert status == 200 or answer.error
    assert b"evil" not in answer.body
    assert (await service.get("/livez")).status == 200


async def test_random_input_does_no_harm(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    service = await serve(limits=QUICK)
    random = Random(7)
    pieces = (
        b"GET ", b"POST ", b"/", b"/livez", b"/api/v1/stream", b"/reload", b" HTTP/1.1", b"\r\n",
        b"\n", b"\r", b"\x00", b"\xff\xfe", b"Host: localhost", b"Content-Length: 5", b": ", b"?",
        b"Content-Length: 99999999999999999999", b"Transfer-Encoding: chunked", b"0\r\n\r\n", b"%",
        b"Connection: upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"Authorization: Bearer",
        b"Origin: ", b"Range: bytes=0-", b"Cookie: a=b", b"Content-Encoding: br", b"[", b"\r\n\r\n",
    )  # fmt: skip
    for _ in range(300):
        wire = await service.wire()
        wire.writer.write(b"".join(random.choices(pieces, k=random.randrange(1, 25))))
        await wire.writer.drain()
        wire.writer.transport.abort() if random.random() < 0.5 else wire.writer.close()
    assert (await service.get("/livez")).status == 200
    texts = [entry.text for entry in service.rig.journal.entries if entry.topic == "api"]
    assert texts == [service.server.url]
    assert not caplog.records
    assert service.control.calls == []


async def test_the_response_timeout_starts_with_the_first_unsent_byte(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    await wire.get("/livez")
    assert service.server._connections is not None
    (connection,) = service.server._connections.served
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_limits() == (0, 0)


async def test_garbage_after_a_request_closes_the_connection(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    assert (await wire.get("/livez")).status == 200
    wire.writer.write(b"\x00garbage\r\n\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.error) == (400, "the request cannot be read as HTTP")
    assert await wire.ended() == b""


async def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    for _ in range(100):
        wire.send("GET /livez HTTP/1.1", "Host: localhost")
    for _ in range(100):
        assert (await wire.answer()).status == 200


async def test_an_upgrade_request_is_answered_as_plain_http(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    assert (await wire.get("/livez", "Connection: upgrade", "Upgrade: websocket")).status == 200


async def test_clients_that_disconnect_early_do_no_harm(serve: Serve) -> None:
    service = await serve()
    for start in (
        b"GET /api/v1/st",
        b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST /reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ):
        wire = await service.wire()
        wire.writer.write(start)
        await wire.writer.drain()
        wire.writer.transport.abort()
    assert (await service.get("/livez")).status == 200
    assert not [e for e in service.rig.journal.entries if "internal" in e.text]


async def test_the_number_of_connections_is_bounded(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(connections=3))
    served = [await service.wire() for _ in range(3)]
    for wire in served:
        assert (await wire.get("/livez")).status == 200
    answer = await refused(service, "/api/v1/status")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.error == "too many clients are connected; try again later"
    assert (await served[0].get("/livez", "Connection: close")).status == 200
    assert await served[0].ended() == b""
    assert (await service.get("/api/v1/status")).status == 200


async def test_one_address_cannot_take_every_connection(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(connections=9, connections_of_one=3))
    for _ in range(20):
        await service.wire()
    assert (await refused(service, "/api/v1/status")).status == 503
    other = await service.wire(local_addr=("127.0.7.7", 0))
    assert (await other.get("/api/v1/status")).status == 200


@pytest.mark.parametrize("start", [b"", b"GET /livez HTTP/1.1\r\nHost: loc"])
async def test_half_open_connections_do_not_keep_probes_out(serve: Serve, start: bytes) -> None:
    service, limits = await serve(), ConnectionLimits()
    for _ in range(limits.connections_of_one + limits.spare + 20):
        (await service.wire()).writer.write(start)
    for path in ("/livez", "/readyz"):
        answer = await service.get(path)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    connections = service.server._connections
    assert connections is not None
    assert len(connections.served) == limits.connections_of_one
    assert len(connections.spare) <= limits.spare
    for wire in service.wires[: limits.connections_of_one]:
        wire.writer.transport.abort()
    while len(connections.served) == limits.connections_of_one:
        await settle()
    assert (await service.get("/api/v1/status")).status == 200


async def test_a_spare_connection_is_taken_from_the_address_that_has_most(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(connections=0, spare=4))
    probe = await service.wire(local_addr=("127.0.7.7", 0))
    for _ in range(20):
        await service.wire()
    await settle()
    assert (await probe.get("/livez")).status == 200


async def test_the_server_stops_while_clients_are_stuck() -> None:
    rig = small_rig()
    async with ApiServer(ApiOptions(port=0, token=TOKEN), context_of(rig)) as server:
        connections = server._connections
        assert server.address is not None
        assert connections is not None
        port = server.address.port
        starts = (
            b"",
            b"GET /liv",
            b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"POST /reload HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
            + TOKEN.encode()
            + b"\r\nContent-Length: 50\r\n\r\nhalf",
        )
        wires = []
        for start in starts:
            wire = RawConnection(*await asyncio.open_connection("127.0.0.1", port))
            wire.writer.write(start)
            wires.append(wire)
        stream = wires[2]
        assert (await stream.reader.readline()).startswith(b"HTTP/1.1 200")
        stuck = await unread(port)
        for _ in range(400):
            stuck.send("GET /api/v1/openapi.json HTTP/1.1", "Host: localhost")
        await settle()
    # All connections are closed, also the one with unread responses.
    assert not connections.served
    assert not connections.spare
    async with asyncio.timeout(60):
        for wire in (*wires, stuck):
            await wire.ended()
            wire.writer.close()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


async def unread(port: int) -> RawConnection:
    """Connect with small buffers, so that unread responses stay with the server."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", port))
    reader, writer = await asyncio.open_connection(sock=client, limit=1024)
    return RawConnection(reader, writer)


def service_is_empty(server: ApiServer) -> bool:
    assert server._connections is not None
    return not server._connections.served

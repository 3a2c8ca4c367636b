"""Server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from miner.api.connection_limits import ConnectionLimits
from miner.api.stream import STATUSES_PER_KEEPALIVE
from tests.api.conftest import RawConnection, Serve, Service
from tests.api.test_server import unread
from tests.fakes.clock import settle


class StreamReader:
    """Reads a stream event by event."""

    def __init__(self, wire: RawConnection) -> None:
        self.wire = wire
        self.head = b""

    async def block(self) -> list[str]:
        """Return the lines of the next event or comment."""
        # Each write of the server is one chunk: length, text, line end.
        while True:
            lines = []
            while (line := (await self.wire.reader.readline()).decode()) not in ("\n", ""):
                if not line.endswith("\r\n"):
                    lines.append(line.rstrip("\n"))
            if lines:
                return lines

    async def event(self) -> tuple[str, Any]:
        """Return kind and data of the next event, without comments."""
        while True:
            lines = await self.block()
            fields = dict(line.split(": ", 1) for line in lines)
            if "data" in fields:
                data = json.loads(fields["data"])
                if fields["event"] == "entry":
                    assert fields["id"] == str(data["number"])
                else:
                    assert "id" not in fields
                return fields["event"], data

    async def of_kind(self, kind: str) -> Any:
        while True:
            found, data = await self.event()
            if found == kind:
                return data


async def open_stream(service: Service, *headers: str, query: str = "") -> StreamReader:
    wire = await service.wire()
    wire.send(f"GET /api/v1/stream{query} HTTP/1.1", "Host: localhost", *headers)
    reader = StreamReader(wire)
    reader.head = await wire.reader.readuntil(b"\r\n\r\n")
    return reader


async def test_a_stream_starts_with_the_current_status(serve: Serve) -> None:
    service = await serve()
    reader = await open_stream(service)
    assert b"HTTP/1.1 200 OK\r\n" in reader.head
    assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in reader.head
    assert b"Cache-Control: no-store\r\n" in reader.head
    kind, status = await reader.event()
    assert kind == "status"
    assert status == (await service.get("/api/v1/status")).json


async def test_a_status_is_sent_each_second(serve: Serve) -> None:
    service = await serve()
    reader = await open_stream(service)
    before = await reader.of_kind("status")
    for _ in range(3):
        await service.rig.clock.advance(1)
        now = await reader.of_kind("status")
        assert now["at"] - before["at"] == 1
        before = now


async def test_new_entries_are_sent_at_once(serve: Serve) -> None:
    service = await serve()
    reader = await open_stream(service)
    await reader.of_kind("status")
    for text in ("first", "second\nline"):
        service.rig.journal.add("test", text)
        entry = await reader.of_kind("entry")
        assert (entry["topic"], entry["text"]) == ("test", text)


async def test_a_reconnecting_client_gets_the_entries_it_missed(serve: Serve) -> None:
    service = await serve()
    last = service.rig.journal.entries[-1].number
    for headers, query in (
        ([f"Last-Event-ID: {last - 2}"], ""),
        ([], f"?after={last - 2}"),
        ([f"Last-Event-ID: {last - 2}"], "?after=1"),
    ):
        reader = await open_stream(service, *headers, query=query)
        numbers = [(await reader.of_kind("entry"))["number"] for _ in range(2)]
        assert numbers == [last - 1, last]
    # A number higher than all entries comes from an earlier run.
    reader = await open_stream(service, "Last-Event-ID: 99999")
    assert (await reader.of_kind("entry"))["number"] == 1


@pytest.mark.parametrize("sent", ["", "x", "-3", "1" * 17, "\u0661"])
async def test_an_invalid_last_event_id_is_ignored(serve: Serve, sent: str) -> None:
    service = await serve()
    reader = await open_stream(service, f"Last-Event-ID: {sent}")
    # Without the entries of before.
    assert (await reader.event())[0] == "status"
    service.rig.journal.add("test", "new")
    assert (await reader.of_kind("entry"))["text"] == "new"


async def test_an_invalid_query_is_refused(serve: Serve) -> None:
    service = await serve()
    answer = await service.get("/api/v1/stream?after=then")
    assert (answer.status, answer.error) == (400, "after: this is not a whole number")
    assert (await service.ask("HEAD", "/api/v1/stream")).status == 405


async def test_keepalive_comments_are_sent_regularly(serve: Serve) -> None:
    service = await serve()
    reader = await open_stream(service)
    seen = []
    for turn in range(2 * STATUSES_PER_KEEPALIVE + 1):
        if turn:
            await service.rig.clock.advance(1)
        while True:
            lines = await reader.block()
            if lines[0] == ": alive":
                seen.append(turn)
            if lines[0] == "event: status" and turn % STATUSES_PER_KEEPALIVE:
                break
            if lines[0] == ": alive":
                break
    assert seen == [0, STATUSES_PER_KEEPALIVE, 2 * STATUSES_PER_KEEPALIVE]


async def test_the_number_of_streams_is_bounded(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(streams=2))
    readers = [await open_stream(service) for _ in range(2)]
    answer = await service.get("/api/v1/stream")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.error == "too many event streams are open; close one or try again later"
    readers[0].wire.writer.transport.abort()
    # The server notices the closed connection at its next write.
    status = 503
    async with asyncio.timeout(60):
        while status == 503:
            await service.rig.clock.advance(1)
            wire = await service.wire()
            wire.send("GET /api/v1/stream HTTP/1.1", "Host: localhost")
            status = int((await wire.reader.readline()).split()[1])
    assert status == 200


async def test_a_client_that_does_not_read_is_disconnected(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(answer_seconds=0.1))
    wire = await unread(service.port)
    wire.send("GET /api/v1/stream HTTP/1.1", "Host: localhost")
    factory = service.server._connections
    assert factory is not None
    async with asyncio.timeout(20):
        while not factory.served:
            await settle()
        while factory.served:
            service.rig.journal.add("test", "x" * 20_000)
            await settle()
    wire.writer.close()


async def test_http_1_0_gets_a_stream_without_chunks(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    wire.send("GET /api/v1/stream HTTP/1.0", "Host: localhost")
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert await wire.reader.readline() == b"retry: 2000\n"


async def test_an_internal_error_ends_the_stream_and_reveals_nothing(serve: Serve) -> None:
    service = await serve()
    whole = service.rig.telemetry.snapshot()
    answers = iter([whole])

    def broken() -> object:
        try:
            return next(answers)
        except StopIteration:
            raise RuntimeError("canary in a traceback") from None

    service = await serve(context={"take": broken})
    reader = await open_stream(service)
    await reader.of_kind("status")
    await service.rig.clock.advance(1)
    assert b"canary" not in await reader.wire.ended()
    sentence = service.rig.journal.entries[-1].text
    assert sentence.startswith("internal error: RuntimeError in broken, line ")


async def test_stopping_the_server_ends_the_stream(serve: Serve) -> None:
    service = await serve()
    reader = await open_stream(service)
    await reader.of_kind("status")
    await service.server.__aexit__(None, None, None)
    # The last chunk ends the stream in an orderly way.
    assert (await reader.wire.ended()).endswith(b"0\r\n\r\n")

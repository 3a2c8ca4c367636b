"""Server-sent events."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from miner.api.connection_limits import ConnectionLimits
from miner.api.stream import STATUSES_PER_KEEPALIVE
from tests.api.conftest import Serve, Service, Wire
from tests.api.test_server import unread
from tests.fakes.clock import settle


class Listener:
    """Reads a stream event by event."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.head = b""

    async def block(self) -> list[str]:
        """Return the lines of the next event or comment."""
        # One write of the server is one chunk: its length, its text, an end of line.
        while True:
            lines = []
            while (line := (await self.wire.reader.readline()).decode()) not in ("\n", ""):
                if not line.endswith("\r\n"):
                    lines.append(line.rstrip("\n"))
            if lines:
                return lines

    async def event(self) -> tuple[str, Any]:
        """Return kind and data of the next event, comments left out."""
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


async def listen(service: Service, *headers: str, question: str = "") -> Listener:
    wire = await service.wire()
    wire.send(f"GET /api/v1/stream{question} HTTP/1.1", "Host: localhost", *headers)
    listener = Listener(wire)
    listener.head = await wire.reader.readuntil(b"\r\n\r\n")
    return listener


async def test_it_begins_with_the_status_of_now(serve: Serve) -> None:
    service = await serve()
    listener = await listen(service)
    assert b"HTTP/1.1 200 OK\r\n" in listener.head
    assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in listener.head
    assert b"Cache-Control: no-store\r\n" in listener.head
    kind, status = await listener.event()
    assert kind == "status"
    assert status == (await service.get("/api/v1/status")).json


async def test_a_status_follows_each_second(serve: Serve) -> None:
    service = await serve()
    listener = await listen(service)
    before = await listener.of_kind("status")
    for _ in range(3):
        await service.rig.clock.advance(1)
        now = await listener.of_kind("status")
        assert now["at"] - before["at"] == 1
        before = now


async def test_entries_come_at_once_with_their_numbers(serve: Serve) -> None:
    service = await serve()
    listener = await listen(service)
    await listener.of_kind("status")
    for text in ("first", "second\nline"):
        service.rig.journal.say("test", text)
        entry = await listener.of_kind("entry")
        assert (entry["topic"], entry["text"]) == ("test", text)


async def test_one_who_comes_again_misses_nothing(serve: Serve) -> None:
    service = await serve()
    last = service.rig.journal.entries[-1].number
    for headers, question in (
        ([f"Last-Event-ID: {last - 2}"], ""),
        ([], f"?after={last - 2}"),
        ([f"Last-Event-ID: {last - 2}"], "?after=1"),
    ):
        listener = await listen(service, *headers, question=question)
        numbers = [(await listener.of_kind("entry"))["number"] for _ in range(2)]
        assert numbers == [last - 1, last]
    # A number that was not given out yet comes from an earlier run.
    listener = await listen(service, "Last-Event-ID: 99999")
    assert (await listener.of_kind("entry"))["number"] == 1


@pytest.mark.parametrize("sent", ["", "x", "-3", "1" * 17, "\u0661"])
async def test_an_id_that_is_none_is_ignored(serve: Serve, sent: str) -> None:
    service = await serve()
    listener = await listen(service, f"Last-Event-ID: {sent}")
    await listener.of_kind("status")
    service.rig.journal.say("test", "new")
    assert (await listener.of_kind("entry"))["text"] == "new"


async def test_a_question_that_is_none_is_refused(serve: Serve) -> None:
    service = await serve()
    answer = await service.get("/api/v1/stream?after=then")
    assert (answer.status, answer.error) == (400, "after: this is not a whole number")
    assert (await service.ask("HEAD", "/api/v1/stream")).status == 405


async def test_signs_of_life_come_in_their_time(serve: Serve) -> None:
    service = await serve()
    listener = await listen(service)
    seen = []
    for turn in range(2 * STATUSES_PER_KEEPALIVE + 1):
        if turn:
            await service.rig.clock.advance(1)
        while True:
            lines = await listener.block()
            if lines[0] == ": alive":
                seen.append(turn)
            if lines[0] == "event: status" and turn % STATUSES_PER_KEEPALIVE:
                break
            if lines[0] == ": alive":
                break
    assert seen == [0, STATUSES_PER_KEEPALIVE, 2 * STATUSES_PER_KEEPALIVE]


async def test_those_who_listen_are_bounded(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(streams=2))
    listeners = [await listen(service) for _ in range(2)]
    answer = await service.get("/api/v1/stream")
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")
    assert answer.error == "too many event streams are open; close one or try again later"
    listeners[0].wire.writer.transport.abort()
    # Its place is free once a write finds out.
    status = 503
    async with asyncio.timeout(5):
        while status == 503:
            await service.rig.clock.advance(1)
            wire = await service.wire()
            wire.send("GET /api/v1/stream HTTP/1.1", "Host: localhost")
            status = int((await wire.reader.readline()).split()[1])
    assert status == 200


async def test_one_who_does_not_read_is_dropped(serve: Serve) -> None:
    service = await serve(limits=ConnectionLimits(answer_seconds=0.1))
    wire = await unread(service.port)
    wire.send("GET /api/v1/stream HTTP/1.1", "Host: localhost")
    factory = service.server._connections
    assert factory is not None
    async with asyncio.timeout(20):
        while not factory.served:
            await settle()
        while factory.served:
            service.rig.journal.say("test", "x" * 20_000)
            await settle()
    wire.writer.close()


async def test_http_1_0_gets_a_stream_without_chunks(serve: Serve) -> None:
    service = await serve()
    wire = await service.wire()
    wire.send("GET /api/v1/stream HTTP/1.0", "Host: localhost")
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert await wire.reader.readline() == b"retry: 2000\n"


async def test_a_fault_of_ours_ends_it_and_shows_nothing(serve: Serve) -> None:
    service = await serve()
    whole = service.rig.telemetry.snapshot()
    answers = iter([whole])

    def broken() -> object:
        try:
            return next(answers)
        except StopIteration:
            raise RuntimeError("canary in a traceback") from None

    service = await serve(context={"take": broken})
    listener = await listen(service)
    await listener.of_kind("status")
    await service.rig.clock.advance(1)
    assert b"canary" not in await listener.wire.ended()
    sentence = service.rig.journal.entries[-1].text
    assert sentence.startswith("internal error: RuntimeError in broken, line ")


async def test_it_ends_with_the_server(serve: Serve) -> None:
    service = await serve()
    listener = await listen(service)
    await listener.of_kind("status")
    begun = asyncio.get_running_loop().time()
    await service.server.__aexit__(None, None, None)
    assert asyncio.get_running_loop().time() - begun < 0.4
    # Its end is told in order: the last chunk is there.
    assert (await listener.wire.ended()).endswith(b"0\r\n\r\n")

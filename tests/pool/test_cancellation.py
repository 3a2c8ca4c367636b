"""Cancels and cuts every phase of a session: no task, stream or share remains."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from miner.errors import ConnectionLost
from miner.net.address import PoolUrl, Transport
from miner.net.dial import NetworkDial
from miner.work import Outcome
from tests.fakes.clock import settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import Bench
from tests.stratum.dialogue import SUBSCRIBED, answer, notify, solution

PHASES = ["dial", "subscribe", "authorize", "mining", "held", "submitting", "closing"]


class SlowStream(FakeStream):
    """Closing it takes until `may_close` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.may_close = asyncio.Event()
        self.closings = 0

    async def close(self) -> None:
        self.closings += 1
        try:
            await self.may_close.wait()
        finally:
            await super().close()


class Dial:
    """Opens streams once `may_open` is set."""

    def __init__(self) -> None:
        self.may_open = asyncio.Event()
        self.streams: list[SlowStream] = []
        self.dialling = 0

    async def open(self, url: PoolUrl) -> SlowStream:
        self.dialling += 1
        try:
            await self.may_open.wait()
        finally:
            self.dialling -= 1
        if len(self.streams) == 1:
            raise ConnectionLost("nothing listens there")
        self.streams.append(SlowStream())
        return self.streams[-1]


class Stage(Bench):
    """A client whose one connection opens and closes slowly."""

    def __init__(self) -> None:
        super().__init__(dial=Dial())
        self.submitted = 0

    async def reach(self, phase: str) -> None:
        """Run until `phase` has begun."""
        await settle()
        if phase == "dial":
            return
        self.dial.may_open.set()
        await settle()
        (stream,) = self.dial.streams
        if phase == "subscribe":
            return
        stream.feed(SUBSCRIBED + notify())
        await settle()
        if phase == "authorize":
            return
        if phase == "held":
            await self.submit()
            return
        stream.feed(answer(2))
        await settle()
        if phase in ("submitting", "closing"):
            await self.submit()
        if phase == "closing":
            stream.end()
            await settle()
            assert stream.closings == 1

    async def submit(self) -> None:
        job = next(job for job in reversed(self.jobs) if job is not None)
        self.submitted += 1
        await self.client.submit(solution(job))
        await settle()

    def check(self) -> None:
        assert self.dial.dialling == 0
        assert all(stream.closed for stream in self.dial.streams)
        assert len(self.verdicts) == self.submitted
        assert all(verdict.outcome is Outcome.LOST for verdict in self.verdicts)
        assert not self.jobs or self.jobs[-1] is None


@pytest.mark.parametrize("phase", PHASES)
async def test_cancelling_the_client_closes_everything(phase: str) -> None:
    before = asyncio.all_tasks()
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run())
        await stage.reach(phase)
        task.cancel()
        for stream in stage.dial.streams:
            stream.may_close.set()
        await settle()
    stage.check()
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in ("dial", "closing")])
@pytest.mark.parametrize("how", ["closed", "broken"])
async def test_a_cut_connection_loses_no_share_silently(phase: str, how: str) -> None:
    before = asyncio.all_tasks()
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run())
        await stage.reach(phase)
        (stream,) = stage.dial.streams
        stream.may_close.set()
        if how == "closed":
            stream.end()
        else:
            stream.breaks(ConnectionLost("the connection broke: reset by peer"))
        await stage.clock.advance(30)
        assert stream.closed
        task.cancel()
    stage.check()
    assert asyncio.all_tasks() == before


async def test_a_hanging_dial_is_cancelled_with_its_task() -> None:
    stage = Stage()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stage.run())
        await stage.reach("dial")
        assert stage.dial.dialling == 1
        task.cancel()
    stage.check()


async def test_a_hanging_tls_handshake_is_cancelled_with_its_task() -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while await reader.read(4096):
                arrived.set()  # its hello is here, and gets no answer
        writer.close()
        left.set()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = PoolUrl("127.0.0.1", port, "w", transport=Transport.TLS)
    async with server, asyncio.timeout(20):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(NetworkDial().open(url))
            await arrived.wait()
            task.cancel()
        await left.wait()

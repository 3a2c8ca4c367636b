"""A pool client between scripted pools and recorded jobs, verdicts and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from miner.errors import MinerError
from miner.net.address import PoolUrl
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.telemetry import events
from miner.work import Job, Verdict
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dial import FakeDial, FakeStream
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import answer, notify

FIRST = PoolUrl("first.example", 3333, "RWallet.rig1", protocol="kawpow")
SECOND = PoolUrl("second.example", 3333, "RWallet.rig1", protocol="kawpow")


class Bench:
    """A pool client with prepared connections, and what it reports."""

    def __init__(self, pools: Sequence[PoolUrl] = (FIRST,), **changes: Any) -> None:
        self.clock = FakeClock()
        self.dial = FakeDial()
        self.jobs: list[Job | None] = []
        self.verdicts: list[Verdict] = []
        self.events: list[events.Event] = []
        give_up = changes.pop("give_up", None)
        self.client = PoolClient(
            pools,
            Connections(KAWPOW, self.dial, self.clock, "progpow-miner/0", **changes),
            self,
            self,
            self.events.append,
            self.clock,
            Random(1),
            give_up,
        )
        self.ended: MinerError | None = None

    def work_on(self, job: Job | None) -> None:
        self.jobs.append(job)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    async def run(self) -> None:
        try:
            await self.client.run()
        except MinerError as error:
            self.ended = error

    def prepare(self, url: PoolUrl = FIRST, *, accepts: bool = True) -> FakeStream:
        """Prepare a connection that accepts or refuses the login at once."""
        stream = FakeStream()
        if accepts:
            stream.feed(answer(1, [None, "0b8e5b"]) + answer(2) + notify())
        else:
            stream.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "unknown wallet"]))
        self.dial.ready(url.host, stream)
        return stream

    def job(self) -> Job:
        """Return the current job."""
        job = self.jobs[-1]
        assert job is not None
        return job

    def hosts(self) -> list[str]:
        """Return the first label of each host connected to."""
        return [url.host.partition(".")[0] for url in self.dial.opened]

    def events_of(self, kind: type[events.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.run())
        await settle()
        yield bench
        task.cancel()

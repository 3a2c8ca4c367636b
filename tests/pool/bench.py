"""A pool client between scripted pools and recorded jobs, verdicts and events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

from miner.errors import EveryPoolRefused, MinerError
from miner.net.address import PoolUrl
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.telemetry import events
from miner.work import Job, Outcome, Verdict
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dial import FakeDial, FakeStream
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import SUBSCRIBED, WELCOME, answer, notify

FIRST = PoolUrl("first.example", 3333, "RWallet.rig1", protocol="kawpow")
SECOND = PoolUrl("second.example", 3333, "RWallet.rig1", protocol="kawpow")
THIRD = PoolUrl("third.example", 3333, "RWallet.rig1", protocol="kawpow")

OTHER_PREFIX = answer(1, [None, "0b8e5c"]) + answer(2) + notify()
"""A welcome to a session whose nonces have another prefix."""
REFUSED = SUBSCRIBED + answer(2, False, [24, "unknown wallet"])
BANNED = SUBSCRIBED + answer(2, False, [24, "your IP is banned"])


class Bench:
    """A pool client with prepared connections, and what it reports."""

    def __init__(
        self,
        pools: Sequence[PoolUrl] = (FIRST,),
        give_up: float | None = None,
        dial: Any = None,
        **changes: Any,
    ) -> None:
        self.clock = FakeClock()
        self.dial = dial or FakeDial()
        self.jobs: list[Job | None] = []
        self.verdicts: list[Verdict] = []
        self.events: list[events.Event] = []
        self.client = PoolClient(
            pools, Connections(KAWPOW, self.dial, self.clock, "progpow-miner/0", **changes),
            self, self, self.events.append, self.clock, Random(1), give_up,
        )  # fmt: skip
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

    def prepare(self, url: PoolUrl = FIRST, reply: bytes = WELCOME) -> FakeStream:
        """Prepare a connection on which the pool sends `reply` at once."""
        stream = FakeStream()
        if reply:
            stream.feed(reply)
        self.dial.ready(url.host, stream)
        return stream

    @property
    def outcomes(self) -> list[Outcome]:
        return [verdict.outcome for verdict in self.verdicts]

    @property
    def given_up(self) -> str:
        """Why the client gave up every pool."""
        assert isinstance(self.ended, EveryPoolRefused)
        return str(self.ended)

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


@asynccontextmanager
async def mining(
    pools: Sequence[PoolUrl] = (FIRST,), **changes: Any
) -> AsyncIterator[tuple[Bench, FakeStream]]:
    """Run a client that mines on the first of `pools`; also yield its connection."""
    bench = Bench(pools, **changes)
    stream = bench.prepare(pools[0])
    async with running(bench):
        yield bench, stream


async def accept(stream: FakeStream) -> None:
    """Have the pool accept the only share that was sent over `stream`."""
    (request,) = stream.requests("mining.submit")
    stream.feed(answer(request["id"]))
    await settle()

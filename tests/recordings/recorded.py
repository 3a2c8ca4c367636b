"""A recorded session whose pool is played by a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from miner import clock as simulation
from miner.errors import PoolError
from miner.net.address import PoolUrl
from miner.recordings.recorder import Recorder
from miner.stratum.client_side import ClientSide
from miner.stratum.dialects import DIALECTS
from miner.stratum.opening import Opening
from miner.stratum.pool_events import JobReceived, PoolEvent
from miner.stratum.session import Reports, Session
from miner.work import Job, Outcome, Solution, Verdict
from tests.fakes.dial import FakeStream
from tests.fakes.variants import KAWPOW

URL = PoolUrl("pool.example", 3333, "RWallet.rig1", "hunter2")
RIG = bytes(range(32))


class Recorded:
    """One recorded connection of a real session, in simulated time; a test plays the pool."""

    def __init__(
        self,
        path: Path,
        protocol: str = "kawpow",
        *,
        password: str = "hunter2",
        rate: float | None = None,
    ) -> None:
        self.path, self.protocol, self.password, self.rate = path, protocol, password, rate
        self.warnings: list[str] = []
        self.jobs: list[Job] = []
        self.waiting: Solution | None = None
        """Submitted with the next job, while the session still handles that job."""
        self.verdicts: list[Verdict] = []
        self.recorder: Recorder
        self.stream: FakeStream
        self.session: Session
        self.client: ClientSide
        self.ended = ""
        self.connection = 0

    @asynccontextmanager
    async def talking(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Record a connection, and further ones in the given group, until all have ended."""
        clock = simulation.LoopClock()
        with Recorder(self.path, clock, self.warnings.append) as self.recorder:
            async with asyncio.TaskGroup() as group:
                self.connect(group)
                yield group

    def connect(self, group: asyncio.TaskGroup) -> None:
        self.connection += 1
        opening = Opening(
            URL.user, self.password, "progpow-miner/0", KAWPOW, self.connection, URL.host,
            URL.port,
        )  # fmt: skip
        self.stream = FakeStream()
        wrapped = self.recorder.wrap(self.stream, URL, self.protocol, opening, RIG)
        self.client = DIALECTS[self.protocol].connect(opening)
        reports = None if self.rate is None else Reports(lambda: self.rate or 0.0, RIG)
        self.session = Session(
            self.connection, self.client, wrapped, simulation.LoopClock(), self,
            reports=reports,
        )  # fmt: skip
        group.create_task(self._run())

    async def _run(self) -> None:
        try:
            self.ended = await self.session.run()
        except PoolError as error:
            self.ended = str(error)

    def on_event(self, event: PoolEvent) -> None:
        if isinstance(event, JobReceived):
            self.jobs.append(event.job)
            if waiting := self.waiting:
                self.waiting = None
                self.submit(replace(waiting, job=event.job))

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def on_unsent(self, solution: Solution, reason: str) -> None:
        self.verdicts.append(Verdict(solution, Outcome.LOST, reason))

    async def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.stream.feed(piece)
            await simulation.settle()

    def submit(self, solution: Solution) -> None:
        self.recorder.submitted(solution)
        self.session.submit(solution)

    def records(self, kind: str | None = None) -> list[dict[str, Any]]:
        return records_of(self.path, kind)


def records_of(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]
    return [line for line in lines if kind in (None, line["kind"])]


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """Cut `data` at each of `places`, taken modulo its length."""
    edges = sorted({0, len(data), *(place % len(data) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]

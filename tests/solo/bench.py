"""A session that runs beside a fake node."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from miner.errors import PoolError
from miner.net.address import PoolUrl, Transport
from miner.solo.node_session import NodeSessions
from miner.stratum.pool_events import (
    Authorized,
    JobEnded,
    JobReceived,
    Message,
    PoolEvent,
    Subscribed,
)
from miner.work import Job, Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.node import LOGIN, FakeNode, serving
from tests.fakes.variants import KAWPOW

Node = TypeVar("Node", bound=FakeNode)

NONCE = 0x0123456789ABCDEF
MIX_HASH = bytes(range(32)).hex()
"""Of `solved`."""

REAL_SECONDS = 60
"""Limit of each wait, generous for busy machines."""


class Bench:
    """A session with one node, its events and its verdicts."""

    def __init__(
        self,
        port: int,
        kind: str | None,
        address: str = "",
        clock: FakeClock | None = None,
        **url: Any,
    ) -> None:
        self.clock = clock or FakeClock()
        self.events: list[PoolEvent] = []
        self.verdicts: list[Verdict] = []
        self.ended: str | PoolError | None = None
        values = {
            "host": "127.0.0.1",
            "user": LOGIN[0],
            "password": LOGIN[1],
            "transport": Transport.HTTP,
            "reward": address,
        } | url
        sessions = NodeSessions(KAWPOW, kind, self.clock, "progpow-miner/0")
        self.session = sessions.open(7, PoolUrl(port=port, **values), self)

    def on_event(self, event: PoolEvent) -> None:
        self.events.append(event)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def on_unsent(self, solution: Solution, reason: str) -> None:
        raise AssertionError("sessions with nodes keep their solutions")

    async def run(self) -> None:
        try:
            self.ended = await self.session.run()
        except PoolError as error:
            self.ended = error
        finally:
            self.session.backlog.close()

    async def until(self, condition: Callable[[], Any], step: float = 0.0) -> None:
        """Return when `condition` holds; `step` seconds of the clock pass between two looks."""
        async with asyncio.timeout(REAL_SECONDS):
            while not condition():
                if step:
                    await self.clock.advance(step)
                else:
                    await asyncio.sleep(0)

    async def job(self, number: int = 1, step: float = 0.0) -> Job:
        await self.until(lambda: len(self.jobs) >= number, step)
        return self.jobs[number - 1]

    async def verdict(self, number: int = 1, step: float = 0.0) -> Verdict:
        await self.until(lambda: len(self.verdicts) >= number, step)
        return self.verdicts[number - 1]

    async def end(self, step: float = 0.0) -> str | PoolError:
        await self.until(lambda: self.ended is not None, step)
        assert self.ended is not None
        return self.ended

    async def fails(self, kind: type[PoolError], step: float = 0.0) -> str:
        """Return the text of the error of `kind` that ends the session."""
        error = await self.end(step)
        assert isinstance(error, kind)
        return str(error)

    async def submitted(self, solution: Solution, step: float = 0.0) -> tuple[Outcome, str]:
        """Submit `solution`; return outcome and text of its verdict."""
        before = len(self.verdicts)
        self.session.submit(solution)
        verdict = await self.verdict(before + 1, step)
        assert verdict.solution == solution
        return verdict.outcome, verdict.text

    @property
    def jobs(self) -> list[Job]:
        return [event.job for event in self.events if isinstance(event, JobReceived)]

    @property
    def rests(self) -> bool:
        """Whether the last job has ended without a successor."""
        works = [e for e in self.events if isinstance(e, JobReceived | JobEnded)]
        return bool(works) and isinstance(works[-1], JobEnded)

    @property
    def messages(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Message)]

    @property
    def logins(self) -> list[PoolEvent]:
        return [e for e in self.events if isinstance(e, Subscribed | Authorized)]


@asynccontextmanager
async def running(
    node: FakeNode, kind: str | None, address: str = "", **url: Any
) -> AsyncIterator[Bench]:
    """Run a session with `node`, which must be serving."""
    bench = Bench(node.port, kind, address, **url)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.run())
        yield bench
        task.cancel()


@asynccontextmanager
async def mining(
    node: Node, kind: str | None = "pprpc", address: str = "", **url: Any
) -> AsyncIterator[tuple[Node, Bench, Job]]:
    """Run a session with `node`; yield both with the first job."""
    async with serving(node), running(node, kind, address, **url) as bench:
        yield node, bench, await bench.job()


def solved(job: Job, nonce: int = NONCE, final_hash: int = 0x01020304) -> Solution:
    mix_hash = bytes.fromhex(MIX_HASH)
    return Solution(job, nonce, "fake", 0.0, mix_hash, final_hash.to_bytes(32, "big"))

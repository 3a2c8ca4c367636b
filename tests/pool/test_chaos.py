"""Half an hour of all faults at once, in simulated time.

Miners of every dialect mine on the test pool, which injects ten thousand faults, while a second
pool of their lists is unreachable. Only the hashes are fake; protocol lines, sockets and both
ends are real.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import pairwise
from random import Random
from typing import Any

import pytest

from miner.clock import LoopClock, SimulatedLoop
from miner.net.address import PoolUrl
from miner.net.dial import NetworkDial, Stream
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.stratum.chain import Chain
from miner.stratum.dialects import DIALECTS
from miner.stratum.session import Reports
from miner.stratum.share_rules import ShareJudged
from miner.testpool.faults import FAULTS as FAULT_NAMES
from miner.testpool.faults import Chaos, Fault
from miner.testpool.pool_server import PoolServer, ServerOptions
from miner.testpool.server_events import FaultInjected, ServerEvent
from miner.work import Job, Outcome, Solution, Verdict
from tests.testpool.standins import KAWPOW, StandInProver, final_of, mix_of, seed_of

SECONDS = 1800.0
MINERS_PER_DIALECT = 4
FAULTS = 10_000
FAULTS_PER_MINUTE = 90
SHARE_SECONDS = 0.5
TARGET = 2**254
KEPT = {
    "ban": 0.01, "half_open": 0.02, "cut": 0.1, "overlong": 0.1, "reconnect": 0.1, "garbage": 0.3,
    "delay": 0.2,
}  # fmt: skip
"""Fraction kept of faults that end a connection or disturb it for long."""


class LoopbackLoop(SimulatedLoop):
    """A simulated loop that never waits for sockets in real time: both ends of every socket are in
    this process, so that sent data has already arrived."""

    def _idle(self, timeout: float | None, watched: int, wait: Callable[[], None]) -> None:
        super()._idle(timeout, 0, wait)


class Storm:
    """Chaos with fewer faults that end a connection and few bans."""

    def __init__(self, seed: int) -> None:
        self._chaos = Chaos(FAULTS_PER_MINUTE, seed)
        self._random = Random(seed)

    def faults(self, worker: str) -> Iterator[tuple[float, Fault]]:
        for seconds, fault in self._chaos.faults(worker):
            if self._random.random() < KEPT.get(fault.name, 1.0):
                yield seconds, fault


class CountingDial:
    """The network dial, which records the time of each attempt."""

    def __init__(self) -> None:
        self._dial = NetworkDial()
        self.tries: list[tuple[int, float]] = []

    async def open(self, url: PoolUrl) -> Stream:
        self.tries.append((url.port, asyncio.get_running_loop().time()))
        return await self._dial.open(url)


class Miner:
    """A pool client with an engine that finds a share every second or so."""

    def __init__(
        self,
        protocol: str | None,
        number: int,
        ports: list[int],
        *,
        user: str | None = None,
        password: str = "x",
        seconds: float = SECONDS,
        reports: Reports | None = None,
    ) -> None:
        self._random, self._seconds = Random(number), seconds
        user = user or f"wallet.{protocol or 'auto'}{number}"
        urls = [PoolUrl("127.0.0.1", port, user, password, protocol=protocol) for port in ports]
        self.dial = CountingDial()
        self.found = 0
        self.verdicts: list[Verdict] = []
        self._job: Job | None = None
        clock = LoopClock()
        self.client = PoolClient(
            urls, Connections(KAWPOW, self.dial, clock, "a/0", seed_of=seed_of, reports=reports),
            self, self, lambda event: None, clock, self._random,
        )  # fmt: skip

    def work_on(self, job: Job | None) -> None:
        self._job = None if job and job.wait_reason else job

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            client = group.create_task(self.client.run())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds):
                    await self._search()
            await self.client.drain(60)
            client.cancel()

    async def _search(self) -> None:
        while True:
            await asyncio.sleep(self._random.expovariate(1 / SHARE_SECONDS))
            if (job := self._job) is None:
                continue
            solution = self._solve(job)
            # Some come late: their job is old by then, their session perhaps over.
            await asyncio.sleep(self._random.choice([0, 0, 0, 0.5, 5]))
            self.found += 1
            await self.client.submit(solution)

    def _solve(self, job: Job) -> Solution:
        while True:
            nonce = job.nonces.first + self._random.randrange(job.nonces.size)
            final_hash = final_of(job.header_hash, nonce)
            if int.from_bytes(final_hash, "big") <= job.target:
                mix_hash = mix_of(job.height, job.header_hash, nonce)
                return Solution(job, nonce, "fake", 0.0, mix_hash, final_hash)


class Listener:
    def __init__(self, events: list[ServerEvent]) -> None:
        self.on_event = events.append


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def simulate(work: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=LoopbackLoop) as runner:
        runner.run(work)


@pytest.fixture(scope="module")
def aftermath() -> tuple[list[Miner], list[ServerEvent], int]:
    """After the half hour: the miners, the events of the pool, the unreachable pool's port."""
    events: list[ServerEvent] = []
    miners: list[Miner] = []
    unreachable = closed_port()

    async def half_an_hour() -> None:
        chain = Chain(KAWPOW, 1000, TARGET, 1, Random(3), seed_of)
        options = ServerOptions(block_time=30.0, extranonce_bytes=3, faults=Storm(11), odd_seed=5)
        server = PoolServer(chain, StandInProver(), LoopClock(), options, Listener(events))
        async with server.listen(), asyncio.TaskGroup() as group:
            ports = [server.port, unreachable]
            for name in DIALECTS:
                miners.extend(Miner(name, n, ports) for n in range(MINERS_PER_DIALECT))
            for miner in miners:
                group.create_task(miner.run())

    simulate(half_an_hour())
    return miners, events, unreachable


Aftermath = tuple[list[Miner], list[ServerEvent], int]


def test_ten_thousand_faults_of_every_kind_are_injected(aftermath: Aftermath) -> None:
    _, events, _ = aftermath
    done = Counter(
        event.fault.name
        for event in events
        if isinstance(event, FaultInjected) and not event.skipped
    )
    assert sum(done.values()) >= FAULTS, done
    assert set(done) == set(FAULT_NAMES)


def test_every_share_has_one_verdict(aftermath: Aftermath) -> None:
    miners, _, _ = aftermath
    for miner in miners:
        assert len(miner.verdicts) == miner.found > 0
        whose = {(v.solution.job.header_hash, v.solution.nonce) for v in miner.verdicts}
        assert len(whose) == miner.found
    outcomes = Counter(v.outcome for miner in miners for v in miner.verdicts)
    assert outcomes[Outcome.ACCEPTED] > 1000, outcomes
    assert outcomes[Outcome.LOST] > 0, "nothing was lost: the faults did not bite"


def test_no_share_was_sent_twice(aftermath: Aftermath) -> None:
    _, events, _ = aftermath
    judged = [event for event in events if isinstance(event, ShareJudged)]
    assert judged
    assert [event for event in judged if "duplicate" in event.text.lower()] == []


def test_every_share_followed_the_rules_of_its_session(aftermath: Aftermath) -> None:
    """What the pool refused was late, never of a wrong prefix, header or mix hash."""
    _, events, _ = aftermath
    refused = Counter(e.text for e in events if isinstance(e, ShareJudged) and not e.accepted)
    wrong = {text: n for text, n in refused.items() if not is_late(text)}
    assert wrong == {}


def is_late(text: str) -> bool:
    return any(word in text.lower() for word in ("stale", "not found", "job id", "low difficulty"))


def test_retries_of_an_unreachable_pool_follow_the_back_off(aftermath: Aftermath) -> None:
    miners, _, unreachable = aftermath
    for miner in miners:
        times = [at for port, at in miner.dial.tries if port == unreachable]
        # The delays grow from 1 s to 60 s.
        assert len(times) <= 8 + SECONDS / 30
        assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def test_every_miner_keeps_reconnecting_with_back_off(
    aftermath: Aftermath,
) -> None:
    miners, _, _ = aftermath
    for miner in miners:
        assert 2 <= len(miner.dial.tries) <= SECONDS / 2

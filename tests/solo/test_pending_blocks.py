"""Blocks found after the end of the session that issued their job."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from miner import telemetry
from miner.net.address import PoolUrl, Transport
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.solo.node_session import NodeSessions
from miner.work import Job, Outcome, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.dial import FakeDial
from tests.fakes.node import HEIGHT, LOGIN, BlockNode, Cut, FakeNode, PprpcNode, Raw, serving
from tests.fakes.variants import KAWPOW
from tests.solo.bench import REAL_SECONDS, solved

BUSY = Raw(503, b"Work queue depth exceeded")


class Run:
    """A client whose only pool is a node."""

    def __init__(self, node: FakeNode, kind: str, address: str) -> None:
        self.clock = FakeClock()
        self.works: list[Job | None] = []
        self.verdicts: list[Verdict] = []
        self.events: list[telemetry.Event] = []
        url = PoolUrl(
            "127.0.0.1", node.port, *LOGIN, Transport.HTTP, protocol="node", reward=address
        )
        agent = "progpow-miner/0"
        nodes = NodeSessions(KAWPOW, kind, self.clock, agent)
        connections = Connections(KAWPOW, FakeDial(), self.clock, agent, nodes=nodes)
        self.client = PoolClient(
            [url], connections, self, self, self.events.append, self.clock, Random(1)
        )

    def work_on(self, job: Job | None) -> None:
        self.works.append(job)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    async def until(self, condition: Callable[[], Any], step: float = 0.1) -> None:
        """Return when `condition` holds; `step` seconds of the clock pass between two looks."""
        async with asyncio.timeout(REAL_SECONDS):
            while not condition():
                await self.clock.advance(step)

    async def job(self, number: int = 1) -> Job:
        await self.until(lambda: len(self.jobs) >= number)
        return self.jobs[number - 1]

    async def interrupt(self, node: FakeNode) -> None:
        """End the node's long polls until the session has failed."""

        def ended() -> bool:
            node.changed()
            return self.works[-1] is None

        await self.until(ended)

    @property
    def jobs(self) -> list[Job]:
        return [job for job in self.works if job is not None]

    @property
    def lost(self) -> list[telemetry.PoolLost]:
        return [e for e in self.events if isinstance(e, telemetry.PoolLost)]

    @property
    def remarks(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, telemetry.PoolRemark)]

    @property
    def outcomes(self) -> list[Outcome]:
        return [verdict.outcome for verdict in self.verdicts]


@asynccontextmanager
async def mining(node: FakeNode) -> AsyncIterator[Run]:
    """Run a client that mines with `node`, which must be serving."""
    run = Run(node, *(("submitblock", "miner") if isinstance(node, BlockNode) else ("pprpc", "")))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(run.client.run())
        yield run
        task.cancel()


def change_template(node: FakeNode) -> None:
    """Change the node's template without changing the tip."""
    if isinstance(node, PprpcNode):
        node.header = "d" * 64


def submitted(node: FakeNode) -> list[list[Any]]:
    return node.called("pprpcsb") + node.called("submitblock")


KINDS = pytest.mark.parametrize("kind", [PprpcNode, BlockNode])


@KINDS
async def test_a_block_found_between_sessions_is_written_and_submitted_by_the_next_one(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        node.fails("getblocktemplate", BUSY)
        await run.interrupt(node)
        await run.client.submit(solved(job))
        (file,) = blocks.iterdir()
        assert any(str(file) in text and f"height {HEIGHT}" in text for text in run.remarks)
        assert run.verdicts == []
        change_template(node)
        assert (await run.job(2)).header_hash != job.header_hash
        await run.until(lambda: run.verdicts)
        assert run.outcomes == [Outcome.ACCEPTED]
        assert run.verdicts[0].solution.job == job
        assert len(submitted(node)) == 1
        assert list(blocks.iterdir()) == []


@KINDS
async def test_a_block_of_an_earlier_session_is_submitted_by_the_current_one(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        node.fails("getblocktemplate", BUSY)
        await run.interrupt(node)
        change_template(node)
        await run.job(2)
        await run.client.submit(solved(job))
        await run.until(lambda: run.verdicts)
        assert run.outcomes == [Outcome.ACCEPTED]
        assert len(submitted(node)) == 1
        assert list(blocks.iterdir()) == []


@KINDS
async def test_draining_submits_a_block_to_a_node_without_work(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        node.fails("getblocktemplate", *[BUSY] * 50)
        await run.interrupt(node)
        await run.client.submit(solved(job))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(run.client.drain(5))
            await run.until(draining.done)
        assert run.outcomes == [Outcome.ACCEPTED]
        assert len(submitted(node)) == 1
        assert list(blocks.iterdir()) == []


@KINDS
async def test_the_verdict_of_an_unsubmitted_block_names_its_file(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node:
        async with mining(node) as run:
            job = await run.job()
            for method in ("getblocktemplate", "pprpcsb", "submitblock"):
                node.fails(method, *[Cut()] * 100)
            await run.interrupt(node)
            await run.client.submit(solved(job))
            async with asyncio.TaskGroup() as group:
                draining = group.create_task(run.client.drain(5))
                await run.until(draining.done)
            assert run.verdicts == []
        (verdict,) = run.verdicts
        (file,) = blocks.iterdir()
        assert verdict.outcome is Outcome.LOST
        assert f"it is kept in {file} and will be submitted at the next start" in verdict.text
        node.heals()
        node.calls.clear()
        async with mining(node) as run:
            text = f"the kept block of height {HEIGHT} was accepted by the node"
            await run.until(lambda: text in run.remarks)
        assert len(submitted(node)) == 1
        assert list(blocks.iterdir()) == []


async def test_a_block_found_after_the_end_of_the_run_is_written(blocks: Path) -> None:
    async with serving(BlockNode()) as node:
        async with mining(node) as run:
            job = await run.job()
        await run.client.submit(solved(job))
        (verdict,) = run.verdicts
        (file,) = blocks.iterdir()
        assert verdict.outcome is Outcome.LOST
        assert str(file) in verdict.text


@KINDS
async def test_no_block_is_submitted_twice(kind: type[FakeNode], blocks: Path) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        await run.client.submit(solved(job, 1))
        await run.until(lambda: run.verdicts)
        node.fails("getblocktemplate", BUSY)
        await run.interrupt(node)
        await run.client.submit(solved(job, 2))
        await run.client.submit(solved(job, 2))
        await run.client.submit(solved(job, 1))
        await run.job(2)
        await run.client.submit(solved(job, 2))
        await run.until(lambda: len(run.verdicts) == 5)
        assert run.outcomes.count(Outcome.ACCEPTED) == 2
        assert run.outcomes.count(Outcome.DUPLICATE) == 3
        assert len(submitted(node)) == 2


@KINDS
async def test_a_block_in_flight_is_submitted_again_by_the_next_session(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        for method in ("getblocktemplate", "pprpcsb", "submitblock"):
            node.fails(method, *[Cut()] * 1000)
        await run.client.submit(solved(job))
        node.changed()
        await run.until(lambda: run.works[-1] is None, step=1)
        assert run.verdicts == []
        assert len(list(blocks.iterdir())) == 1
        node.heals()
        before = len(submitted(node))
        await run.until(lambda: run.verdicts, step=1)
        assert run.outcomes == [Outcome.ACCEPTED]
        assert len(submitted(node)) == before + 1
        assert list(blocks.iterdir()) == []


@KINDS
async def test_a_block_that_failed_for_long_does_not_delay_the_end_of_the_next_session(
    kind: type[FakeNode], blocks: Path
) -> None:
    async with serving(kind()) as node, mining(node) as run:
        job = await run.job()
        for method in ("getblocktemplate", "pprpcsb", "submitblock"):
            node.fails(method, *[Cut()] * 1000)
        await run.interrupt(node)
        await run.client.submit(solved(job))
        await run.until(lambda: len(run.lost) == 2, step=1)
        assert 110 <= run.clock.now() - 1000 <= 150
        before = len(submitted(node))
        began = run.clock.now()
        await run.until(lambda: len(run.lost) == 4, step=1)
        assert run.clock.now() - began <= 30
        assert len(submitted(node)) > before
        (message,) = [text for text in run.remarks if "could not be submitted" in text]
        assert f"height {HEIGHT}" in message


async def test_a_block_that_cannot_be_written_is_submitted_by_the_next_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(file))
    async with serving(BlockNode()) as node, mining(node) as run:
        job = await run.job()
        node.fails("getblocktemplate", BUSY)
        await run.interrupt(node)
        await run.client.submit(solved(job))
        assert any("cannot be kept" in text for text in run.remarks)
        await run.until(lambda: run.verdicts)
        assert run.outcomes == [Outcome.ACCEPTED]

"""Blocks found after the end of the session that issued their job."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from miner.net.address import PoolUrl, Transport
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.solo.node_session import NodeSessions
from miner.telemetry import events
from miner.work import Job, Outcome, Verdict
from tests.fakes.block_node import BlockNode
from tests.fakes.clock import FakeClock
from tests.fakes.dial import FakeDial
from tests.fakes.node import HEIGHT, LOGIN, Cut, FakeNode, PprpcNode, serving
from tests.fakes.variants import KAWPOW
from tests.solo.bench import REAL_SECONDS, solved


class Run:
    """A client whose only pool is a node."""

    def __init__(self, node: FakeNode, kind: str, address: str) -> None:
        self.clock = FakeClock()
        self.works: list[Job | None] = []
        self.verdicts: list[Verdict] = []
        self.events: list[events.Event] = []
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
        """Let the session fail at its next look at the tip."""
        node.fails("getbestblockhash", Cut())
        await self.until(lambda: self.works[-1] is None)

    @property
    def jobs(self) -> list[Job]:
        return [job for job in self.works if job is not None]

    @property
    def lost(self) -> list[events.PoolLost]:
        return [e for e in self.events if isinstance(e, events.PoolLost)]

    @property
    def remarks(self) -> list[str]:
        return [e.text for e in self.events if isinstance(e, events.PoolRemark)]

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
        node.fails("getblocktemplate", *[Cut()] * 50)
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
        await run.interrupt(node)
        await run.client.submit(solved(job, 2))
        await run.client.submit(solved(job, 2))
        await run.client.submit(solved(job, 1))
        await run.job(2)
        await run.client.submit(solved(job, 2))
        await run.until(lambda: len(run.verdicts) == 5)
        assert run.outcomes.count(Outcome.ACCEPTED) == 1
        assert run.outcomes.count(Outcome.STALE) == 1
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
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(file))
    async with serving(BlockNode()) as node, mining(node) as run:
        job = await run.job()
        await run.interrupt(node)
        await run.client.submit(solved(job))
        assert any("cannot be kept" in text for text in run.remarks)
        await run.until(lambda: run.verdicts)
        assert run.outcomes == [Outcome.ACCEPTED]


async def many_kept_blocks(node: FakeNode, count: int) -> list[Job]:
    """Let a run end with `count` blocks, on two heights, that `node` did not answer."""
    async with mining(node) as run:
        jobs = [await run.job()]
        node.new_tip()
        jobs.append(await run.job(2))
    for number in range(count):
        await run.client.submit(solved(jobs[number % 2], number, final_hash=1000 - number))
    assert run.outcomes == [Outcome.LOST] * count
    return jobs


async def test_blocks_are_submitted_one_at_a_time_and_the_best_of_the_newest_height_first() -> None:
    async with serving(BlockNode()) as node:
        old, new = await many_kept_blocks(node, 20)
        good = node.rpc_submitblock

        async def verifying(params: list[Any]) -> Any:
            for _ in range(20):
                await asyncio.sleep(0)
            return await good(params)

        node.rpc_submitblock = verifying  # type: ignore[method-assign]
        async with mining(node) as run:
            await run.until(lambda: len([text for text in run.remarks if "kept" in text]) == 20)
        sent = [bytes.fromhex(params[0])[80:88] for params in node.called("submitblock")]
        numbers = [int.from_bytes(nonce, "little") for nonce in sent]
        assert numbers == [*range(19, 0, -2), *range(18, -1, -2)]
        assert node.most_running["submitblock"] == 1
        assert node.blocks[0]["nonce"] == 19
        assert node.blocks[0]["header"] == new.header_hash.hex() != old.header_hash.hex()


async def test_a_block_of_a_newer_height_does_not_wait_for_the_answer_to_an_older_one() -> None:
    async with serving(BlockNode()) as node:
        await many_kept_blocks(node, 4)
        good, answering = node.rpc_submitblock, asyncio.Event()

        async def slow(params: list[Any]) -> Any:
            if len(node.called("submitblock")) == 1:
                await answering.wait()
            return await good(params)

        node.rpc_submitblock = slow  # type: ignore[method-assign]
        async with mining(node) as run:
            job = await run.job()
            await run.until(lambda: node.called("submitblock"))
            node.new_tip("44" * 32)
            job = await run.job(2)
            await run.client.submit(solved(job))
            await run.until(lambda: run.verdicts)
            assert run.outcomes == [Outcome.ACCEPTED]
            assert len(node.called("submitblock")) == 2
            answering.set()


@KINDS
async def test_a_stop_reports_each_lost_block_in_one_sentence(kind: type[FakeNode]) -> None:
    async with serving(kind()) as node:
        async with mining(node) as run:
            job = await run.job()
            for method in ("pprpcsb", "submitblock"):
                node.fails(method, *[Cut()] * 100)
            await run.client.submit(solved(job))
            await run.until(lambda: run.remarks)
            before = list(run.remarks)
        assert run.remarks == before
        (verdict,) = run.verdicts
        assert "the miner stopped; it is kept in " in verdict.text


async def test_blocks_in_the_cache_directory_are_moved_to_the_state_directory_and_submitted(
    blocks: Path, tmp_path: Path
) -> None:
    """Earlier versions kept them there."""
    async with serving(BlockNode()) as node:
        async with mining(node) as run:
            job = await run.job()
        await run.client.submit(solved(job))
        old = tmp_path / "cache" / "blocks"
        old.parent.mkdir(exist_ok=True)
        blocks.rename(old)
        async with mining(node) as run:
            text = f"the kept block of height {HEIGHT} was accepted by the node"
            await run.until(lambda: text in run.remarks)
    assert not old.exists()
    assert list(blocks.iterdir()) == []


async def test_blocks_that_cannot_be_moved_are_reported_in_one_sentence(tmp_path: Path) -> None:
    old = tmp_path / "cache" / "blocks"
    old.mkdir(parents=True)
    (old / "127.0.0.1-1-x.json").write_text("{}")
    (tmp_path / "blocks").write_text("a file in the way")
    async with serving(BlockNode()) as node, mining(node) as run:
        await run.job()
        (text,) = run.remarks
        assert text.startswith(f"{old}: the found blocks there cannot be moved to ")
    assert [path.name for path in old.iterdir()] == ["127.0.0.1-1-x.json"]


async def test_a_full_disk_is_reported_in_one_sentence_and_the_block_is_submitted(
    blocks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    async with serving(BlockNode()) as node, mining(node) as run:
        job = await run.job()
        await run.client.submit(solved(job))
        await run.until(lambda: run.verdicts)
        assert run.outcomes == [Outcome.ACCEPTED]
        (text,) = [text for text in run.remarks if "cannot be kept" in text]
        assert "(No space left on device); it is submitted without" in text
    assert list(blocks.iterdir()) == []

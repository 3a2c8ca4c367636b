from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest

from miner.clock import SystemClock
from miner.errors import ConnectionLost, PoolRefused
from miner.net.address import PoolUrl, Transport
from miner.solo.rpc import NodeRpc
from miner.solo.template_polling import KEPT_SECONDS
from miner.stratum.pool_events import JobEnded
from miner.work import Outcome
from tests.fakes.block_node import BlockNode
from tests.fakes.clock import FakeClock
from tests.fakes.node import HEIGHT, LOGIN, PprpcNode, Raw, RpcFault, serving
from tests.solo.bench import mining, running, solved


@pytest.mark.parametrize(
    ("code", "text"),
    [(-9, "no connection to other nodes"), (-10, "downloading"), (-28, "starting")],
)
async def test_a_node_that_is_not_ready_is_asked_again_with_back_off(code: int, text: str) -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(code, "not yet")] * 3)
        async with running(node, "pprpc") as bench:
            await bench.job(step=0.5)
            (message,) = bench.messages
            assert text in message
            assert len(node.called("getblocktemplate")) == 4
            assert bench.clock.now() - 1000 >= 1 + 2 + (2 if code == -28 else 4)


async def test_a_starting_node_on_this_machine_is_asked_every_two_seconds() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(-28, "Loading block index...")] * 60)
        async with running(node, "pprpc") as bench:
            await bench.job(step=0.5)
            assert bench.clock.now() - 1000 <= 2 * 61


async def test_a_node_without_work_for_ten_minutes_is_left() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", *[RpcFault(-10, "downloading blocks")] * 100)
        async with running(node, "pprpc") as bench:
            assert "no work for 10 minutes" in await bench.fails(ConnectionLost, step=5)
            assert bench.clock.now() - 1000 >= 600


async def test_a_server_without_getblocktemplate_is_refused() -> None:
    async with serving(PprpcNode()) as node:
        node.fails("getblocktemplate", RpcFault(-32601, "Method not found", 404))
        async with running(node, "pprpc") as bench:
            assert "no getblocktemplate" in await bench.fails(PoolRefused)


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("target", "00" * 31 + "01", "target"),
        ("bits", "1d000000", "target is 0"),
        ("bits", "zz", "bits"),
        ("bits", 5, "bits"),
        ("height", -1, "height"),
        ("height", "12ab", "height"),
        ("height", True, "height"),
        ("height", 2**64, "height"),
        ("previousblockhash", None, "previousblockhash"),
        ("pprpcheader", "00ff", "pprpcheader"),
        ("pprpcheader", 7, "pprpcheader"),
    ],
)
async def test_an_inconsistent_template_is_not_mined(member: str, value: Any, text: str) -> None:
    node = PprpcNode()
    good = node.template

    def bad() -> dict[str, Any]:
        template = good()
        if value == "1d000000":
            del template["target"]
        return template | {member: value}

    node.template = bad  # type: ignore[method-assign]
    async with serving(node), running(node, "pprpc") as bench:
        await bench.until(lambda: bench.messages)
        assert text in bench.messages[0]
        assert bench.jobs == []
        node.template = good  # type: ignore[method-assign]
        await bench.job(step=0.5)
        assert len(bench.messages) == 1


async def test_a_lower_height_on_the_same_tip_is_not_mined() -> None:
    async with mining(PprpcNode()) as (node, bench, _):
        node.header = "5e" * 32
        node.new_tip(node.tip, HEIGHT - 1)
        await bench.until(lambda: bench.messages, step=1)
        assert "same tip" in bench.messages[0]
        assert len(bench.jobs) == 1
        node.new_tip("33" * 32, HEIGHT - 1)
        assert (await bench.job(2, step=0.5)).height == HEIGHT - 1


async def test_a_different_epoch_number_is_reported_once() -> None:
    async with mining(PprpcNode(epoch=1)) as (node, bench, _):
        node.header = "5e" * 32
        node.new_tip()
        await bench.job(2, step=0.5)
        (message,) = bench.messages
        assert "epoch 1" in message


async def test_the_tip_is_looked_at_each_second_and_a_template_requested_each_half_minute() -> None:
    async with mining(PprpcNode()) as (node, bench, _):
        await bench.until(lambda: len(node.called("getblocktemplate")) == 3, step=0.25)
        assert 60 <= bench.clock.now() - 1000 <= 64
        assert 56 <= len(node.called("getbestblockhash")) <= 60
        assert len(bench.jobs) == 1
        node.header = "5e" * 32
        node.new_tip()
        before = bench.clock.now()
        await bench.job(2, step=0.25)
        assert bench.clock.now() - before <= 1.5


@pytest.mark.parametrize(("kind", "address"), [("pprpc", ""), ("submitblock", "miner")])
async def test_a_request_for_work_does_not_wait_at_the_node(kind: str, address: str) -> None:
    """A long poll would hold one of the node's few threads."""
    node = PprpcNode() if kind == "pprpc" else BlockNode()
    async with mining(node, kind, address) as (_, bench, _):
        await bench.until(lambda: len(node.called("getblocktemplate")) == 3, step=1)
        assert all("longpollid" not in params[0] for params in node.called("getblocktemplate"))


async def test_a_node_with_a_full_queue_keeps_its_job_for_a_minute() -> None:
    full = Raw(500, b"Work queue depth exceeded")
    async with mining(PprpcNode()) as (node, bench, _):
        node.fails("getbestblockhash", *[full] * 20)
        await bench.until(lambda: len(node.called("getbestblockhash")) == 21, step=0.5)
        assert not bench.rests
        (message,) = bench.messages
        assert "rpcthreads=" in message
        node.fails("getbestblockhash", *[full] * 90)
        node.fails("getblocktemplate", *[full] * 3)
        await bench.until(lambda: len(node.called("getblocktemplate")) == 5, step=0.5)
        assert JobEnded() not in bench.events
        node.fails("getblocktemplate", *[full] * 9)
        begun = bench.clock.now()
        await bench.until(lambda: bench.rests, step=0.5)
        assert bench.clock.now() - begun >= KEPT_SECONDS
        node.heals()
        await bench.job(2, step=0.5)
        assert bench.ended is None


async def test_a_node_whose_threads_are_all_held_keeps_its_job_until_a_template_is_due() -> None:
    node = PprpcNode()

    async def never(params: list[Any]) -> None:
        await asyncio.Event().wait()

    async with mining(node) as (_, bench, _):
        look = node.rpc_getbestblockhash
        node.rpc_getbestblockhash = never  # type: ignore[method-assign]
        await bench.until(lambda: len(node.called("getbestblockhash")) == 2, step=0.5)
        assert not bench.rests
        (message,) = bench.messages
        assert "no answer to getbestblockhash within 10 s; trying again" in message
        node.rpc_getbestblockhash = look  # type: ignore[method-assign]
        node.header = "5e" * 32
        node.new_tip()
        await bench.job(2, step=0.5)
        assert bench.ended is None


async def test_an_accepted_block_brings_the_next_job_at_once() -> None:
    async with mining(PprpcNode()) as (_, bench, job):
        await bench.submitted(solved(job))
        assert (await bench.job(2)).height == HEIGHT + 1
        assert bench.clock.now() == 1000


async def test_an_accepted_block_ends_its_job_if_the_node_has_no_other_work() -> None:
    """The node lost its peers while we mined."""
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("getblocktemplate", *[RpcFault(-9, "Raven is not connected!")] * 5)
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        await bench.until(lambda: bench.rests)
        assert bench.clock.now() == 1000
        await bench.job(2, step=0.5)
        assert not bench.rests


@pytest.mark.parametrize("by_us", [True, False])
async def test_a_job_that_is_over_ends_within_a_second_if_the_node_is_slow(by_us: bool) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        good, answering = node.rpc_getblocktemplate, asyncio.Event()

        async def slow(params: list[Any]) -> Any:
            await answering.wait()
            return await good(params)

        node.rpc_getblocktemplate = slow  # type: ignore[method-assign]
        if by_us:
            await bench.submitted(solved(job))
        else:
            node.new_tip()
        await bench.until(lambda: bench.rests, step=0.25)
        assert bench.clock.now() - 1000 <= 2.5
        answering.set()
        await bench.job(2, step=0.25)


async def test_work_that_our_block_solved_is_not_mined_again() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        good, old = node.template, node.template()
        node.template = lambda: old  # type: ignore[method-assign]
        await bench.submitted(solved(job))
        await bench.until(lambda: bench.rests)
        assert len(bench.jobs) == 1
        node.template = good  # type: ignore[method-assign]
        assert (await bench.job(2, step=0.5)).height == HEIGHT + 1


async def test_an_answer_from_before_our_block_was_accepted_is_ignored() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        good, made, answering = node.rpc_getblocktemplate, asyncio.Event(), asyncio.Event()

        async def late(params: list[Any]) -> Any:
            answer = await good(params)
            made.set()
            await answering.wait()
            return answer

        node.rpc_getblocktemplate = late  # type: ignore[method-assign]
        await bench.until(made.is_set, step=1)  # a template is due each half minute
        node.rpc_getblocktemplate = good  # type: ignore[method-assign]
        before = bench.clock.now()
        await bench.submitted(solved(job))
        answering.set()
        assert (await bench.job(2)).height == HEIGHT + 1
        assert bench.clock.now() == before
        assert bench.messages == []


async def test_a_node_that_loses_its_work_lets_the_devices_rest_until_it_has_some() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("getblocktemplate", RpcFault(-9, "Raven is not connected!"))
        await bench.until(lambda: bench.rests, step=1)
        assert (await bench.job(2, step=0.5)).header_hash == job.header_hash


async def test_a_refused_block_brings_the_nodes_other_work_at_once() -> None:
    """A request of another miner made the node forget our header."""
    async with mining(PprpcNode()) as (node, bench, job):
        node.known.clear()
        node.header = "5e" * 32
        assert (await bench.submitted(solved(job)))[0] is Outcome.STALE
        assert (await bench.job(2)).header_hash.hex() == node.header
        assert bench.clock.now() == 1000


@pytest.mark.parametrize(("kind", "address"), [("pprpc", ""), ("submitblock", "miner")])
async def test_four_rigs_on_one_node_lose_no_block(kind: str, address: str) -> None:
    """The node has four threads, and each rig wants its news as soon as possible."""
    node = PprpcNode() if kind == "pprpc" else BlockNode()
    url = PoolUrl("127.0.0.1", 0, *LOGIN, Transport.HTTP)
    clock = FakeClock()
    async with serving(node), AsyncExitStack() as stack:
        rigs = [
            await stack.enter_async_context(running(node, kind, address, clock=clock))
            for _ in range(4)
        ]
        other = NodeRpc(replace(url, port=node.port), SystemClock(), "other")
        await stack.enter_async_context(other)
        for number in range(100):
            rig = rigs[number % 4]
            height = HEIGHT + number
            await rig.until(lambda: rig.jobs and rig.jobs[-1].height == height, step=0.25)  # noqa: B023
            assert (await other.call("getbestblockhash")).result == node.tip
            assert await rig.submitted(solved(rig.jobs[-1], number)) == (Outcome.ACCEPTED, "")
            assert node.chain[height]["nonce"] == number
        assert node.refused == 0
        assert clock.now() - 1000 <= 200

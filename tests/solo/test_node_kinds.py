from __future__ import annotations

from typing import Any

import pytest

from miner.catalog import NODE_KIND_NAMES
from miner.errors import PoolRefused
from miner.net.address import DEFAULT_PASSWORD
from miner.solo.node_kinds import NODE_KINDS
from miner.work import Outcome
from tests.fakes.block_node import BlockNode
from tests.fakes.node import (
    HEIGHT,
    TARGET,
    Cut,
    FiroNode,
    PprpcNode,
    RpcFault,
    VeilNode,
    WorkNode,
    serving,
)
from tests.solo.bench import mining, running, solved


def test_each_kind_that_a_coin_may_name_exists() -> None:
    assert set(NODE_KIND_NAMES) <= set(NODE_KINDS)


async def test_firo_takes_the_address_and_calls_a_new_block_a_duplicate() -> None:
    async with mining(FiroNode(), "firo", "aFiroAddress") as (node, bench, job):
        assert node.called("getblocktemplate")[0] == [{}, "aFiroAddress"]
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        await bench.until(lambda: bench.messages)
        assert "is in the node's chain" in bench.messages[0]
        assert [HEIGHT] in node.called("getblockhash")


async def test_firo_also_calls_a_new_block_duplicate_inconclusive() -> None:
    node = FiroNode(verdict="duplicate-inconclusive")
    async with mining(node, "firo", "aFiroAddress") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Job not found", Outcome.STALE),
        ("Bad solution : mismatching mix_hash", Outcome.INVALID),
        ("Bad solution : not below target", Outcome.LOW_DIFFICULTY),
    ],
)
async def test_refusals_by_firo(text: str, outcome: Outcome) -> None:
    async with mining(FiroNode(verdict=text), "firo", "aFiroAddress") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (outcome, text)


@pytest.mark.parametrize("address", ["", "RNotFiros"])
async def test_firo_without_a_valid_address_is_refused(address: str) -> None:
    async with serving(FiroNode()) as node, running(node, "firo", address) as bench:
        assert "address" in await bench.fails(PoolRefused)


async def test_veil_is_asked_for_progpow() -> None:
    async with mining(VeilNode(), "veil") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


async def test_veil_without_a_mining_address_is_refused() -> None:
    async with serving(VeilNode(mining_address=False)) as node, running(node, "veil") as bench:
        assert "basecoin" in str(await bench.end())


@pytest.mark.parametrize("kind", ["getwork", "sero"])
@pytest.mark.parametrize("height", [hex(HEIGHT), str(HEIGHT)])
async def test_getwork(kind: str, height: str) -> None:
    prefix = "sero" if kind == "sero" else "eth"
    node = WorkNode()
    node.work[3] = height
    async with mining(node, kind) as (_, bench, job):
        assert (job.height, job.target) == (HEIGHT, int(TARGET, 16))
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        (params,) = node.called(f"{prefix}_submitWork")
        header = f"0x{job.header_hash.hex()}"
        assert params == ["0x0123456789abcdef", header, "0x" + bytes(range(32)).hex()]
        await bench.until(lambda: bench.messages)
        assert "is in the node's chain" in bench.messages[0]


async def test_getwork_is_polled_twice_a_second() -> None:
    async with mining(WorkNode(), "getwork") as (node, bench, _):
        await bench.until(lambda: len(node.called("eth_getWork")) == 5, step=0.1)
        assert 1.9 <= bench.clock.now() - 1000 <= 2.6
        assert len(bench.jobs) == 1
        node.work = ["0x" + 32 * "c5", node.work[1], node.work[2], hex(HEIGHT + 1)]
        job = await bench.job(2, step=0.1)
        assert (job.height, job.clean) == (HEIGHT + 1, True)
        node.work = ["0x" + 32 * "c6", *node.work[1:]]
        assert not (await bench.job(3, step=0.1)).clean


async def test_a_node_that_starts_to_mine_at_the_first_request_is_asked_again() -> None:
    not_ready = "mining not ready: No work available yet, don't panic."
    async with serving(WorkNode()) as node:
        node.fails("eth_getWork", *[RpcFault(-32000, not_ready)] * 3)
        async with running(node, "getwork") as bench:
            await bench.job(step=0.5)
            (message,) = bench.messages
            assert not_ready in message
            assert message.endswith("asking again")
            assert len(node.called("eth_getWork")) == 4


@pytest.mark.parametrize(("later", "outcome"), [(0, Outcome.INVALID), (1, Outcome.STALE)])
async def test_a_getwork_refusal_has_no_reason(later: int, outcome: Outcome) -> None:
    async with mining(WorkNode(taken=False), "getwork") as (node, bench, job):
        node.work = ["0x" + 32 * "c5", node.work[1], node.work[2], hex(HEIGHT + later)]
        await bench.job(2, step=0.1)
        found, text = await bench.submitted(solved(job))
        assert found is outcome
        assert "without a reason" in text


async def test_a_getwork_block_in_the_chain_is_accepted_after_a_lost_answer() -> None:
    async with mining(WorkNode(), "getwork") as (node, bench, job):
        node.loses("eth_submitWork", Cut())
        bench.session.submit(solved(job))
        verdict = await bench.verdict(step=0.1)
        assert verdict.outcome is Outcome.ACCEPTED


async def test_getwork_without_a_height_is_refused() -> None:
    node = WorkNode()
    del node.work[3]
    async with serving(node), running(node, "getwork") as bench:
        assert "no block height" in await bench.fails(PoolRefused)


@pytest.mark.parametrize(
    "work",
    [
        [],
        None,
        ["0x00", "0x00", "0x" + TARGET, "0x5"],
        ["0x" + 32 * "c4", "", "0x0", "0x5"],
        ["0x" + 32 * "c4", "", "0x" + TARGET, "next"],
        ["0x" + 32 * "c4", "", "0x" + TARGET, "0xffffffffffffffff"],
        [1, 2, 3, 4],
    ],
    ids=str,
)
async def test_unusable_getwork_answers_are_retried(work: Any) -> None:
    async with serving(WorkNode()) as node:
        good, node.work = node.work, work
        async with running(node, "getwork") as bench:
            await bench.until(lambda: bench.messages)
            assert bench.jobs == []
            node.work = good
            await bench.job(step=0.1)
            assert len(bench.messages) == 1


@pytest.mark.parametrize("kind", ["pprpc", None])
async def test_an_address_is_paid_by_whole_blocks(kind: str | None) -> None:
    """The node has no `miningaddress`."""
    async with mining(BlockNode(), kind, "miner") as (node, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        assert node.called("submitblock")


@pytest.mark.parametrize("kind", ["pprpc", None])
async def test_without_an_address_the_node_pays_its_own(kind: str | None) -> None:
    async with mining(PprpcNode(), kind) as (node, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        assert node.called("pprpcsb")


@pytest.mark.parametrize("kind", ["veil", "getwork", "sero"])
async def test_an_address_that_the_node_would_not_pay_is_refused(kind: str) -> None:
    node = VeilNode() if kind == "veil" else WorkNode()
    async with serving(node), running(node, kind, "0xAddress") as bench:
        assert "cannot be asked to pay the user's address" in await bench.fails(PoolRefused)
        assert node.calls == []


@pytest.mark.parametrize("kind", ["getwork", "sero"])
async def test_a_user_without_a_password_is_an_address_for_a_node_that_wants_no_login(
    kind: str,
) -> None:
    async with serving(WorkNode()) as node:
        async with running(node, kind, user="0xAddress", password=DEFAULT_PASSWORD) as bench:
            error = await bench.fails(PoolRefused)
        assert "leave the user out" in error


async def test_with_a_cookie_file_the_user_is_the_reward_address(tmp_path: Any) -> None:
    cookie = tmp_path / ".cookie"
    cookie.write_text("__cookie__:00ff")
    node = BlockNode(login=("__cookie__", "00ff"))
    async with (
        serving(node),
        running(node, "submitblock", user="miner", cookie_file=str(cookie)) as bench,
    ):
        await bench.job()
        assert node.called("validateaddress") == [["miner"]]


@pytest.mark.parametrize("kind", ["submitblock", None])
async def test_submitblock_without_an_address_is_refused(kind: str | None) -> None:
    async with serving(BlockNode()) as node, running(node, kind) as bench:
        assert "address" in await bench.fails(PoolRefused)


async def test_an_address_of_another_chain_is_refused() -> None:
    async with serving(BlockNode()) as node, running(node, "submitblock", "elsewhere") as bench:
        assert "elsewhere is not an address of the node's chain" in await bench.fails(PoolRefused)

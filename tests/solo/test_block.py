from __future__ import annotations

from typing import Any

import pytest

from miner.errors import PoolRefused
from miner.solo.block import (
    UNSUPPORTED_MEMBERS,
    compact_size,
    height_script,
    make_coinbase,
    merkle_root,
    sha256d,
)
from miner.work import Outcome
from tests.fakes.block_node import BlockNode
from tests.fakes.node import HEIGHT, RpcFault, serving
from tests.solo.bench import mining, running, solved

NONCE = 0x0123456789ABCDEF


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
async def test_the_node_reads_the_block_as_intended(count: int) -> None:
    transactions = [bytes([n + 1]) * (61 + n) for n in range(count)]
    node = BlockNode(transactions=transactions)
    async with mining(node, "submitblock", "miner") as (_, bench, job):
        assert await bench.submitted(solved(job, NONCE)) == (Outcome.ACCEPTED, "")
        (block,) = node.blocks
        assert block["header"] == job.header_hash.hex() == job.id
        assert block["nonce"] == NONCE
        assert block["mix"] == bytes(range(32)).hex()
        assert block["time"] == node.curtime


@pytest.mark.parametrize("height", [1, 16, 17, 127, 128, 255, 32768, HEIGHT, 2**23])
async def test_heights_of_every_script_length(height: int) -> None:
    async with mining(BlockNode(height=height), "submitblock", "miner") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


@pytest.mark.parametrize("witness", [True, False])
@pytest.mark.parametrize("community", [0, 500 * 10**8])
async def test_witness_and_community_outputs(witness: bool, community: int) -> None:
    node = BlockNode(witness=witness, community=community)
    async with mining(node, "submitblock", "miner") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


async def test_a_signed_version() -> None:
    async with mining(BlockNode(version=-(2**31) + 5), "submitblock", "miner") as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")


async def test_a_coin_that_wants_another_coinbase_is_refused_before_mining() -> None:
    """Its node names another payee in a member of the template that the miner does not know."""
    node = BlockNode(community=5)
    good = node.template
    node.template = lambda: {  # type: ignore[method-assign]
        key: value for key, value in good().items() if not key.startswith("Community")
    }
    async with serving(node), running(node, "pprpc", "miner") as bench:
        error = await bench.fails(PoolRefused)
        assert "it would refuse the miner's blocks (bad-cb-amount)" in error
        assert bench.jobs == []


@pytest.mark.parametrize(
    ("fault", "refused"),
    [
        (RpcFault(-22, "Block decode failed"), True),
        (RpcFault(-8, "Invalid mode"), False),
    ],
    ids=str,
)
async def test_a_node_without_proposals_is_mined_unless_it_cannot_read_the_block(
    fault: RpcFault, refused: bool
) -> None:
    node = BlockNode()
    good = node.rpc_getblocktemplate

    async def template(params: list[Any]) -> Any:
        if "mode" in params[0]:
            raise fault
        return await good(params)

    node.rpc_getblocktemplate = template  # type: ignore[method-assign]
    async with serving(node), running(node, "submitblock", "miner") as bench:
        await bench.until(lambda: bench.jobs or bench.ended)
        assert isinstance(bench.ended, PoolRefused) is refused


async def test_two_sessions_make_different_blocks() -> None:
    async with (
        serving(BlockNode()) as node,
        running(node, "submitblock", "miner") as one,
        running(node, "submitblock", "miner") as other,
    ):
        assert (await one.job()).header_hash != (await other.job()).header_hash


async def test_an_older_template_of_the_same_tip_can_be_solved() -> None:
    async with mining(BlockNode(), "submitblock", "miner") as (node, bench, old):
        before = node.transactions
        node.transactions = [*before, b"\x77" * 80]
        new = await bench.job(2, step=1)
        assert not new.clean
        node.transactions = before
        assert (await bench.submitted(solved(old)))[0] is Outcome.ACCEPTED
        assert node.blocks[0]["header"] == old.header_hash.hex()


async def test_a_solution_of_a_forgotten_template_is_stale() -> None:
    async with mining(BlockNode(), "submitblock", "miner") as (node, bench, old):
        for number in range(9):
            node.new_tip(f"{number + 30:02d}" * 32)
            await bench.job(number + 2, step=0.5)
        outcome, _ = await bench.submitted(solved(old))
        assert outcome is Outcome.STALE
        assert node.called("submitblock") == []


async def test_a_new_time_alone_makes_a_new_job_after_thirty_seconds() -> None:
    async with mining(BlockNode(), "submitblock", "miner") as (node, bench, _):
        node.curtime += 29
        await bench.until(lambda: len(node.called("getblocktemplate")) == 3, step=1)
        assert len(bench.jobs) == 1
        node.curtime += 1
        assert not (await bench.job(2, step=1)).clean
        node.curtime -= 3600  # its clock was wrong: the earlier block may be too far in the future
        assert not (await bench.job(3, step=1)).clean


@pytest.mark.parametrize(
    ("member", "value", "text"),
    [
        ("coinbasevalue", None, "coinbasevalue"),
        ("coinbasevalue", -1, "coinbasevalue"),
        ("curtime", 2**32, "curtime"),
        ("version", "x", "version"),
        ("transactions", None, "transactions"),
        ("transactions", [1], "transactions"),
        ("transactions", [{"data": "00"}], "hash"),
        ("transactions", [{"data": "zz", "txid": "00" * 32}], "transaction"),
        ("default_witness_commitment", 1, "default_witness_commitment"),
        ("CommunityAutonomousAddress", 1, "CommunityAutonomousAddress"),
        ("CommunityAutonomousAddress", "community", "CommunityAutonomousValue"),
    ],
)
async def test_an_unusable_template_is_not_mined(member: str, value: Any, text: str) -> None:
    node = BlockNode()
    good = node.template
    node.template = lambda: good() | {member: value}  # type: ignore[method-assign]
    async with serving(node), running(node, "submitblock", "miner") as bench:
        await bench.until(lambda: bench.messages)
        assert text in bench.messages[0]
        assert bench.jobs == []


@pytest.mark.parametrize("member", UNSUPPORTED_MEMBERS)
async def test_an_unsupported_coinbase_is_refused(member: str) -> None:
    node = BlockNode()
    good = node.template
    node.template = lambda: good() | {member: [{}]}  # type: ignore[method-assign]
    async with serving(node), running(node, "submitblock", "miner") as bench:
        assert member in await bench.fails(PoolRefused)


def test_the_merkle_root_of_bitcoin_block_100000() -> None:
    """The merkle root of Bitcoin's block 100000, from its four transactions' ids."""
    txids = [
        "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87",
        "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
        "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
        "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
    ]
    root = merkle_root([bytes.fromhex(txid)[::-1] for txid in txids])
    assert root[::-1].hex() == "f3e94742aca4b5ef85488dc37c06c3282295ffec960994b2c0d5ac2a25a95766"


def test_compact_size_of_every_length() -> None:
    """The ranges of CompactSize in Bitcoin's protocol documentation."""
    assert compact_size(0xFC).hex() == "fc"
    assert compact_size(0xFD).hex() == "fdfd00"
    assert compact_size(0xFFFF).hex() == "fdffff"
    assert compact_size(0x10000).hex() == "fe00000100"
    assert compact_size(2**32).hex() == "ff0000000001000000"


def test_the_height_script_of_bip34_s_example() -> None:
    """BIP34: block 227,836 begins with 03fc7903 (0x0379fc is 227,836)."""
    assert height_script(227836).hex() == "03fc7903"
    assert height_script(0).hex() == "00"


def test_a_coinbase_without_witness_is_its_stripped_form() -> None:
    made = make_coinbase(1, b"\1\2", [], None)
    assert made.stripped == made.complete
    assert made.txid == sha256d(made.complete)

from __future__ import annotations

from pathlib import Path

from miner.errors import PoolRefused
from miner.stratum.pool_events import Authorized, JobReceived, Subscribed
from miner.work import NonceSpace, Outcome
from tests.fakes.node import HEIGHT, TARGET, PprpcNode, RpcFault, serving
from tests.solo.bench import mining, running, solved


async def test_a_template_becomes_a_job() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        assert [type(event) for event in bench.events] == [Subscribed, Authorized, JobReceived]
        assert (job.session, job.id, job.height) == (7, node.header, HEIGHT)
        assert job.header_hash.hex() == node.header
        assert job.share_target == job.block_target == int(TARGET, 16)
        assert job.nonces == NonceSpace()
        assert job.clean
        assert node.called("getblocktemplate")[0] == [{"rules": ["segwit"]}]


async def test_a_block_is_submitted_and_confirmed(blocks: Path) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        mix = bytes(range(32)).hex()
        assert node.called("pprpcsb") == [[job.header_hash.hex(), mix, "0x0123456789abcdef"]]
        await bench.until(lambda: bench.messages)
        assert bench.messages == [f"the block of height {HEIGHT} is in the node's chain"]
        assert list(blocks.iterdir()) == []
        submitting = next(call for call in node.calls if call.method == "pprpcsb")
        others = {call.peer for call in node.calls if call is not submitting}
        assert submitting.peer not in others


async def test_a_new_tip_makes_a_clean_job() -> None:
    async with mining(PprpcNode()) as (node, bench, _):
        node.header = "5e" * 32
        node.new_tip()
        job = await bench.job(2, step=0.5)
        assert (job.height, job.header_hash, job.clean) == (HEIGHT + 1, bytes(32 * [0x5E]), True)


async def test_new_transactions_make_a_job_that_is_not_clean() -> None:
    async with mining(PprpcNode()) as (node, bench, _):
        node.header = "5e" * 32
        assert not (await bench.job(2, step=1)).clean


async def test_a_node_without_mining_address_is_refused() -> None:
    async with serving(PprpcNode(mining_address=False)) as node, running(node, "pprpc") as bench:
        error = await bench.fails(PoolRefused)
        assert "miningaddress=" in error
        assert str(node.port) in error


async def test_refusals_by_the_node() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        for number, (verdict, outcome) in enumerate(
            (
                (RpcFault(-32602, "Block header hash not found in block data"), Outcome.STALE),
                (RpcFault(-1, "Block does not solve the boundary"), Outcome.LOW_DIFFICULTY),
                ("inconclusive", Outcome.STALE),
                ("invalid-mix-hash", Outcome.INVALID),
                ("high-hash", Outcome.LOW_DIFFICULTY),
                ("duplicate-invalid", Outcome.INVALID),
                ("duplicate", Outcome.DUPLICATE),
            )
        ):
            node.verdict = verdict
            found, text = await bench.submitted(solved(job, number))
            assert found is outcome, verdict
            assert text.startswith(verdict if isinstance(verdict, str) else verdict.message)


async def test_a_solution_found_twice_is_submitted_once() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        await bench.submitted(solved(job))
        outcome, _ = await bench.submitted(solved(job))
        assert outcome is Outcome.DUPLICATE
        assert len(node.called("pprpcsb")) == 1


async def test_leave_ends_the_session_with_its_reason() -> None:
    async with mining(PprpcNode()) as (_, bench, _):
        await bench.session.drained()
        bench.session.leave("another pool is better")
        assert await bench.end() == "another pool is better"


async def test_a_solution_after_the_end_is_lost_but_kept_in_a_file() -> None:
    async with mining(PprpcNode()) as (_, bench, job):
        bench.session.leave("the miner stopped")
        await bench.end()
        outcome, text = await bench.submitted(solved(job))
        assert outcome is Outcome.LOST
        assert "submitted at the next start" in text


async def test_a_solution_after_cancellation_is_lost() -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            await bench.job()
        assert bench.ended is None
        await bench.session.drained()
        outcome, _ = await bench.submitted(solved(bench.jobs[0]))
        assert outcome is Outcome.LOST

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from miner.errors import ConnectionLost
from miner.solo.block_submitter import FORGOTTEN
from miner.work import Outcome
from tests.fakes.node import HEIGHT, Cut, FiroNode, PprpcNode, Raw, RpcFault, serving
from tests.solo.bench import MIX_HASH, NONCE, mining, running, solved


@pytest.mark.parametrize(
    "fault",
    [
        Cut(),
        Raw(503, b"busy"),
        Raw(401, b""),
        RpcFault(-28, "starting"),
        RpcFault(-25, "Disk space is too low"),
        RpcFault(-20, "database error"),
        RpcFault(-7, "out of memory"),
        RpcFault(-32603, "internal error"),
    ],
    ids=str,
)
async def test_a_failed_submission_is_retried(fault: Exception) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", fault, fault)
        assert await bench.submitted(solved(job), step=0.25) == (Outcome.ACCEPTED, "")
        sent = node.called("pprpcsb")
        assert len(sent) == 3
        (message,) = [text for text in bench.messages if "no answer to the block" in text]
        assert message.startswith(f"no answer to the block of height {HEIGHT} yet: ")
        assert message.endswith("; retrying")
        assert sent[0] == sent[1] == sent[2]


async def test_a_starting_node_on_this_machine_gets_the_block_every_two_seconds() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", *[RpcFault(-28, "Verifying blocks...")] * 20)
        assert await bench.submitted(solved(job), step=0.25) == (Outcome.ACCEPTED, "")
        assert bench.clock.now() - 1000 <= 2 * 21


async def test_a_submission_without_an_answer_is_retried() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.loses("pprpcsb", Cut())
        assert await bench.submitted(solved(job), step=0.25) == (Outcome.ACCEPTED, "")
        assert len(node.called("pprpcsb")) == 2


async def test_a_block_in_the_chain_is_accepted_after_a_lost_answer() -> None:
    """At its new tip the node has forgotten the header."""
    async with mining(PprpcNode()) as (node, bench, job):
        node.loses("pprpcsb", Cut())
        bench.session.submit(solved(job))
        verdict = await bench.verdict(step=0.25)
        assert (verdict.outcome, verdict.text) == (Outcome.ACCEPTED, "")


async def test_another_block_of_the_same_height_does_not_count_as_ours() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", Cut())
        node.known.clear()
        node.extend(5, "00" * 32)
        outcome, text = await bench.submitted(solved(job), step=0.25)
        assert outcome is Outcome.STALE
        assert "not found" in text


@pytest.mark.parametrize(
    ("fault", "asked"), [(Raw(500, b"Work queue depth exceeded"), 0), (Cut(), 1)]
)
async def test_the_chain_is_searched_for_a_refused_block_if_an_attempt_may_have_reached_the_node(
    fault: Exception, asked: int
) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", fault)
        node.known.clear()
        assert (await bench.submitted(solved(job), step=0.25))[0] is Outcome.STALE
        assert len(node.called("getblockhash")) == asked


async def test_a_header_that_another_rig_made_the_node_forget_is_explained() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.known.clear()
        outcome, text = await bench.submitted(solved(job))
        assert outcome is Outcome.STALE
        assert text.endswith(FORGOTTEN)


async def test_a_block_is_recognized_by_its_final_hash() -> None:
    async with mining(PprpcNode(verdict="inconclusive"), None) as (node, bench, job):
        node.chain[HEIGHT] = {"hash": solved(job).final_hash.hex()}
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        assert node.called("getblockheader") == []


async def test_another_solution_of_the_same_template_does_not_count_as_ours() -> None:
    """Two rigs solve one header; the node's chain has the block of the other one."""
    async with mining(PprpcNode(verdict="inconclusive"), None) as (node, bench, job):
        node.extend(5, "77" * 32)
        node.chain[HEIGHT]["headerhash"] = job.header_hash.hex()
        node.known.add(node.header)
        assert await bench.submitted(solved(job)) == (Outcome.STALE, "inconclusive")


@pytest.mark.parametrize(
    ("nonce", "mix_hash", "outcome"),
    [
        (NONCE, MIX_HASH, Outcome.ACCEPTED),
        (5, MIX_HASH, Outcome.STALE),
        (NONCE, "77" * 32, Outcome.STALE),
    ],
)
async def test_a_block_is_recognized_by_nonce_and_mix_hash_together(
    nonce: int, mix_hash: str, outcome: Outcome
) -> None:
    async with mining(PprpcNode(verdict="inconclusive"), None) as (node, bench, job):
        node.extend(nonce, mix_hash)
        node.known.add(node.header)
        assert (await bench.submitted(solved(job)))[0] is outcome


@pytest.mark.parametrize(
    ("mix_hash", "outcome"), [(MIX_HASH, Outcome.ACCEPTED), ("77" * 32, Outcome.STALE)]
)
async def test_a_duplicate_is_accepted_if_the_chain_has_it(mix_hash: str, outcome: Outcome) -> None:
    async with mining(FiroNode(verdict="duplicate"), "firo", "aFiroAddress") as (node, bench, job):
        node.chain[HEIGHT] = {"hash": "ab" * 32, "mix_hash": mix_hash, "nonce": NONCE}
        assert (await bench.submitted(solved(job)))[0] is outcome


@pytest.mark.parametrize("answer", ["true", "ok", 0, 1.5, {}, [], [True], {"status": "x"}], ids=str)
@pytest.mark.parametrize("in_chain", [False, True])
async def test_an_unknown_answer_is_an_acceptance_only_if_the_chain_has_the_block(
    answer: Any, in_chain: bool
) -> None:
    async with mining(PprpcNode(verdict=answer)) as (node, bench, job):
        if in_chain:
            node.chain[HEIGHT] = {"hash": solved(job).final_hash.hex()}
        outcome, _ = await bench.submitted(solved(job))
        assert outcome is (Outcome.ACCEPTED if in_chain else Outcome.INVALID)


@pytest.mark.parametrize("answer", [None, {"status": "OK"}], ids=str)
async def test_an_accepted_block_missing_in_the_chain_is_reported(answer: Any) -> None:
    async with mining(PprpcNode(verdict=answer)) as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        await bench.until(lambda: bench.messages)
        assert "does not show it" in bench.messages[0]


async def test_a_block_has_a_file_until_it_is_answered(blocks: Path) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", *[Cut()] * 3)
        bench.session.submit(solved(job))
        await bench.until(lambda: node.called("pprpcsb"))
        (file,) = blocks.iterdir()
        values = json.loads(file.read_text())
        assert values["method"] == "pprpcsb"
        assert values["params"] == node.called("pprpcsb")[0]
        assert values["port"] == node.port
        await bench.verdict(step=0.25)
        assert list(blocks.iterdir()) == []


async def test_an_unanswered_block_is_submitted_by_the_next_session(blocks: Path) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            node.fails("pprpcsb", *[Cut()] * 200)
            outcome, text = await bench.submitted(solved(job), step=5)
            assert outcome is Outcome.LOST
            assert "next start" in text
            assert bench.clock.now() - 1000 >= 580
        assert len(list(blocks.iterdir())) == 1
        node.heals()
        async with running(node, "pprpc") as bench:
            await bench.until(lambda: bench.messages)
            assert bench.messages == [f"the kept block of height {HEIGHT} was accepted by the node"]
            assert bench.verdicts == []
        assert list(blocks.iterdir()) == []


async def test_a_session_that_fails_first_submits_its_block() -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("getblocktemplate", *[Cut()] * 9)
        node.fails("pprpcsb", *[Cut()] * 5)
        node.fails("getbestblockhash", Cut())
        bench.session.submit(solved(job))
        await bench.until(lambda: len(node.called("pprpcsb")) == 3, step=0.25)
        assert bench.ended is None
        verdict = await bench.verdict(step=0.25)
        assert verdict.outcome is Outcome.ACCEPTED
        assert isinstance(await bench.end(), ConnectionLost)


async def test_a_session_that_fails_ends_after_two_minutes_of_attempts(blocks: Path) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("getblocktemplate", *[Cut()] * 100)
        node.fails("pprpcsb", *[Cut()] * 100)
        bench.session.submit(solved(job))
        assert isinstance(await bench.end(step=2), ConnectionLost)
        assert 110 <= bench.clock.now() - 1000 <= 150
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]
        assert len(list(blocks.iterdir())) == 1


async def test_the_file_stays_when_the_miner_leaves(blocks: Path) -> None:
    async with mining(PprpcNode()) as (node, bench, job):
        node.fails("pprpcsb", *[Cut()] * 100)
        bench.session.submit(solved(job))
        await bench.until(lambda: node.called("pprpcsb"))
        bench.session.leave("the miner stopped")
        assert await bench.end() == "the miner stopped"
        await bench.session.drained()
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.LOST
        assert len(list(blocks.iterdir())) == 1


async def test_the_refusal_of_a_kept_block_is_reported(blocks: Path) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            bench.session.leave("stop")
            await bench.end()
            await bench.submitted(solved(job))
        node.known.clear()
        node.header = "5e" * 32
        async with running(node, "pprpc") as bench:
            await bench.until(lambda: bench.messages)
            assert "was refused by the node: Block header hash not found" in bench.messages[0]
        assert list(blocks.iterdir()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"method": "sendtoaddress"},
        {"params": [1]},
        {"params": None},
        {"height": "x"},
        {"height": True},
        {"nonce": -1},
        {"nonce": 2**64},
        {"mix_hash": "no hash"},
        {"port": 1},
        {"surplus": 1},
    ],
    ids=str,
)
async def test_a_changed_file_is_not_sent(blocks: Path, change: dict[str, Any]) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            bench.session.leave("stop")
            await bench.end()
            await bench.submitted(solved(job))
        (file,) = blocks.iterdir()
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        node.calls.clear()
        async with running(node, "pprpc") as bench:
            await bench.job()
            await bench.clock.advance(1)
        assert {call.method for call in node.calls} <= {"getblocktemplate", "getbestblockhash"}
        assert file.exists()


async def test_other_things_than_files_among_the_blocks_are_skipped(blocks: Path) -> None:
    async with serving(PprpcNode()) as node:
        blocks.mkdir()
        prefix = f"127.0.0.1-{node.port}"
        os.mkfifo(blocks / f"{prefix}-fifo.json")
        (blocks / f"{prefix}-folder.json").mkdir()
        (blocks / f"{prefix}-link.json").symlink_to(blocks / "nothing")
        async with running(node, "pprpc") as bench:
            await bench.job()
            assert bench.messages == []


async def test_a_block_that_cannot_be_written_is_submitted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(file))
    async with mining(PprpcNode()) as (_, bench, job):
        assert await bench.submitted(solved(job)) == (Outcome.ACCEPTED, "")
        assert "cannot be kept" in bench.messages[0]

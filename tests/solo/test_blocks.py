from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from miner.errors import ConnectionLost
from miner.work import Outcome
from tests.fakes.node import HEIGHT, Cut, PprpcNode, Raw, RpcFault, serving
from tests.solo.bench import running, solved


@pytest.mark.parametrize(
    "fault", [Cut(), Raw(503, b"busy"), Raw(401, b""), RpcFault(-28, "starting")], ids=str
)
async def test_a_block_that_did_not_arrive_is_sent_again(fault: Exception) -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.fails("pprpcsb", fault, fault)
        assert await bench.brought(solved(job), step=0.25) == (Outcome.ACCEPTED, "")
        sent = node.called("pprpcsb")
        assert len(sent) == 3
        (told,) = [text for text in bench.messages if "has no answer yet" in text]
        assert told.startswith(f"the block of height {HEIGHT} ")
        assert told.endswith("; it is sent again")
        assert sent[0] == sent[1] == sent[2]


async def test_a_lost_answer_is_asked_for_again() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.loses("pprpcsb", Cut())
        assert await bench.brought(solved(job), step=0.25) == (Outcome.ACCEPTED, "")
        assert len(node.called("pprpcsb")) == 2


async def test_a_lost_answer_is_found_in_the_chain() -> None:
    """After its new tip, the node knows the header no more."""
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.loses("pprpcsb", Cut())
        bench.session.submit(solved(job))
        await bench.until(lambda: node.called("pprpcsb"))
        node.known.clear()
        verdict = await bench.verdict(step=0.25)
        assert (verdict.outcome, verdict.text) == (Outcome.ACCEPTED, "")


async def test_the_chain_with_another_block_is_no_proof() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.fails("pprpcsb", Cut())
        node.known.clear()
        node.chain[HEIGHT] = {"hash": "cd" * 32, "mix_hash": "00" * 32, "nonce": 5}
        outcome, text = await bench.brought(solved(job), step=0.25)
        assert outcome is Outcome.STALE
        assert "not found" in text


async def test_a_chain_that_names_blocks_by_their_final_hash() -> None:
    async with serving(PprpcNode(verdict="inconclusive")) as node, running(node, None) as bench:
        job = await bench.job()
        node.chain[HEIGHT] = {"hash": solved(job).final_hash.hex()}
        assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")
        assert node.called("getblock") == []


async def test_a_block_that_is_not_shown_is_said_to_be_so() -> None:
    async with serving(PprpcNode(verdict=None)) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")
        await bench.until(lambda: bench.messages)
        assert "does not show it" in bench.messages[0]


async def test_a_block_is_kept_until_it_is_answered(blocks: Path) -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
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


async def test_tries_end_and_the_next_session_brings_it(blocks: Path) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            node.fails("pprpcsb", *[Cut()] * 200)
            outcome, text = await bench.brought(solved(job), step=5)
            assert outcome is Outcome.LOST
            assert "next start" in text
            assert bench.clock.now() - 1000 >= 580
        assert len(list(blocks.iterdir())) == 1
        node.heals()
        async with running(node, "pprpc") as bench:
            await bench.until(lambda: bench.messages)
            assert bench.messages == [
                f"the block of height {HEIGHT} that was kept was accepted by the node"
            ]
            assert bench.verdicts == []
        assert list(blocks.iterdir()) == []


async def test_a_connection_that_breaks_waits_for_its_block() -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.fails("getblocktemplate", *[Cut()] * 9)
        node.fails("pprpcsb", *[Cut()] * 5)
        bench.session.submit(solved(job))
        node.changed()
        await bench.until(lambda: len(node.called("pprpcsb")) == 3, step=0.25)
        assert bench.ended is None
        verdict = await bench.verdict(step=0.25)
        assert verdict.outcome is Outcome.ACCEPTED
        assert isinstance(await bench.end(), ConnectionLost)


async def test_a_node_that_stays_away_is_left_after_two_minutes(blocks: Path) -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.fails("getblocktemplate", *[Cut()] * 100)
        node.fails("pprpcsb", *[Cut()] * 100)
        bench.session.submit(solved(job))
        node.changed()
        assert isinstance(await bench.end(step=2), ConnectionLost)
        assert 110 <= bench.clock.now() - 1000 <= 150
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]
        assert len(list(blocks.iterdir())) == 1


async def test_leaving_keeps_the_block(blocks: Path) -> None:
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        node.fails("pprpcsb", *[Cut()] * 100)
        bench.session.submit(solved(job))
        await bench.until(lambda: node.called("pprpcsb"))
        bench.session.leave("the miner stopped")
        assert await bench.end() == "the miner stopped"
        await bench.session.drained()
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.LOST
        assert len(list(blocks.iterdir())) == 1


async def test_a_kept_block_that_is_refused_is_said_and_forgotten(blocks: Path) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            bench.session.leave("stop")
            await bench.end()
            await bench.brought(solved(job))
        node.known.clear()
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
        {"mix_hash": "no hash"},
        {"port": 1},
        {"surplus": 1},
    ],
    ids=str,
)
async def test_a_file_that_says_something_else_is_sent_nowhere(
    blocks: Path, change: dict[str, Any]
) -> None:
    async with serving(PprpcNode()) as node:
        async with running(node, "pprpc") as bench:
            job = await bench.job()
            bench.session.leave("stop")
            await bench.end()
            await bench.brought(solved(job))
        (file,) = blocks.iterdir()
        file.write_text(json.dumps(json.loads(file.read_text()) | change))
        node.calls.clear()
        async with running(node, "pprpc") as bench:
            await bench.job()
            await bench.clock.advance(1)
        assert {call.method for call in node.calls} <= {"getblocktemplate", "getbestblockhash"}
        assert file.exists()


async def test_a_block_that_cannot_be_kept_is_submitted_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("PROGPOW_MINER_CACHE", str(file))
    async with serving(PprpcNode()) as node, running(node, "pprpc") as bench:
        job = await bench.job()
        assert await bench.brought(solved(job)) == (Outcome.ACCEPTED, "")
        assert "cannot be kept" in bench.messages[0]

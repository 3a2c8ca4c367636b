"""The pool client with one pool: jobs, shares, messages, draining."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from miner.errors import ConnectionLost, EveryPoolRefused
from miner.net.address import PoolUrl, Transport
from miner.stratum.pool_events import Message, SessionListener
from miner.stratum.session import Reports
from miner.telemetry import events
from miner.work import Outcome
from tests.fakes.clock import settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import FIRST, REFUSED, Bench, accept, mining, running
from tests.stratum.dialogue import LOGIN, answer, call, notify, solution


async def test_jobs_reach_the_sink_and_shares_the_pool() -> None:
    async with mining() as (bench, stream):
        share = solution(bench.job())
        assert share.job.pool == FIRST.label
        await bench.client.submit(share)
        await accept(stream)
        assert bench.outcomes == [Outcome.ACCEPTED]
        assert bench.events == [
            events.PoolConnecting(FIRST.label),
            events.PoolReady(FIRST.label, "RWallet.rig1"),
            events.ShareSent(share),
        ]
    assert bench.jobs[-1] is None
    assert stream.closed


async def test_work_pauses_between_two_connections() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        await bench.client.submit(solution(old))
        stream.end()
        await settle()
        assert bench.jobs[-1] is None
        assert bench.outcomes == [Outcome.LOST]
        (lost,) = bench.events_of(events.PoolLost)
        assert 1 <= lost.retry_in <= 2
        bench.prepare()
        await bench.clock.advance(2)
        assert bench.job().session == old.session + 1


async def test_messages_of_the_pool_are_reported_as_notices() -> None:
    async with mining() as (bench, stream):
        stream.feed(call("client.show_message", "maintenance\x07 at noon"))
        await settle()
        assert bench.events_of(events.PoolNotice) == [
            events.PoolNotice(FIRST.label, "maintenance at noon")
        ]


async def test_remarks_on_invalid_lines_are_not_reported_as_messages_of_the_pool() -> None:
    async with mining() as (bench, stream):
        stream.feed(b"[]\n")
        await settle()
        assert bench.events_of(events.PoolNotice) == []
        (remark,) = bench.events_of(events.PoolRemark)
        assert remark.pool == FIRST.label
        assert "not a JSON object" in remark.text


async def test_no_event_contains_a_credential() -> None:
    secret = PoolUrl("first.example", 3333, "RWallet.rig1", "hunter2")
    bench = Bench([secret])
    bench.prepare(FIRST, REFUSED)
    async with running(bench):
        assert isinstance(bench.ended, EveryPoolRefused)
    shown = repr(bench.events) + str(bench.ended)
    assert "RWallet" not in shown
    assert "hunter2" not in shown


async def test_drain_waits_until_nothing_is_in_flight() -> None:
    async with mining() as (bench, stream):
        await bench.client.submit(solution(bench.job()))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await settle()
            assert not draining.done()
            stream.feed(answer(stream.requests("mining.submit")[0]["id"]))
        assert bench.outcomes == [Outcome.ACCEPTED]


async def test_drain_ends_after_its_limit() -> None:
    async with mining() as (bench, _):
        await bench.client.submit(solution(bench.job()))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await bench.clock.advance(9.5)
            assert not draining.done()
            await bench.clock.advance(0.5)
            assert draining.done()
        assert bench.verdicts == []
    assert bench.outcomes == [Outcome.LOST]


async def test_drain_without_a_session_returns_at_once() -> None:
    bench = Bench()
    bench.dial.ready(FIRST.host, ConnectionLost("down"))
    async with running(bench):
        await bench.client.drain(10)


async def test_an_empty_list_of_pools_is_refused() -> None:
    with pytest.raises(EveryPoolRefused, match="none is configured"):
        await Bench([]).client.run()


async def test_the_hashrate_is_reported_each_minute_until_the_pool_declines() -> None:
    async with mining(reports=Reports(lambda: 1234.5, bytes(32))) as (bench, stream):
        await bench.clock.advance(59)
        assert stream.requests("eth_submitHashrate") == []
        await bench.clock.advance(1)
        (report,) = stream.requests("eth_submitHashrate")
        assert report["params"] == [f"0x{1234:064x}", "0x" + "00" * 32]
        stream.feed(answer(report["id"], False, [20, "Not supported.", None]))
        await bench.clock.advance(300)
        assert len(stream.requests("eth_submitHashrate")) == 1
        assert bench.verdicts == []


OPTIONAL = "mining.extranonce.subscribe"


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(LOGIN, id="closed without an answer"),
        pytest.param(LOGIN + answer(3, None, [-3, "Method not found"]), id="closed after an error"),
        pytest.param(b"", id="closed before any answer"),
        pytest.param(LOGIN + b"no JSON\n" * 30, id="an answer that cannot be read"),
    ],
)
async def test_an_optional_request_of_the_login_is_left_out_after_it_ended_a_connection(
    reply: bytes,
) -> None:
    bench = Bench()
    harmed = FakeStream()
    if reply:
        harmed.feed(reply)
    harmed.end()
    bench.dial.ready(FIRST.host, harmed)
    second, third = bench.prepare(), bench.prepare()
    async with running(bench):
        assert len(harmed.requests(OPTIONAL)) == 1
        await bench.clock.advance(3)
        assert [request["id"] for request in second.requests()] == [1, 2]
        assert bench.job().session == 2
        remarks = [remark.text for remark in bench.events_of(events.PoolRemark)]
        assert any(OPTIONAL in text for text in remarks)
        await bench.clock.advance(100)
        second.end()
        await bench.clock.advance(3)
        assert third.requests("mining.authorize")
        assert third.requests(OPTIONAL) == []


@pytest.mark.parametrize("answered", [False, True])
async def test_an_optional_request_is_left_out_if_the_pool_answers_nothing_after_it(
    answered: bool,
) -> None:
    async with mining() as (bench, mute):
        second = bench.prepare()
        if answered:
            mute.feed(answer(3, False, [20, "Not supported."]))
        job = bench.job()
        for number in range(3):
            await bench.client.submit(solution(job, job.nonces.first + number))
        await bench.clock.advance(34)
        assert mute.closed
        assert len(second.requests(OPTIONAL)) == answered


async def test_an_optional_request_is_sent_again_where_leaving_it_out_does_not_help() -> None:
    bench = Bench()
    for _ in range(2):
        down = FakeStream()
        down.end()
        bench.dial.ready(FIRST.host, down)
    stream = bench.prepare()
    async with running(bench):
        await bench.clock.advance(10)
        assert stream.requests(OPTIONAL)


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [(answer(3), 1), (notify(), 60)],
    ids=["it was accepted", "a minute later"],
)
async def test_an_optional_request_without_harm_is_sent_again(reply: bytes, seconds: int) -> None:
    async with mining() as (bench, first):
        second = bench.prepare()
        first.feed(reply)
        await bench.clock.advance(seconds)
        first.end()
        await bench.clock.advance(3)
        assert second.requests(OPTIONAL)


async def test_a_keepalive_that_was_not_sent_yet_is_not_left_out() -> None:
    epic = PoolUrl("first.example", 3416, "wallet.rig1", protocol="epic")
    bench = Bench([epic])
    streams = [FakeStream(), FakeStream()]
    for stream in streams:
        stream.say({"id": "1", "jsonrpc": "2.0", "method": "login", "result": "ok"})
    bench.dial.ready(epic.host, *streams)
    job = {"height": 1000, "job_id": 0, "pre_pow": "00", "difficulty": [["progpow", 1]]}
    async with running(bench):
        await bench.clock.advance(6)
        assert len(streams[0].requests("getjobtemplate")) == 2
        streams[0].end()
        await bench.clock.advance(3)
        streams[1].say({"id": "Stratum", "jsonrpc": "2.0", "method": "job", "params": job})
        await bench.clock.advance(60)
        assert streams[1].requests("status")


@pytest.mark.parametrize("how", ["closed", "refused", "not JSON"])
async def test_hashrate_reports_end_for_good_after_one_did_harm(how: str) -> None:
    async with mining(reports=Reports(lambda: 1234.5, bytes(32))) as (bench, stream):
        second = bench.prepare()
        await bench.clock.advance(60)
        (report,) = stream.requests("eth_submitHashrate")
        if how == "refused":
            stream.feed(answer(report["id"], False, [20, "Not supported.", None]))
        elif how == "not JSON":
            stream.feed(b'{"error":{"message":"unknown method\n')
        await bench.clock.advance(1)
        stream.end()
        await bench.clock.advance(300)
        assert second.requests("mining.authorize")
        assert second.requests("eth_submitHashrate") == []
        assert second.requests(OPTIONAL)


async def test_unanswered_hashrate_reports_do_no_harm() -> None:
    async with mining(reports=Reports(lambda: 1234.5, bytes(32))) as (bench, stream):
        second = bench.prepare()
        await bench.clock.advance(110)
        stream.end()
        await bench.clock.advance(70)
        assert second.requests("eth_submitHashrate")


async def test_the_number_of_messages_a_minute_is_limited() -> None:
    async with mining() as (bench, stream):
        stream.feed(b"".join(call("client.show_message", f"number {n}") for n in range(500)))
        await settle()
        texts = [notice.text for notice in bench.events_of(events.PoolNotice)]
        assert texts == [f"number {n}" for n in range(20)]
        (remark,) = bench.events_of(events.PoolRemark)
        assert "left out" in remark.text
        await bench.clock.advance(61)
        stream.feed(call("client.show_message", "later"))
        await settle()
        assert bench.events_of(events.PoolNotice)[-1].text == "later"


async def test_remarks_are_reported_beyond_the_limit_of_messages() -> None:
    async with mining() as (bench, stream):
        stream.feed(b"".join(call("client.show_message", f"number {n}") for n in range(25)))
        stream.feed(notify((5, "no height")))
        await settle()
        remarks = [remark.text for remark in bench.events_of(events.PoolRemark)]
        assert len(remarks) == 2
        assert "a job of the pool cannot be mined" in remarks[1]


async def test_remarks_of_a_node_session_are_not_limited() -> None:
    bench = Bench([replace(FIRST, protocol="node")], nodes=ChattyNodes())
    async with running(bench):
        assert len(bench.events_of(events.PoolRemark)) == 30


class ChattyNodes:
    def open(self, number: int, url: PoolUrl, listener: SessionListener) -> Any:
        for block in range(30):
            text = f"the block of height {block} is in the node's chain"
            listener.on_event(Message(text, ours=True))
        raise ConnectionLost("enough")


async def test_only_an_encrypted_connection_can_be_unverified() -> None:
    url = replace(FIRST, tls_insecure=True)
    for transport, unverified in ((Transport.TCP, False), (Transport.TLS, True)):
        bench = Bench([replace(url, transport=transport)])
        bench.prepare()
        async with running(bench):
            (connecting,) = bench.events_of(events.PoolConnecting)
            assert connecting.unverified is unverified

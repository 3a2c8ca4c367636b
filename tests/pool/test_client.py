from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from miner import telemetry
from miner.errors import ConnectionLost, EveryPoolRefused, MinerError, PoolRefused
from miner.net.pool_url import PoolUrl, Transport
from miner.pool.client import PoolClient
from miner.pool.connections import Connections
from miner.pool.failover import BAN_SECONDS, FIRST_POOL_CHECK_SECONDS
from miner.pool.leave_rules import ANSWER_SECONDS, FIRST_JOB_SECONDS, LAUNCH_SECONDS
from miner.stratum.pool_events import Message, SessionListener
from miner.stratum.session import UNANSWERED_SHARES, Reports
from miner.work import Job, Outcome, Verdict
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dial import FakeDial, FakeStream
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import answer, call, line, notify, solution

FIRST = PoolUrl("first.example", 3333, "RWallet.rig1", protocol="kawpow")
SECOND = PoolUrl("second.example", 3333, "RWallet.rig1", protocol="kawpow")


class Bench:
    """A pool client between played pools and what it reports."""

    def __init__(self, pools: Sequence[PoolUrl] = (FIRST,), **changes: Any) -> None:
        self.clock = FakeClock()
        self.dial = FakeDial()
        self.works: list[Job | None] = []
        self.verdicts: list[Verdict] = []
        self.events: list[telemetry.Event] = []
        give_up = changes.pop("give_up", None)
        self.client = PoolClient(
            pools,
            Connections(KAWPOW, self.dial, self.clock, "progpow-miner/0", **changes),
            self,
            self,
            self.events.append,
            self.clock,
            Random(1),
            give_up,
        )
        self.ended: MinerError | None = None

    def work_on(self, job: Job | None) -> None:
        self.works.append(job)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    async def run(self) -> None:
        try:
            await self.client.run()
        except MinerError as error:
            self.ended = error

    def laid(self, url: PoolUrl = FIRST, *, accepts: bool = True) -> FakeStream:
        """Lay a connection ready that accepts or refuses the login at once."""
        stream = FakeStream()
        if accepts:
            stream.feed(answer(1, [None, "0b8e5b"]) + answer(2) + notify())
        else:
            stream.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "unknown wallet"]))
        self.dial.ready(url.host, stream)
        return stream

    def job(self) -> Job:
        job = self.works[-1]
        assert job is not None
        return job

    def hosts(self) -> list[str]:
        return [url.host.partition(".")[0] for url in self.dial.opened]

    def of(self, kind: type[telemetry.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.run())
        await settle()
        yield bench
        task.cancel()


async def test_jobs_are_passed_on_and_shares_sent() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        share = solution(bench.job())
        assert share.job.pool == FIRST.label
        await bench.client.submit(share)
        (request,) = stream.requests("mining.submit")
        stream.feed(answer(request["id"]))
        await settle()
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]
        assert bench.events == [
            telemetry.PoolConnecting(FIRST.label),
            telemetry.PoolReady(FIRST.label),
            telemetry.ShareSent(share),
        ]
    assert bench.works[-1] is None
    assert stream.closed


async def test_work_stops_when_a_connection_ends_and_goes_on_with_the_next() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        await bench.client.submit(solution(old))
        stream.end()
        await settle()
        assert bench.works[-1] is None
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]
        (lost,) = bench.of(telemetry.PoolLost)
        assert 1 <= lost.retry_in <= 2
        bench.laid()
        await bench.clock.advance(2)
        assert bench.job().session == old.session + 1


async def test_a_share_found_while_disconnected_goes_to_the_session_that_knows_its_job() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        await settle()
        found = solution(old)
        await bench.client.submit(found)
        assert bench.verdicts == []
        again = bench.laid()
        await bench.clock.advance(2)
        (request,) = again.requests("mining.submit")
        again.feed(answer(request["id"]))
        await settle()
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.ACCEPTED
        assert verdict.solution is found
        (sent,) = bench.of(telemetry.ShareSent)
        assert sent.solution is found


@pytest.mark.parametrize(
    ("prefix", "change"),
    [("0b8e5c", (4, True)), ("0b8e5b", (0, "ff")), ("0b8e5b", (1, "ab" * 32))],
    ids=["another prefix", "another job", "another header"],
)
async def test_a_share_found_while_disconnected_is_lost_where_its_session_does_not_hold(
    prefix: str, change: tuple[int, Any]
) -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        await settle()
        await bench.client.submit(solution(old))
        new = FakeStream()
        new.feed(answer(1, [None, prefix]) + answer(2) + notify(change))
        bench.dial.ready(FIRST.host, new)
        await bench.clock.advance(2)
        assert new.requests("mining.submit") == []
        (verdict,) = bench.verdicts
        assert (verdict.outcome, verdict.seconds) == (Outcome.LOST, None)
        assert "does not know its job" in verdict.text


async def test_a_share_that_waits_is_lost_at_the_end_of_the_run() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        job = bench.job()
        stream.end()
        await settle()
        await bench.client.submit(solution(job))
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_what_was_sent_is_never_sent_again_after_a_reconnect() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await bench.client.submit(solution(bench.job()))
        stream.end()
        await settle()
        again = bench.laid()
        await bench.clock.advance(2)
        await bench.client.submit(solution(bench.job()))
        assert again.requests("mining.submit") == []
        assert [v.outcome for v in bench.verdicts] == [Outcome.LOST, Outcome.DUPLICATE]


async def test_a_ban_is_not_hammered_and_the_next_pool_takes_over() -> None:
    bench = Bench([FIRST, SECOND])
    banning = FakeStream()
    banning.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "your IP is banned"]))
    bench.dial.ready(FIRST.host, banning)
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(61)
        assert bench.hosts() == ["first", "second"]
        assert bench.job().session == 2


async def test_a_ban_of_the_only_pool_is_waited_out() -> None:
    bench = Bench()
    banning = FakeStream()
    banning.feed(answer(1, None, [20, "too many connections, banned for 10 min"]))
    bench.dial.ready(FIRST.host, banning)
    async with running(bench):
        await bench.clock.advance(BAN_SECONDS - 1)
        assert bench.hosts() == ["first"]
        bench.laid()
        await bench.clock.advance(BAN_SECONDS / 2 + 2)
        assert bench.job().session == 2


async def test_a_return_that_does_not_hold_is_tried_more_seldom() -> None:
    bench = Bench([FIRST, SECOND])
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        for wanted in (1, 2, 4):
            looks = bench.hosts().count("first")
            bench.laid(SECOND)
            bench.dial.ready(FIRST.host, FakeStream(), ConnectionLost("gone again"))
            waited = 0
            while bench.hosts().count("first") == looks:
                await bench.clock.advance(20)
                for stream in bench.dial.streams:
                    stream.feed(notify())
                waited += 20
            assert waited >= wanted * FIRST_POOL_CHECK_SECONDS - 60
            await bench.clock.advance(30)


async def test_a_network_failure_alone_is_retried_for_ever() -> None:
    bench = Bench()
    async with running(bench):
        await bench.clock.advance(3600)
        assert bench.ended is None
        assert 60 <= len(bench.dial.opened) <= 130
        waits = [event.retry_in for event in bench.of(telemetry.PoolLost)]
        assert all(1 <= wait <= 60 for wait in waits)
        assert waits[0] <= 2
        assert waits[-1] >= 30
        bench.laid()
        await bench.clock.advance(60)
        assert len(bench.of(telemetry.PoolReady)) == 1


async def test_failover_in_order_after_repeated_failure() -> None:
    third = replace(SECOND, host="third.example")
    bench = Bench([FIRST, SECOND, third])
    async with running(bench):
        await bench.clock.advance(600)
        assert bench.hosts()[:10] == ["first"] * 3 + ["second"] * 3 + ["third"] * 3 + ["first"]


async def test_back_to_the_first_as_soon_as_it_can_be_reached() -> None:
    bench = Bench([FIRST, SECOND])
    backup = bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        assert bench.job().session == 1
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        backup.feed(notify())
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        assert bench.hosts()[-1] == "first"
        assert not backup.closed
        probe = FakeStream()
        bench.dial.ready(FIRST.host, probe)
        first = bench.laid(FIRST)
        await bench.client.submit(solution(bench.job()))
        backup.feed(notify())
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS)
        assert probe.closed
        assert backup.closed
        assert not first.closed
        assert bench.job().session == 2
        assert bench.of(telemetry.PoolReady)[-1].pool == FIRST.label


async def test_before_going_back_the_answers_are_waited_for() -> None:
    bench = Bench([FIRST, SECOND])
    async with running(bench):
        await bench.clock.advance(8)
        backup = bench.laid(SECOND)
        while not bench.of(telemetry.PoolReady):
            await bench.clock.advance(1)
        bench.dial.ready(FIRST.host, FakeStream())
        bench.laid(FIRST)
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS - 2)
        backup.feed(notify())
        await bench.client.submit(solution(bench.job()))
        await bench.clock.advance(2)
        assert bench.hosts()[-1] == "first"
        assert not backup.closed
        await bench.clock.advance(ANSWER_SECONDS / 2)
        assert not backup.closed
        backup.feed(answer(backup.requests("mining.submit")[0]["id"]))
        await settle()
        assert backup.closed
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]
        assert bench.job().session == 2


async def test_a_first_pool_that_opens_but_does_not_work_is_left_at_once() -> None:
    bench = Bench([FIRST, SECOND])
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (backup,) = bench.dial.streams
        mute = FakeStream()
        bench.dial.ready(FIRST.host, FakeStream(), mute)
        bench.laid(SECOND)
        opened = len(bench.dial.opened)
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        backup.feed(notify())
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2 - 10)
        mute.end()
        await bench.clock.advance(70)
        assert bench.hosts()[opened:] == ["first", "first", "second"]


async def test_a_refused_login_drops_the_pool() -> None:
    bench = Bench([FIRST, SECOND])
    bench.laid(FIRST, accepts=False)
    bench.laid(SECOND)
    async with running(bench):
        assert bench.hosts() == ["first", "second"]
        (lost,) = bench.of(telemetry.PoolLost)
        assert lost.pool == FIRST.label
        assert lost.retry_in is None
        assert bench.job().session == 2
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS - 1)
        assert bench.hosts() == ["first", "second"]


async def test_every_pool_refused() -> None:
    bench = Bench([FIRST, SECOND])
    bench.laid(FIRST, accepts=False)
    bench.dial.ready(SECOND.host, PoolRefused("its certificate is not trusted"))
    async with running(bench):
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "unknown wallet" in str(bench.ended)
        assert "certificate" in str(bench.ended)
        assert "RWallet" not in str(bench.ended)


async def test_a_login_that_worked_once_is_not_given_up() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.end()
        bench.laid(accepts=False)
        bench.laid()
        await bench.clock.advance(10)
        assert bench.ended is None
        assert len(bench.of(telemetry.PoolReady)) == 2


async def test_give_up_ends_it_after_so_many_seconds_without_a_session() -> None:
    bench = Bench(give_up=100.0)
    async with running(bench):
        await bench.clock.advance(99)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "no pool for 100 s" in str(bench.ended)
        assert "nothing listens" in str(bench.ended)


async def test_give_up_counts_from_the_last_session() -> None:
    bench = Bench(give_up=100.0)
    stream = bench.laid()
    async with running(bench):
        await bench.clock.advance(500)
        assert bench.ended is None
        stream.end()
        await bench.clock.advance(99)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert isinstance(bench.ended, EveryPoolRefused)


async def test_a_pool_that_drops_us_after_each_login_is_not_hammered() -> None:
    bench = Bench()
    for _ in range(50):
        bench.laid().end()
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 15


async def test_after_a_steady_session_the_waits_start_anew() -> None:
    bench = Bench()
    async with running(bench):
        await bench.clock.advance(300)
        stream = bench.laid()
        await bench.clock.advance(200)
        stream.end()
        await settle()
        assert bench.of(telemetry.PoolLost)[-1].retry_in <= 2


async def test_reconnect_without_a_host_is_obeyed() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await bench.clock.advance(100)
        bench.laid()
        stream.feed(call("client.reconnect", None, None, 5))
        await bench.clock.advance(LAUNCH_SECONDS)
        assert stream.closed
        assert bench.works[-1] is None
        assert bench.of(telemetry.PoolLost)[-1].retry_in == 5
        await bench.clock.advance(5)
        assert bench.job().session == 2


async def test_reconnect_to_the_same_host_may_name_a_port() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await bench.clock.advance(100)
        redirected = bench.laid()
        stream.feed(call("client.reconnect", "FIRST.example", 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS)
        assert bench.dial.opened[-1].port == 4444
        redirected.end()
        await bench.clock.advance(2)
        assert bench.dial.opened[-1].port == 3333


async def test_reconnect_to_another_host_is_not_obeyed() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.feed(call("client.reconnect", "evil.example", 3333, 0))
        await settle()
        assert not stream.closed
        assert bench.hosts() == ["first"]
        (remark,) = bench.of(telemetry.PoolRemark)
        assert "not listed" in remark.text
        assert bench.of(telemetry.PoolNotice) == []


async def test_a_pool_that_only_asks_to_reconnect_is_not_hammered() -> None:
    bench = Bench()
    for _ in range(50):
        bench.laid().feed(call("client.reconnect"))
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 15


async def test_the_pool_s_messages_are_notices() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.feed(call("client.show_message", "maintenance\x07 at noon"))
        await settle()
        assert bench.of(telemetry.PoolNotice) == [
            telemetry.PoolNotice(FIRST.label, "maintenance at noon")
        ]


async def test_what_is_odd_about_a_pool_s_words_is_none_of_them() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.feed(b"[]\n")
        await settle()
        assert bench.of(telemetry.PoolNotice) == []
        (remark,) = bench.of(telemetry.PoolRemark)
        assert remark.pool == FIRST.label
        assert "not a JSON object" in remark.text


async def test_no_event_shows_a_credential() -> None:
    secret = PoolUrl("first.example", 3333, "RWallet.rig1", "hunter2")
    bench = Bench([secret])
    bench.laid(accepts=False)
    async with running(bench):
        assert isinstance(bench.ended, EveryPoolRefused)
    shown = repr(bench.events) + str(bench.ended)
    assert "RWallet" not in shown
    assert "hunter2" not in shown


async def test_drain_waits_until_nothing_is_in_flight() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await bench.client.submit(solution(bench.job()))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await settle()
            assert not draining.done()
            stream.feed(answer(stream.requests("mining.submit")[0]["id"]))
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]


async def test_drain_is_bounded() -> None:
    bench = Bench()
    bench.laid()
    async with running(bench):
        await bench.client.submit(solution(bench.job()))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await bench.clock.advance(9.5)
            assert not draining.done()
            await bench.clock.advance(0.5)
            assert draining.done()
        assert bench.verdicts == []
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_drain_without_a_session_returns_at_once() -> None:
    bench = Bench()
    bench.dial.ready(FIRST.host, ConnectionLost("down"))
    async with running(bench):
        await bench.client.drain(10)


async def test_no_pool_at_all() -> None:
    with pytest.raises(EveryPoolRefused, match="none is configured"):
        await Bench([]).client.run()


ANY = PoolUrl("first.example", 3333, "RWallet.rig1")
"""A pool whose protocol nobody named."""


def opening(stream: FakeStream) -> str:
    return str(stream.requests()[0]["method"])


async def test_a_pool_that_refuses_the_first_request_is_asked_the_next_protocol() -> None:
    bench = Bench([ANY])
    refusing, stratum_1, proxy = FakeStream(), FakeStream(), FakeStream()
    for stream in (refusing, stratum_1):
        stream.feed(answer(1, None, {"code": -3, "message": "Method not found"}))
    work = ["0x" + "ab" * 32, "0x" + "00" * 32, "0x" + "0f" * 32, "0x3e8"]
    proxy.feed(answer(1) + line({"id": 0, "result": work}))
    bench.dial.ready(ANY.host, refusing, stratum_1, proxy)
    async with running(bench):
        await bench.clock.advance(5)
        assert [opening(s) for s in (refusing, stratum_1, proxy)] == [
            "mining.subscribe", "mining.subscribe", "eth_submitLogin",
        ]  # fmt: skip
        assert bench.job().height == 1000
        (remark,) = bench.of(telemetry.PoolRemark)
        assert remark.text == "it speaks ETHPROXY"
        assert bench.of(telemetry.PoolNotice) == []
        proxy.end()
        again = FakeStream()
        bench.dial.ready(ANY.host, again)
        await bench.clock.advance(5)
        assert opening(again) == "eth_submitLogin"


async def test_a_pool_that_keeps_silent_is_asked_another_protocol_within_the_back_off() -> None:
    bench = Bench([ANY])
    streams = [FakeStream() for _ in range(12)]
    bench.dial.ready(ANY.host, *streams)
    async with running(bench):
        await bench.clock.advance(600)
        asked = [opening(s) for s in streams if s.requests()]
        assert asked[:4] == [
            "mining.subscribe", "mining.subscribe", "eth_submitLogin", "mining.hello",
        ]  # fmt: skip
        assert len(asked) <= 12


async def test_jobs_of_another_dialect_have_the_search_go_on() -> None:
    bench = Bench([ANY])
    kawpow, stratum_1 = FakeStream(), FakeStream()
    told = [["mining.notify", "ab", "EthereumStratum/1.0.0"], "080c"]
    job = ["bf", "00" * 32, "ab" * 32, "0x3e8", True]
    for stream in (kawpow, stratum_1):
        stream.feed(answer(1, told) + answer(2) + call("mining.notify", *job))
    bench.dial.ready(ANY.host, kawpow, stratum_1)
    async with running(bench):
        await bench.clock.advance(5)
        assert bench.job().height == 1000
        assert stratum_1.requests()[0]["params"][1] == "EthereumStratum/1.0.0"
        assert not stratum_1.closed


async def test_a_pool_that_takes_no_protocol_of_ours_is_given_up() -> None:
    bench = Bench([ANY])
    for _ in range(6):
        stream = FakeStream()
        stream.feed(answer(1, None, {"code": -32601, "message": "Method not found"}))
        bench.dial.ready(ANY.host, stream)
    async with running(bench):
        await bench.clock.advance(30)
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "the pool accepts none of the known protocols" in str(bench.ended)
        assert len(bench.dial.opened) == 6


async def test_a_named_protocol_that_is_refused_is_said_with_what_to_do() -> None:
    bench = Bench()
    stream = FakeStream()
    stream.feed(answer(1, None, {"code": -3, "message": "Method not found"}))
    bench.dial.ready(FIRST.host, stream)
    async with running(bench):
        await settle()
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "does not speak KawPow Stratum" in str(bench.ended)
        assert "--protocol auto" in str(bench.ended)


async def test_reconnect_to_another_pool_of_the_list_is_obeyed() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    second = bench.laid(SECOND)
    async with running(bench):
        stream.feed(call("client.reconnect", "second.example", 3333, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_the_hashrate_is_reported_each_minute_until_the_pool_declines() -> None:
    bench = Bench(reports=Reports(lambda: 1234.5, bytes(32)))
    stream = bench.laid()
    async with running(bench):
        await bench.clock.advance(59)
        assert stream.requests("eth_submitHashrate") == []
        await bench.clock.advance(1)
        (report,) = stream.requests("eth_submitHashrate")
        assert report["params"] == [f"0x{1234:064x}", "0x" + "00" * 32]
        stream.feed(answer(report["id"], False, [20, "Not supported.", None]))
        await bench.clock.advance(300)
        assert len(stream.requests("eth_submitHashrate")) == 1
        assert bench.verdicts == []


async def test_a_pool_that_closes_right_after_its_wish_to_reconnect_is_obeyed_too() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    second = bench.laid(SECOND)
    async with running(bench):
        stream.feed(call("client.reconnect", "second.example", 3333, 0))
        stream.end()
        await bench.clock.advance(2)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_two_pools_that_send_us_to_each_other_are_not_hammered() -> None:
    bench = Bench([FIRST, SECOND])
    for _ in range(100):
        bench.laid(FIRST).feed(call("client.reconnect", SECOND.host, 3333, 0))
        bench.laid(SECOND).feed(call("client.reconnect", FIRST.host, 3333, 0))
    async with running(bench):
        for _ in range(60):
            await bench.clock.advance(1)
        assert len(bench.dial.opened) <= 16


async def test_pools_that_send_us_to_each_other_leave_the_third_its_turn() -> None:
    third = replace(SECOND, host="third.example")
    bench = Bench([FIRST, SECOND, third])
    for _ in range(10):
        bench.laid(FIRST).feed(call("client.reconnect", SECOND.host, 3333, 0))
        bench.laid(SECOND).feed(call("client.reconnect", FIRST.host, 3333, 0))
    bench.laid(third)
    async with running(bench):
        await bench.clock.advance(60)
        assert bench.hosts()[-1] == "third"


async def test_a_wish_to_go_to_a_pool_that_shut_us_out_is_not_obeyed() -> None:
    bench = Bench([FIRST, SECOND])
    banning = FakeStream()
    banning.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "your IP is banned"]))
    bench.dial.ready(FIRST.host, banning)
    second = bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(100)
        second.feed(call("client.reconnect", FIRST.host, 3333, 0))
        await bench.clock.advance(100)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_a_port_that_a_pool_named_is_not_another_pool_s() -> None:
    bench = Bench([FIRST, SECOND])
    for _ in range(3):
        bench.laid(FIRST).feed(call("client.reconnect", None, 4444, 0))
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        assert [(url.host, url.port) for url in bench.dial.opened] == [
            (FIRST.host, 3333), (FIRST.host, 4444), (FIRST.host, 4444), (SECOND.host, 3333),
        ]  # fmt: skip


async def test_a_ban_holds_when_the_pool_before_it_is_dropped() -> None:
    bench = Bench([FIRST, SECOND])
    bench.dial.ready(FIRST.host, *[ConnectionLost("down") for _ in range(3)])
    bench.laid(FIRST, accepts=False)
    banning = FakeStream()
    banning.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "your IP is banned"]))
    bench.dial.ready(SECOND.host, banning)
    async with running(bench):
        await bench.clock.advance(BAN_SECONDS - 1)
        assert bench.hosts() == ["first"] * 3 + ["second", "first"]
        bench.laid(SECOND)
        await bench.clock.advance(BAN_SECONDS / 2 + 40)
        assert bench.hosts()[-1] == "second"
        assert bench.ended is None


async def test_to_give_up_is_no_reason_to_break_a_ban() -> None:
    bench = Bench(give_up=100.0)
    banning = FakeStream()
    banning.feed(answer(1, None, [20, "too many connections, banned for 10 min"]))
    bench.dial.ready(FIRST.host, banning)
    async with running(bench):
        await bench.clock.advance(100)
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "banned" in str(bench.ended)
        assert bench.hosts() == ["first"]


async def test_a_ban_told_with_a_share_s_answer_is_kept_to() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await bench.client.submit(solution(bench.job()))
        (request,) = stream.requests("mining.submit")
        stream.feed(answer(request["id"], None, [-1, "Duplicate share, your IP is banned"]))
        await settle()
        assert not stream.closed
        stream.end()
        await bench.clock.advance(BAN_SECONDS - 1)
        assert bench.hosts() == ["first"]
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.DUPLICATE]


async def test_a_threat_that_a_good_share_belies_is_forgotten() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        job = bench.job()
        await bench.client.submit(solution(job))
        await bench.client.submit(solution(job, job.nonces.first + 1))
        bad, good = stream.requests("mining.submit")
        stream.feed(answer(bad["id"], None, [20, "invalid; go on and you will be banned"]))
        stream.feed(answer(good["id"]))
        stream.end()
        bench.laid()
        await bench.clock.advance(2)
        assert bench.job().session == 2


def workless(bench: Bench, url: PoolUrl = FIRST) -> FakeStream:
    """Lay a connection ready that accepts the login and brings no job."""
    stream = FakeStream()
    stream.feed(answer(1, [None, "0b8e5b"]) + answer(2))
    bench.dial.ready(url.host, stream)
    return stream


GREETING = "Welcome! Miners that send invalid shares get banned."


async def test_the_word_ban_in_a_greeting_shuts_no_pool_out() -> None:
    bench = Bench()
    stream = FakeStream()
    welcome = call("client.show_message", GREETING)
    stream.feed(answer(1, [None, "0b8e5b"]) + welcome + answer(2) + notify())
    bench.dial.ready(FIRST.host, stream)
    async with running(bench):
        assert bench.job().pool == FIRST.label
        assert bench.of(telemetry.PoolNotice)[0].text == GREETING


@pytest.mark.parametrize(
    ("text", "seconds", "shut"),
    [
        ("your IP is banned for 10 min", 1, True),
        ("your IP is banned for 10 min", 60, False),
        ("Banned your address 192.0.2.7", 1, True),
        ("Banned for 600 s", 1, True),
        ("Banned miners today: 3", 1, False),
        ("3 of our miners were banned today; check your rigs", 1, False),
        ("Check your rigs. Miners were banned today", 1, False),
        ("you will be banned if you send invalid shares", 1, False),
        ("too many connections", 1, True),
    ],
)
async def test_a_message_is_a_ban_only_of_us_and_right_before_the_end(
    text: str, seconds: float, shut: bool
) -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    bench.laid(SECOND)
    async with running(bench):
        stream.feed(call("client.show_message", text))
        await bench.clock.advance(seconds)
        assert not stream.closed
        stream.end()
        bench.laid()
        await bench.clock.advance(3)
        assert bench.hosts()[1] == ("second" if shut else "first")


async def test_a_ban_told_before_the_login_is_kept_to() -> None:
    bench = Bench([FIRST, SECOND])
    stream = FakeStream()
    stream.feed(call("client.show_message", "your address is banned"))
    stream.end()
    bench.dial.ready(FIRST.host, stream)
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(3)
        assert bench.hosts() == ["first", "second"]


async def test_a_first_pool_that_logs_us_in_but_has_no_work_gives_way_at_once() -> None:
    bench = Bench([FIRST, SECOND])
    workless(bench)
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(FIRST_JOB_SECONDS - 1)
        assert bench.hosts() == ["first"]
        await bench.clock.advance(1)
        assert bench.hosts() == ["first", "second"]
        assert bench.job().pool == SECOND.label
        (lost,) = bench.of(telemetry.PoolLost)
        assert (lost.reason, lost.retry_in) == ("the pool brought no job within 60 s", 0.0)


async def test_a_node_without_work_gives_way_once_no_block_is_on_its_way_to_it() -> None:
    class Starting:
        number, resumable, backlog = 1, None, None

        def __init__(self) -> None:
            self.left, self.idle = asyncio.Event(), asyncio.Event()
            sessions.append(self)

        async def run(self) -> str:
            await self.left.wait()
            return ""

        def leave(self, reason: str) -> None:
            self.left.set()

        async def drained(self) -> None:
            await self.idle.wait()

    class StartingNodes:
        def open(self, *_: Any) -> Starting:
            return Starting()

    sessions: list[Starting] = []
    node = replace(FIRST, protocol="node")
    bench = Bench([node, SECOND], nodes=StartingNodes())
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(FIRST_JOB_SECONDS + 10)
        # A block of before is on its way to it.
        assert not sessions[0].left.is_set()
        sessions[0].idle.set()
        await settle()
        assert bench.job().pool == SECOND.label


async def lost_shares(bench: Bench, stream: FakeStream, count: int) -> None:
    """Send `count` shares that get no answer, while jobs come."""
    job = bench.job()
    for number in range(count):
        await bench.client.submit(solution(job, job.nonces.first + number))
        await bench.clock.advance(30)
        stream.feed(notify((0, f"job {number}"), (1, f"{bench.clock.now() * 10:064.0f}")))
        await settle()


async def test_a_pool_that_takes_no_share_gives_way_at_once() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    bench.laid(SECOND)
    async with running(bench):
        await lost_shares(bench, stream, UNANSWERED_SHARES)
        await settle()
        assert bench.hosts() == ["first", "second"]
        assert bench.job().pool == SECOND.label
        (lost,) = bench.of(telemetry.PoolLost)
        assert "ignores shares" in lost.reason


async def test_a_pool_that_took_shares_before_is_first_connected_to_anew() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    async with running(bench):
        share = solution(bench.job(), bench.job().nonces.first + 1000)
        await bench.client.submit(share)
        stream.feed(answer(stream.requests("mining.submit")[0]["id"]))
        await settle()
        await lost_shares(bench, stream, UNANSWERED_SHARES)
        assert stream.closed
        bench.laid()
        await bench.clock.advance(2)
        assert bench.hosts() == ["first", "first"]


async def test_the_only_pool_is_gone_back_to_though_it_takes_no_share() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        await lost_shares(bench, stream, UNANSWERED_SHARES)
        bench.laid()
        assert bench.of(telemetry.PoolLost)[-1].retry_in >= 1
        await bench.clock.advance(2)
        assert bench.job().session == 2


async def test_the_only_pool_may_take_its_time_for_the_first_job() -> None:
    bench = Bench()
    stream = workless(bench)
    async with running(bench):
        await bench.clock.advance(10 * FIRST_JOB_SECONDS - 1)
        assert not stream.closed


async def test_a_pool_without_work_is_kept_while_the_others_are_to_be_left_alone() -> None:
    bench = Bench([FIRST, SECOND])
    banning = FakeStream()
    banning.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "your IP is banned"]))
    bench.dial.ready(FIRST.host, banning)
    stream = workless(bench, SECOND)
    async with running(bench):
        await bench.clock.advance(2 + 5 * FIRST_JOB_SECONDS)
        assert bench.hosts() == ["first", "second"]
        assert not stream.closed


async def test_a_list_that_names_another_pool_ends_the_patience_with_one_that_has_no_work() -> None:
    bench = Bench()
    stream = workless(bench)
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(2 * FIRST_JOB_SECONDS + 1)
        assert await bench.client.replace_pools([FIRST, SECOND])
        await bench.clock.advance(FIRST_JOB_SECONDS)
        assert stream.closed
        assert bench.job().pool == SECOND.label


async def test_a_first_pool_without_work_is_gone_back_to_ever_more_seldom() -> None:
    bench = Bench([FIRST, SECOND])
    workless(bench)
    for _ in range(20):
        bench.dial.ready(FIRST.host, FakeStream())  # it can be reached
        workless(bench)
    backups = [bench.laid(SECOND) for _ in range(20)]
    idle = 0
    async with running(bench):
        await bench.clock.advance(FIRST_JOB_SECONDS)
        for _ in range(4 * 360):
            await bench.clock.advance(10)
            for stream in backups:
                if stream.written and not stream.closed:
                    stream.feed(notify())
            idle += 10 * (bench.works[-1] is None)
    # After 10, 20 and 40 minutes, and each 80 minutes from then on.
    assert len([host for host in bench.hosts() if host == "first"]) == 1 + 2 * 5
    assert idle <= 5 * (FIRST_JOB_SECONDS + 10)


async def test_a_share_that_comes_after_the_next_session_s_first_job_is_handed_in() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        again = bench.laid()
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        (request,) = again.requests("mining.submit")
        again.feed(answer(request["id"]))
        await settle()
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]


async def test_a_share_too_late_for_the_next_session_has_its_verdict_at_once() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        again = FakeStream()
        again.feed(answer(1, [None, "0b8e5c"]) + answer(2) + notify())
        bench.dial.ready(FIRST.host, again)
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        assert again.requests("mining.submit") == []
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_a_share_of_one_pool_is_never_another_s() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.feed(call("client.reconnect", SECOND.host, 3333, 0))
        await bench.clock.advance(LAUNCH_SECONDS)
        second = FakeStream()
        bench.dial.ready(SECOND.host, second)
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        second.feed(answer(1, [None, "0b8e5b"]) + answer(2) + notify())
        await settle()
        assert second.requests("mining.submit") == []
        assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_a_share_after_the_end_of_the_run_is_lost() -> None:
    bench = Bench()
    bench.laid()
    async with running(bench):
        job = bench.job()
    await bench.client.submit(solution(job))
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_a_known_protocol_is_not_given_up_for_a_passing_refusal() -> None:
    bench = Bench([ANY])
    bench.laid(ANY).end()
    busy = FakeStream()
    busy.feed(answer(1, None, [20, "the server is starting"]))
    bench.dial.ready(ANY.host, busy)
    again = bench.laid(ANY)
    async with running(bench):
        await bench.clock.advance(10)
        assert [request["method"] for request in again.requests()][:1] == ["mining.subscribe"]
        assert again.requests()[0]["params"] == ["progpow-miner/0"]
        assert bench.job().session == 3


async def test_a_pool_that_goes_on_to_refuse_its_protocol_is_asked_others() -> None:
    bench = Bench([ANY])
    bench.laid(ANY).end()
    for _ in range(2):
        changed = FakeStream()
        changed.feed(answer(1, None, [20, "Method not found"]))
        bench.dial.ready(ANY.host, changed)
    other = FakeStream()
    bench.dial.ready(ANY.host, other)
    async with running(bench):
        await bench.clock.advance(15)
        assert other.requests()[0]["params"] == ["progpow-miner/0", "EthereumStratum/1.0.0"]


async def test_a_login_accepted_before_each_wrong_protocol_is_not_hammered() -> None:
    bench = Bench([ANY])
    told = [["mining.notify", "ab", "EthereumStratum/1.0.0"], "080c"]
    foreign = call("mining.notify", "bf", "00" * 32, "ab" * 32, "0x3e8", True)
    for _ in range(200):
        stream = FakeStream()
        stream.feed(answer(1, told) + answer(2) + foreign)
        stream.end()
        bench.dial.ready(ANY.host, stream)
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 20


async def test_a_resumed_session_whose_login_is_refused_is_begun_anew() -> None:
    bench = Bench([replace(FIRST, protocol="ethstratum2")])
    greeting = {"proto": "EthereumStratum/2.0.0", "resume": "1"}
    streams = [FakeStream() for _ in range(3)]
    for stream in streams:
        stream.feed(answer(1, greeting) + answer(2, "s-1"))
    streams[0].feed(answer(3, "w-1"))
    streams[0].end()
    streams[1].feed(answer(3, None, {"code": 301, "message": "log in anew"}))
    bench.dial.ready(FIRST.host, *streams)
    async with running(bench):
        await bench.clock.advance(10)
        asked = [stream.requests("mining.subscribe")[0].get("params") for stream in streams]
        assert asked == [None, "s-1", None]


def hailed(names: str, extranonce: str, *, resumes: bool = True) -> FakeStream:
    """Return a connection of EthereumStratum/2.0.0 that takes us in as session `names`."""
    stream = FakeStream()
    stream.feed(line({"id": 1, "result": {"proto": "EthereumStratum/2.0.0", "resume": "1"}}))
    if not resumes:
        stream.feed(answer(2, None, {"code": 404, "message": "no such session"}))
    first = 2 if resumes else 3
    stream.feed(answer(first, names) + answer(first + 1, "w-1"))
    values = {"target": "00ff" + "00" * 30, "extranonce": extranonce}
    stream.feed(line({"method": "mining.set", "params": values}))
    return stream


@pytest.mark.parametrize("forgets", [False, True])
async def test_a_resumed_session_is_handed_only_what_was_found_for_it(forgets: bool) -> None:
    bench = Bench([replace(FIRST, protocol="ethstratum2")])
    streams = [
        hailed("s-1", "aaaa"),
        hailed("s-2", "bbbb", resumes=False) if forgets else hailed("s-1", "aaaa"),
        hailed("s-2" if forgets else "s-1", "bbbb" if forgets else "aaaa"),
    ]
    streams[0].feed(call("mining.notify", "6", "11dfc8", "ab" * 32, "0"))
    bench.dial.ready(FIRST.host, *streams)
    async with running(bench):
        old = bench.job()
        streams[0].end()
        await bench.clock.advance(3)
        streams[1].end()
        await settle()
        await bench.client.submit(solution(old, old.nonces.first + 0x1234))
        await bench.clock.advance(5)
        assert streams[2].requests("mining.subscribe")[0]["params"] == ("s-2" if forgets else "s-1")
        assert len(streams[2].requests("mining.submit")) == (0 if forgets else 1)
        streams[2].feed(call("mining.notify", "7", "11dfc9", "cd" * 32, "1"))
        await settle()
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]
    assert ("does not know its job" in bench.verdicts[0].text) is forgets


async def test_a_pool_does_not_choose_the_port_of_another_one() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.laid()
    bench.laid(SECOND)
    async with running(bench):
        stream.feed(call("client.reconnect", SECOND.host, 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert (bench.dial.opened[-1].host, bench.dial.opened[-1].port) == (SECOND.host, 3333)


async def test_a_port_named_with_its_host_is_not_that_of_its_other_entry() -> None:
    other = replace(FIRST, port=5555)
    bench = Bench([FIRST, other])
    for _ in range(4):
        bench.laid(FIRST).feed(call("client.reconnect", FIRST.host, 4444, 0))
    async with running(bench):
        await bench.clock.advance(15)
        assert [url.port for url in bench.dial.opened[:4]] == [3333, 4444, 4444, 5555]


def at(host: str, port: int, transport: Transport = Transport.TCP) -> PoolUrl:
    return PoolUrl(host, port, "RWallet.rig1", transport=transport, protocol="kawpow")


async def test_a_wish_for_a_listed_host_and_port_is_one_for_that_entry() -> None:
    pools = [at("a.example", 1000), at("b.example", 3333), at("b.example", 4444)]
    bench = Bench(pools)
    stream = bench.laid(pools[0])
    bench.laid(pools[2])
    async with running(bench):
        stream.feed(call("client.reconnect", "b.example", 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert bench.dial.opened == [pools[0], pools[2]]
        assert bench.job().pool == pools[2].label


@pytest.mark.parametrize("host", [None, "a.example"])
async def test_a_wish_for_a_listed_port_is_one_for_its_entry_with_its_transport(
    host: str | None,
) -> None:
    pools = [at("a.example", 3333), at("a.example", 4444, Transport.TLS)]
    bench = Bench(pools)
    for _ in range(6):
        bench.laid(pools[0]).feed(call("client.reconnect", host, 4444, 0))
    async with running(bench):
        await bench.clock.advance(30)
        assert bench.dial.opened[:2] == pools
        assert set(bench.dial.opened) == set(pools)


async def test_a_wish_for_a_listed_port_that_shut_us_out_is_not_obeyed() -> None:
    pools = [at("a.example", 3333), at("a.example", 4444)]
    bench = Bench(pools)
    banning = FakeStream()
    banning.feed(answer(1, [None, "0b8e5b"]) + answer(2, False, [24, "your IP is banned"]))
    bench.dial.ready("a.example", banning)
    stream = bench.laid(pools[1])
    async with running(bench):
        await bench.clock.advance(5)
        stream.feed(call("client.reconnect", None, 3333, 0))
        await bench.clock.advance(5)
        assert not stream.closed
        assert bench.dial.opened == pools


async def test_a_wish_for_another_host_is_told_once_a_connection() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        for _ in range(5):
            stream.feed(call("client.reconnect", "evil.example", 3333, 0))
        await settle()
        assert len(bench.of(telemetry.PoolRemark)) == 1


async def test_a_flood_of_messages_is_cut_and_said_to_be() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.feed(b"".join(call("client.show_message", f"number {n}") for n in range(500)))
        await settle()
        texts = [notice.text for notice in bench.of(telemetry.PoolNotice)]
        assert texts == [f"number {n}" for n in range(20)]
        (remark,) = bench.of(telemetry.PoolRemark)
        assert "left out" in remark.text
        await bench.clock.advance(61)
        stream.feed(call("client.show_message", "later"))
        await settle()
        assert bench.of(telemetry.PoolNotice)[-1].text == "later"


async def test_a_pool_s_chatter_does_not_drown_our_own_remarks() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        stream.feed(b"".join(call("client.show_message", f"number {n}") for n in range(25)))
        stream.feed(notify((5, "no height")))
        await settle()
        remarks = [remark.text for remark in bench.of(telemetry.PoolRemark)]
        assert len(remarks) == 2
        assert "a job of the pool cannot be mined" in remarks[1]


async def test_our_own_remarks_are_all_told() -> None:
    bench = Bench([replace(FIRST, protocol="node")], nodes=ChattyNodes())
    async with running(bench):
        assert len(bench.of(telemetry.PoolRemark)) == 30


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
        bench.laid()
        async with running(bench):
            (connecting,) = bench.of(telemetry.PoolConnecting)
            assert connecting.unverified is unverified


async def test_give_up_counts_while_a_pool_keeps_silent() -> None:
    bench = Bench(give_up=10.0)
    bench.dial.ready(FIRST.host, FakeStream())
    async with running(bench):
        await bench.clock.advance(9)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert isinstance(bench.ended, EveryPoolRefused)
        assert "the pool accepted no login and brought no job" in str(bench.ended)


async def test_give_up_leaves_a_pool_alone_that_took_us_in() -> None:
    bench = Bench(give_up=10.0)
    stream = bench.laid()
    async with running(bench):
        await bench.clock.advance(300)
        assert bench.ended is None
        assert not stream.closed


async def test_what_is_in_flight_lands_before_the_first_pool_is_gone_back_to() -> None:
    bench = Bench([FIRST, SECOND])
    bench.laid(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (backup,) = bench.dial.streams
        job = bench.job()
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        backup.feed(notify())
        bench.dial.ready(FIRST.host, FakeStream())
        bench.laid(FIRST)
        while len(bench.dial.streams) < 2:
            await bench.clock.advance(0.5)
            backup.feed(notify())
        assert bench.works[-1] is None
        await bench.client.submit(solution(job))
        backup.feed(answer(backup.requests("mining.submit")[0]["id"]))
        await bench.clock.advance(2 * LAUNCH_SECONDS)
        assert backup.closed
        assert bench.job().session == 2
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]


async def test_an_answer_is_waited_for_before_a_wish_to_reconnect_is_obeyed() -> None:
    bench = Bench()
    stream = bench.laid()
    bench.laid()
    async with running(bench):
        job = bench.job()
        await bench.client.submit(solution(job))
        stream.feed(call("client.reconnect"))
        await settle()
        await bench.client.submit(solution(job, job.nonces.first + 1))
        for request in stream.requests("mining.submit"):
            stream.feed(answer(request["id"]))
        await bench.clock.advance(2 * LAUNCH_SECONDS + 3)
        assert bench.job().session == 2
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED] * 2


async def test_a_late_share_is_handed_in_for_an_older_job_that_the_new_session_still_knows() -> (
    None
):
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        again = bench.laid()
        await bench.clock.advance(2)
        again.feed(notify((0, "newer"), (1, "cd" * 32), (4, False)))
        await settle()
        assert bench.job().id == "newer"
        await bench.client.submit(solution(old))
        (request,) = again.requests("mining.submit")
        assert request["params"][1] == old.id
        again.feed(answer(request["id"]))
        await settle()
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]


async def test_a_late_share_is_lost_whose_job_the_new_session_called_void() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        old = bench.job()
        stream.end()
        again = bench.laid()
        await bench.clock.advance(2)
        again.feed(notify((0, "newer"), (1, "cd" * 32), (4, True)))
        await settle()
        await bench.client.submit(solution(old))
        assert again.requests("mining.submit") == []
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.LOST]


async def test_the_end_of_a_run_waits_for_the_connection_that_takes_what_was_found() -> None:
    bench = Bench()
    stream = bench.laid()
    async with running(bench):
        job = bench.job()
        stream.end()
        again = bench.laid()
        await settle()
        await bench.client.submit(solution(job))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await bench.clock.advance(2)
            assert not draining.done()
            again.feed(answer(again.requests("mining.submit")[0]["id"]))
            await settle()
            assert draining.done()
            await bench.clock.advance(10)
    assert [verdict.outcome for verdict in bench.verdicts] == [Outcome.ACCEPTED]

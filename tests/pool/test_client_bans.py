"""Pools that ban the miner."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.errors import ConnectionLost
from miner.pool.failover import BAN_SECONDS, MAX_BAN_SECONDS, MIN_BAN_SECONDS
from miner.stratum.bans import Bans
from miner.telemetry import events
from miner.work import Outcome
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import BANNED, FIRST, REFUSED, SECOND, Bench, mining, running
from tests.stratum.dialogue import SUBSCRIBED, answer, call, line, notify, solution


async def test_a_pool_that_banned_us_is_left_alone_and_the_next_one_is_used() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, BANNED)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(61)
        assert bench.hosts() == ["first", "second"]
        assert bench.job().session == 2


async def test_a_ban_by_the_only_pool_is_waited_out() -> None:
    bench = Bench()
    bench.prepare(FIRST, answer(1, None, [20, "too many connections, banned for 10 min"]))
    async with running(bench):
        await bench.clock.advance(600 - 1)
        assert bench.hosts() == ["first"]
        bench.prepare()
        await bench.clock.advance(600 / 2 + 2)
        assert bench.job().session == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("RWallet is banned for 300 s", 300),
        ("RWallet.rig1 is banned for 300", 300),
        ("your IP is banned for 20 minutes", 1200),
        ("you are banned, try again in 2 hours", 7200),
        ("banned for 1 s", MIN_BAN_SECONDS),
        ("you are banned for 30 days", MAX_BAN_SECONDS),
        ("your address 192.0.2.7 is banned", BAN_SECONDS),
        ("your IP is banned until 12:30", BAN_SECONDS),
        ("your IP is banned for 1,800 seconds", BAN_SECONDS),
        ("your IP is banned for 600000 ms", 600),
        ("5 invalid shares in 20 s: you are banned for 10 min", 600),
        ("Your IP has been blocked for 5 minutes", 300),
        ("Your account is suspended for 2 weeks", MAX_BAN_SECONDS),
        ("rate limit exceeded, wait 90 seconds", 90),
        ("Ban time: 600", 600),
        ("Banned for 1h30m", 5400),
        ("Banned. Try again in ten minutes", 600),
        ("you are banned for half an hour", 1800),
        ("you are banned for 2 hours and 30 minutes", 9000),
        ("You will be unbanned in 600 seconds", 600),
        ("banned 00:10:00", 600),
    ],
)
async def test_the_duration_of_a_ban_is_respected_within_bounds(text: str, seconds: float) -> None:
    async with mining() as (bench, stream):
        stream.feed(call("client.show_message", text))
        stream.end()
        await bench.clock.advance(seconds - 1)
        assert bench.hosts() == ["first"]
        bench.prepare()
        await bench.clock.advance(seconds / 2 + 2)
        assert len(bench.hosts()) > 1


async def test_a_ban_holds_after_the_pool_before_it_is_removed() -> None:
    bench = Bench([FIRST, SECOND])
    bench.dial.ready(FIRST.host, *[ConnectionLost("down") for _ in range(3)])
    bench.prepare(FIRST, REFUSED)
    bench.prepare(SECOND, BANNED)
    async with running(bench):
        await bench.clock.advance(BAN_SECONDS - 1)
        assert bench.hosts() == ["first"] * 3 + ["second", "first"]
        bench.prepare(SECOND)
        await bench.clock.advance(BAN_SECONDS / 2 + 40)
        assert bench.hosts()[-1] == "second"
        assert bench.ended is None


async def test_a_ban_holds_when_the_give_up_timer_runs_out() -> None:
    bench = Bench(give_up=100.0)
    bench.prepare(FIRST, answer(1, None, [20, "too many connections, banned for 10 min"]))
    async with running(bench):
        await bench.clock.advance(100)
        assert "banned" in bench.given_up
        assert bench.hosts() == ["first"]


async def test_a_ban_in_the_answer_to_a_share_is_respected() -> None:
    async with mining() as (bench, stream):
        await bench.client.submit(solution(bench.job()))
        (request,) = stream.requests("mining.submit")
        stream.feed(answer(request["id"], None, [-1, "Duplicate share, your IP is banned"]))
        await settle()
        assert not stream.closed
        stream.end()
        await bench.clock.advance(BAN_SECONDS - 1)
        assert bench.hosts() == ["first"]
        assert bench.outcomes == [Outcome.DUPLICATE]


async def test_an_accepted_share_revokes_a_threat_of_a_ban() -> None:
    async with mining() as (bench, stream):
        job = bench.job()
        await bench.client.submit(solution(job))
        await bench.client.submit(solution(job, job.nonces.first + 1))
        bad, good = stream.requests("mining.submit")
        stream.feed(answer(bad["id"], None, [20, "invalid; go on and you will be banned"]))
        stream.feed(answer(good["id"]))
        stream.end()
        bench.prepare()
        await bench.clock.advance(2)
        assert bench.job().session == 2


GREETING = "Welcome! Miners that send invalid shares get banned."


async def test_a_greeting_that_mentions_bans_is_not_a_ban() -> None:
    bench = Bench()
    stream = FakeStream()
    welcome = call("client.show_message", GREETING)
    stream.feed(SUBSCRIBED + welcome + answer(2) + notify())
    bench.dial.ready(FIRST.host, stream)
    async with running(bench):
        assert bench.job().pool == FIRST.label
        assert bench.events_of(events.PoolNotice)[0].text == GREETING


@pytest.mark.parametrize(
    ("text", "seconds", "banned"),
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
        ("RWallet is banned for 300 s", 1, True),
        ("rwallet.rig1 is banned", 1, True),
        ("Banned: RWallet", 1, True),
        ("Banned account RWallet.rig1", 1, True),
        ("RWallet2 is banned for 300 s", 1, False),
        ("OtherRWallet is banned for 300 s", 1, False),
        ("Hello RWallet. Miners were banned today", 1, False),
        ("RWallet will be banned for 300 s", 1, False),
        ("RWallet is blocked", 1, True),
        ("Your miner is rate-limited", 1, True),
        ("Banned due to abuse", 1, True),
        ("Permanently banned", 1, True),
        ("Account suspended", 1, True),
        ("RWallet was unbanned; the pool unbanned 3 miners", 1, False),
        ("Payments are blocked until tomorrow", 1, False),
        ("3 blocks found today", 1, False),
    ],
)
async def test_a_message_is_a_ban_only_if_it_is_about_us_and_right_before_the_end(
    text: str, seconds: float, banned: bool
) -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        bench.prepare(SECOND)
        stream.feed(call("client.show_message", text))
        await bench.clock.advance(seconds)
        assert not stream.closed
        stream.end()
        bench.prepare()
        await bench.clock.advance(3)
        assert bench.hosts()[1] == ("second" if banned else "first")


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("RXk3p...9abc is banned", True),
        ("rxk3pw***abc is banned", True),
        ("RXk3p…9xyz is banned", False),
        ("RYk3p...9abc is banned", False),
    ],
)
def test_a_ban_may_name_our_account_without_its_middle(text: str, ours: bool) -> None:
    bans = Bans(FakeClock(), "RXk3pWalletOfOurs9abc.rig1")
    bans.message(text)
    assert bool(bans.text) is ours


@pytest.mark.parametrize("closes", [True, False])
async def test_a_ban_in_an_error_that_names_no_request_is_respected(closes: bool) -> None:
    bench = Bench([replace(FIRST, protocol=None), SECOND])
    stream = FakeStream()
    stream.feed(line({"id": 0, "result": None, "error": [20, "IP banned for 10 min"]}))
    if closes:
        stream.end()
    bench.dial.ready(FIRST.host, stream)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(60)
        assert bench.hosts() == ["first", "second"]


@pytest.mark.parametrize(
    "text",
    [
        b"Your IP is banned for 10 minutes\n",
        b'"you are banned"',
        b"banned",
        call("client.show_message", "your address is banned"),
    ],
    ids=["a line", "a cut line in quotes", "a word", "a message"],
)
async def test_a_ban_before_the_login_is_respected(text: bytes) -> None:
    bench = Bench([FIRST, SECOND])
    bench.dial.ready(FIRST.host, stream := FakeStream())
    bench.prepare(SECOND)
    stream.feed(text)
    stream.end()
    async with running(bench):
        await bench.clock.advance(3)
        assert bench.hosts() == ["first", "second"]
        assert "banned" in bench.events_of(events.PoolLost)[0].reason

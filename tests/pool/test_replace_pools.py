"""Replacing the list of pools while the miner runs."""

from __future__ import annotations

import asyncio

import pytest

from miner.errors import Banned, ConnectionLost, PoolRefused
from miner.net.address import PoolUrl
from miner.pool.attempt import LAUNCH_SECONDS
from miner.pool.failover import BAN_SECONDS, FIRST_POOL_CHECK_SECONDS
from miner.telemetry import events
from miner.work import Outcome
from tests.fakes.clock import settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import (
    BANNED,
    FIRST,
    OTHER_PREFIX,
    REFUSED,
    SECOND,
    THIRD,
    Bench,
    accept,
    mining,
    running,
)
from tests.stratum.dialogue import SUBSCRIBED, answer, notify, solution


async def replace_pools(bench: Bench, pools: list[PoolUrl]) -> bool:
    """Replace the list with `pools` and let the client react."""
    kept = bench.client.replace_pools(pools)
    await settle()
    await bench.clock.advance(LAUNCH_SECONDS)
    return kept


async def test_a_pool_that_stays_listed_keeps_its_connection() -> None:
    async with mining() as (bench, stream):
        job = bench.job()
        assert await replace_pools(bench, [FIRST, SECOND])
        await settle()
        assert not stream.closed
        assert bench.job() == job
        await bench.client.submit(solution(job))
        await accept(stream)
    assert bench.outcomes == [Outcome.ACCEPTED]
    assert bench.hosts() == ["first"]


async def test_a_pool_that_is_no_longer_listed_is_left_for_the_new_one() -> None:
    async with mining() as (bench, old):
        new = bench.prepare(SECOND)
        assert not await replace_pools(bench, [SECOND])
        await settle()
        assert old.closed
        assert not new.closed
        assert bench.job().pool == SECOND.label
    (lost,) = bench.events_of(events.PoolLost)
    assert (lost.reason, lost.retry_in) == ("the settings name other pools", 0.0)


async def test_answers_are_awaited_before_a_pool_is_left() -> None:
    async with mining() as (bench, stream):
        bench.prepare(SECOND)
        await bench.client.submit(solution(bench.job()))
        bench.client.replace_pools([SECOND])
        await settle()
        await bench.clock.advance(LAUNCH_SECONDS)
        assert not stream.closed
        await accept(stream)
        assert stream.closed
    assert bench.outcomes == [Outcome.ACCEPTED]


async def test_a_new_first_pool_is_used_once_it_is_reachable() -> None:
    bench = Bench()
    old = bench.prepare()
    bench.dial.ready(THIRD.host, FakeStream())
    bench.prepare(THIRD)
    async with running(bench):
        assert bench.client.replace_pools([THIRD, FIRST])
        await settle()
        assert bench.hosts() == ["first", "third"]
        assert not old.closed
        await bench.clock.advance(LAUNCH_SECONDS)
        assert old.closed
        assert bench.hosts() == ["first", "third", "third"]
        assert bench.job().pool == THIRD.label
    (lost,) = bench.events_of(events.PoolLost)
    assert (lost.pool, lost.retry_in) == (FIRST.label, 0.0)


async def test_a_working_pool_is_kept_while_the_new_first_one_is_unreachable() -> None:
    async with mining() as (bench, stream):
        assert await replace_pools(bench, [THIRD, FIRST])
        for _ in range(4):
            stream.feed(notify())
            await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 4 + 1)
        assert not stream.closed
        assert bench.job().pool == FIRST.label
        # At once, and then as often as ever.
        assert bench.hosts() == ["first", "third", "third"]
    assert None not in bench.jobs[:-1]


async def test_a_list_that_arrives_during_a_check_of_the_first_pool_starts_a_new_check() -> None:
    bench = Bench((SECOND,))
    bench.prepare(SECOND)
    go = reloaded_while_connecting(bench, ConnectionLost("it is down"))
    async with running(bench):
        assert bench.client.replace_pools([FIRST, SECOND])
        await settle()
        assert bench.client.replace_pools([THIRD, SECOND])
        go.set()
        await settle()
        assert bench.hosts() == ["second", "first", "third"]


async def test_no_connection_is_reported_as_kept_if_none_is_open() -> None:
    bench = Bench()
    async with running(bench):
        await bench.clock.advance(40)
        assert not await replace_pools(bench, [FIRST, SECOND])
        bench.prepare()
        await bench.clock.advance(70)
        assert bench.job().pool == FIRST.label
        assert await replace_pools(bench, [FIRST, THIRD])


async def test_a_connection_that_is_being_left_is_not_reported_as_kept() -> None:
    async with mining() as (bench, stream):
        again = bench.prepare()
        assert not bench.client.replace_pools([SECOND])
        await settle()
        assert not bench.client.replace_pools([SECOND, THIRD])
        assert not bench.client.replace_pools([FIRST])
        assert not stream.closed
        await bench.clock.advance(LAUNCH_SECONDS)
        assert stream.closed
        assert not again.closed
        assert bench.hosts() == ["first", "first"]


async def test_a_pool_without_a_login_gives_way_to_a_new_first_one() -> None:
    bench = Bench()
    mute = FakeStream()
    bench.dial.ready(FIRST.host, mute)
    bench.prepare(THIRD)
    async with running(bench):
        assert not await replace_pools(bench, [THIRD, FIRST])
        assert mute.closed
        assert bench.hosts() == ["first", "third"]
        assert bench.job().pool == THIRD.label


async def test_a_changed_login_reconnects() -> None:
    bench = Bench()
    bench.prepare()
    second = bench.prepare()
    async with running(bench):
        assert not await replace_pools(bench, [OTHER_USER])
        await settle()
        assert second.requests("mining.authorize")[0]["params"][0] == OTHER_USER.user


async def test_a_new_list_ends_the_wait_for_a_retry() -> None:
    bench = Bench()
    bench.prepare(SECOND)
    async with running(bench):
        for _ in range(4):
            await bench.clock.advance(40)
        tries = len(bench.dial.opened)
        assert bench.jobs == [] or bench.jobs[-1] is None
        assert not await replace_pools(bench, [SECOND])
        await settle()
        assert bench.hosts()[tries:] == ["second"]
        assert bench.job().pool == SECOND.label


def reloaded_while_connecting(bench: Bench, failure: Exception | None = None) -> asyncio.Event:
    """Have the first pool's connection open, or fail, only once the event is set."""
    opens, go = bench.dial.open, asyncio.Event()

    async def slowly(url: PoolUrl) -> FakeStream:
        if url.host == FIRST.host:
            await go.wait()
            if failure is not None:
                bench.dial.opened.append(url)
                raise failure
        return await opens(url)

    bench.dial.open = slowly  # type: ignore[method-assign]
    return go


async def test_a_pool_removed_while_connecting_is_left_at_once() -> None:
    bench = Bench()
    old, new = bench.prepare(), bench.prepare(SECOND)
    go = reloaded_while_connecting(bench)
    async with running(bench):
        await replace_pools(bench, [SECOND])
        go.set()
        await settle()
        assert old.closed
        assert not new.closed
        assert bench.job().pool == SECOND.label


@pytest.mark.parametrize(
    "failure", [PoolRefused("its certificate"), Banned("go away"), ConnectionLost("it is down")]
)
async def test_the_end_of_a_removed_pool_does_not_count_against_the_new_list(
    failure: Exception,
) -> None:
    bench = Bench()
    bench.prepare(SECOND)
    go = reloaded_while_connecting(bench, failure)
    async with running(bench):
        await replace_pools(bench, [SECOND])
        go.set()
        await settle()
        assert bench.hosts() == ["first", "second"]
        assert bench.job().pool == SECOND.label


OTHER_USER = PoolUrl(FIRST.host, FIRST.port, "ROther.rig1", protocol="kawpow")
"""The first pool, under another account."""


async def test_a_connection_is_left_once_no_more_shares_come_for_it() -> None:
    async with mining() as (bench, old):
        bench.prepare()
        job = bench.job()
        bench.client.replace_pools([OTHER_USER])
        await settle()
        assert bench.jobs[-1] is None
        for number in range(3):
            await bench.clock.advance(LAUNCH_SECONDS * 0.9)
            await bench.client.submit(solution(job, job.nonces.first + number))
            old.feed(answer(old.requests("mining.submit")[-1]["id"]))
        assert not old.closed
        await bench.clock.advance(LAUNCH_SECONDS * 2)
        assert old.closed
        assert bench.job().session == 2
    assert bench.outcomes == [Outcome.ACCEPTED] * 3


async def test_endless_shares_do_not_keep_a_connection_open() -> None:
    async with mining() as (bench, old):
        bench.prepare()
        job = bench.job()
        bench.client.replace_pools([OTHER_USER])
        for number in range(20):
            await bench.clock.advance(LAUNCH_SECONDS * 0.9)
            await bench.client.submit(solution(job, job.nonces.first + number))
        assert old.closed
        assert bench.job().session == 2
    assert len(bench.verdicts) == 20


async def test_a_late_share_is_sent_under_the_new_account() -> None:
    async with mining() as (bench, _):
        new = bench.prepare()
        found = solution(bench.job())
        await replace_pools(bench, [OTHER_USER])
        await settle()
        assert bench.job().session == 2
        await bench.client.submit(found)
        (request,) = new.requests("mining.submit")
        assert request["params"][0] == OTHER_USER.user
        new.feed(answer(request["id"]))
        await settle()
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.ACCEPTED
        assert verdict.solution is found
        (sent,) = bench.events_of(events.ShareSent)
        assert sent.solution is found


async def test_a_share_that_the_new_account_cannot_take_has_one_verdict_with_the_reason() -> None:
    async with mining() as (bench, _):
        new = bench.prepare(FIRST, OTHER_PREFIX)
        job = bench.job()
        await replace_pools(bench, [OTHER_USER])
        await bench.client.submit(solution(job))
        await settle()
        assert new.requests("mining.submit") == []
    (verdict,) = bench.verdicts
    assert verdict.outcome is Outcome.LOST
    assert verdict.text == (
        "found after its connection had ended (the settings name other pools); the pool's new "
        "session does not know its job"
    )


async def test_the_verdict_on_a_share_for_a_removed_pool_names_the_reason() -> None:
    async with mining() as (bench, _):
        bench.prepare(SECOND)
        job = bench.job()
        await replace_pools(bench, [SECOND])
        await bench.client.submit(solution(job))
    (verdict,) = bench.verdicts
    assert verdict.outcome is Outcome.LOST
    assert verdict.text == (
        "found after its connection had ended (the settings name other pools), and the miner "
        "is connected to another pool now"
    )


async def test_a_share_sent_under_one_account_is_not_sent_under_another() -> None:
    async with mining() as (bench, old):
        new = bench.prepare()
        job = bench.job()
        await bench.client.submit(solution(job))
        old.feed(answer(old.requests("mining.submit")[0]["id"]))
        await replace_pools(bench, [OTHER_USER])
        await settle()
        await bench.client.submit(solution(bench.job()))
        assert new.requests("mining.submit") == []
    assert bench.outcomes == [Outcome.ACCEPTED, Outcome.DUPLICATE]


async def test_a_share_held_until_the_login_is_sent_under_the_new_account() -> None:
    bench = Bench()
    old = bench.prepare(FIRST, SUBSCRIBED + notify())
    new = bench.prepare()
    async with running(bench):
        await bench.client.submit(solution(bench.job()))
        bench.client.replace_pools([OTHER_USER])
        await settle()
        assert old.closed
        await accept(new)
    assert bench.outcomes == [Outcome.ACCEPTED]


async def test_the_failure_of_a_replaced_pool_does_not_count_against_the_next() -> None:
    bench = Bench()
    bench.prepare(THIRD)
    go = reloaded_while_connecting(bench, PoolRefused("its certificate"))
    async with running(bench):
        bench.client.replace_pools([THIRD, FIRST])
        go.set()
        await settle()
        assert bench.hosts() == ["first", "third"]
        assert bench.job().pool == THIRD.label


async def test_a_ban_holds_in_a_new_list() -> None:
    bench = Bench()
    bench.prepare(FIRST, BANNED)
    bench.prepare(SECOND)
    async with running(bench):
        bench.client.replace_pools([FIRST, SECOND])
        await settle()
        assert bench.hosts() == ["first", "second"]


async def test_a_ban_is_waited_out_through_several_reloads() -> None:
    bench = Bench()
    bench.prepare(FIRST, BANNED)
    async with running(bench):
        bench.client.replace_pools([SECOND])
        await settle()
        bench.client.replace_pools([FIRST])
        await bench.clock.advance(BAN_SECONDS - 10)
        assert bench.hosts().count("first") == 1
        bench.prepare()
        await bench.clock.advance(BAN_SECONDS / 2 + 70)
        assert bench.job().pool == FIRST.label


async def test_a_removed_first_pool_is_not_checked_again() -> None:
    bench = Bench((FIRST, SECOND))
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (stream,) = bench.dial.streams
        assert await replace_pools(bench, [SECOND])
        tries = len(bench.dial.opened)
        bench.dial.ready(FIRST.host, FakeStream())
        for _ in range(10):
            stream.feed(notify())
            await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 4)
        assert not stream.closed
        assert len(bench.dial.opened) == tries


async def test_a_new_first_pool_is_checked_at_once() -> None:
    bench = Bench((FIRST, SECOND))
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (stream,) = bench.dial.streams
        assert await replace_pools(bench, [THIRD, SECOND])
        bench.dial.ready(THIRD.host, FakeStream())
        bench.prepare(THIRD)
        for _ in range(4):
            stream.feed(notify())
            await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 4)
        await bench.clock.advance(LAUNCH_SECONDS)
        assert bench.hosts()[-2:] == ["third", "third"]
        assert bench.job().pool == THIRD.label


async def test_refusals_of_an_earlier_list_are_not_reported() -> None:
    bench = Bench((FIRST, SECOND))
    bench.prepare(FIRST, REFUSED)
    bench.prepare(SECOND)
    bench.prepare(THIRD, REFUSED)
    async with running(bench):
        await replace_pools(bench, [THIRD])
        await settle()
        assert THIRD.label in bench.given_up
        assert FIRST.label not in bench.given_up

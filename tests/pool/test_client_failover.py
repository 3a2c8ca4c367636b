"""Failover: retries, returns to the first pool, useless pools, giving up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from miner.errors import ConfigError, ConnectionLost, EveryPoolRefused, PoolRefused
from miner.net.address import PoolUrl
from miner.pool.attempt import DRAIN_SECONDS, JOB_SECONDS, LAUNCH_SECONDS
from miner.pool.failover import FIRST_POOL_CHECK_SECONDS, REFUSED_SECONDS
from miner.stratum.pool_events import Authorized, JobEnded, JobReceived, SessionListener
from miner.stratum.session import UNANSWERED_SHARES
from miner.telemetry import events
from miner.work import Outcome
from tests.fakes.clock import settle
from tests.fakes.device import job_at
from tests.fakes.dial import FakeStream
from tests.pool.bench import BANNED, FIRST, REFUSED, SECOND, THIRD, Bench, accept, mining, running
from tests.stratum.dialogue import LOGIN, SUBSCRIBED, answer, call, notify, solution


async def test_each_return_to_the_first_pool_that_fails_doubles_the_check_interval() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        for wanted in (1, 2, 4):
            looks = bench.hosts().count("first")
            bench.prepare(SECOND)
            bench.dial.ready(FIRST.host, FakeStream(), ConnectionLost("gone again"))
            waited = 0
            while bench.hosts().count("first") == looks:
                await bench.clock.advance(20)
                for stream in bench.dial.streams:
                    stream.feed(notify())
                waited += 20
            assert waited >= wanted * FIRST_POOL_CHECK_SECONDS - 60
            await bench.clock.advance(30)


async def test_network_failures_are_retried_without_limit() -> None:
    bench = Bench()
    async with running(bench):
        await bench.clock.advance(3600)
        assert bench.ended is None
        assert 60 <= len(bench.dial.opened) <= 130
        waits = [event.retry_in for event in bench.events_of(events.PoolLost)]
        assert all(1 <= wait <= 60 for wait in waits)
        assert waits[0] <= 2
        assert waits[-1] >= 30
        bench.prepare()
        await bench.clock.advance(60)
        assert len(bench.events_of(events.PoolReady)) == 1


async def test_a_ca_file_that_cannot_be_read_later_is_retried() -> None:
    bench = Bench()
    first = bench.prepare()
    bench.dial.ready(FIRST.host, ConfigError("CA file ca.pem: No such file or directory"))
    bench.prepare()
    async with running(bench):
        first.end()
        await bench.clock.advance(10)
        assert bench.job().session == 2
        (*_, lost) = bench.events_of(events.PoolLost)
        assert lost.reason == "CA file ca.pem: No such file or directory"


async def test_failover_in_order_after_repeated_failure() -> None:
    bench = Bench([FIRST, SECOND, THIRD])
    async with running(bench):
        await bench.clock.advance(600)
        assert bench.hosts()[:10] == ["first"] * 3 + ["second"] * 3 + ["third"] * 3 + ["first"]


async def test_the_client_returns_to_the_first_pool_once_it_is_reachable() -> None:
    bench = Bench([FIRST, SECOND])
    backup = bench.prepare(SECOND)
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
        first = bench.prepare(FIRST)
        await bench.client.submit(solution(bench.job()))
        backup.feed(notify())
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS)
        assert probe.closed
        assert backup.closed
        assert not first.closed
        assert bench.job().session == 2
        assert bench.events_of(events.PoolReady)[-1].pool == FIRST.label


async def test_answers_are_awaited_before_the_return_to_the_first_pool() -> None:
    bench = Bench([FIRST, SECOND])
    async with running(bench):
        await bench.clock.advance(8)
        backup = bench.prepare(SECOND)
        while not bench.events_of(events.PoolReady):
            await bench.clock.advance(1)
        bench.dial.ready(FIRST.host, FakeStream())
        bench.prepare(FIRST)
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS - 2)
        backup.feed(notify())
        await bench.client.submit(solution(bench.job()))
        await bench.clock.advance(2)
        assert bench.hosts()[-1] == "first"
        assert not backup.closed
        await bench.clock.advance(DRAIN_SECONDS / 2)
        assert not backup.closed
        await accept(backup)
        assert backup.closed
        assert bench.outcomes == [Outcome.ACCEPTED]
        assert bench.job().session == 2


async def test_a_first_pool_that_accepts_connections_only_is_left_after_one_failure() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (backup,) = bench.dial.streams
        mute = FakeStream()
        bench.dial.ready(FIRST.host, FakeStream(), mute)
        bench.prepare(SECOND)
        opened = len(bench.dial.opened)
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        backup.feed(notify())
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2 - 10)
        mute.end()
        await bench.clock.advance(70)
        assert bench.hosts()[opened:] == ["first", "first", "second"]


async def test_a_pool_that_refuses_the_login_is_not_tried_again() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, REFUSED)
    bench.prepare(SECOND)
    async with running(bench):
        assert bench.hosts() == ["first", "second"]
        (lost,) = bench.events_of(events.PoolLost)
        assert lost.pool == FIRST.label
        assert lost.retry_in is None
        assert bench.job().session == 2
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS - 1)
        assert bench.hosts() == ["first", "second"]


async def test_a_first_pool_that_stopped_refusing_us_is_used_again() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, REFUSED)
    backup = bench.prepare(SECOND)
    async with running(bench):
        bench.dial.ready(FIRST.host, FakeStream())  # the look whether it is reachable
        bench.prepare()
        waited = 0.0
        while waited < 1.5 * REFUSED_SECONDS + FIRST_POOL_CHECK_SECONDS and not backup.closed:
            await bench.clock.advance(60)
            waited += 60
            backup.feed(notify())
        assert waited > REFUSED_SECONDS
        await bench.clock.advance(60)
        assert bench.hosts() == ["first", "second", "first", "first"]
        assert bench.job().pool == FIRST.label


async def test_the_run_ends_when_every_pool_refused() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, REFUSED)
    bench.dial.ready(SECOND.host, PoolRefused("its certificate is not trusted"))
    async with running(bench):
        assert "unknown wallet" in bench.given_up
        assert "certificate" in bench.given_up
        assert "RWallet" not in bench.given_up


async def test_a_pool_that_accepted_a_login_before_is_retried_after_a_refusal() -> None:
    async with mining() as (bench, stream):
        stream.end()
        bench.prepare(FIRST, REFUSED)
        bench.prepare()
        await bench.clock.advance(10)
        assert bench.ended is None
        assert len(bench.events_of(events.PoolReady)) == 2


async def test_the_run_ends_when_the_give_up_timer_runs_out() -> None:
    bench = Bench(give_up=100.0)
    async with running(bench):
        await bench.clock.advance(99)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert "no pool for 100 s" in bench.given_up
        assert "nothing listens" in bench.given_up


async def test_a_login_restarts_the_give_up_timer() -> None:
    async with mining(give_up=100.0) as (bench, stream):
        await bench.clock.advance(500)
        assert bench.ended is None
        stream.end()
        await bench.clock.advance(99)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert isinstance(bench.ended, EveryPoolRefused)


async def test_reconnects_back_off_if_a_pool_disconnects_after_each_login() -> None:
    bench = Bench()
    for _ in range(50):
        bench.prepare().end()
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 15


async def test_a_stable_session_resets_the_back_off() -> None:
    bench = Bench()
    async with running(bench):
        await bench.clock.advance(300)
        stream = bench.prepare()
        await bench.clock.advance(200)
        stream.end()
        await settle()
        assert bench.events_of(events.PoolLost)[-1].retry_in <= 2


async def test_a_pool_without_a_first_job_gives_way_at_once() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, LOGIN)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(JOB_SECONDS - 1)
        assert bench.hosts() == ["first"]
        await bench.clock.advance(1)
        assert bench.hosts() == ["first", "second"]
        assert bench.job().pool == SECOND.label
        (lost,) = bench.events_of(events.PoolLost)
        assert (lost.reason, lost.retry_in) == ("the pool brought no job within 60 s", 0.0)


class NodeWithoutWork:
    """A session with a node; `idle` is set once its blocks are delivered."""

    number, resumable, backlog = 1, None, None

    def __init__(self, listener: SessionListener) -> None:
        self.listener = listener
        self.left, self.idle = asyncio.Event(), asyncio.Event()

    async def run(self) -> str:
        await self.left.wait()
        return ""

    def leave(self, reason: str) -> None:
        self.left.set()

    async def drained(self) -> None:
        await self.idle.wait()


class NodesWithoutWork:
    def __init__(self) -> None:
        self.sessions: list[NodeWithoutWork] = []

    def open(self, number: int, url: PoolUrl, listener: SessionListener) -> NodeWithoutWork:
        self.sessions.append(NodeWithoutWork(listener))
        return self.sessions[-1]


async def test_a_node_without_a_first_job_gives_way_once_its_blocks_are_delivered() -> None:
    nodes = NodesWithoutWork()
    bench = Bench([replace(FIRST, protocol="node"), SECOND], nodes=nodes)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(JOB_SECONDS + 10)
        (session,) = nodes.sessions
        assert not session.left.is_set()  # an earlier block is on its way to the node
        session.idle.set()
        await settle()
        assert bench.job().pool == SECOND.label


async def test_a_node_that_ends_its_job_gives_way_after_a_minute_without_another() -> None:
    nodes = NodesWithoutWork()
    bench = Bench([replace(FIRST, protocol="node"), SECOND], nodes=nodes)
    bench.prepare(SECOND)
    async with running(bench):
        (session,) = nodes.sessions
        session.idle.set()
        session.listener.on_event(Authorized())
        session.listener.on_event(JobReceived(job_at()))
        await bench.clock.advance(10 * JOB_SECONDS + 30)
        assert bench.job().pool == FIRST.label
        session.listener.on_event(JobEnded())
        assert bench.jobs[-1] is None
        await bench.clock.advance(JOB_SECONDS / 2)
        session.listener.on_event(JobReceived(job_at()))
        await bench.clock.advance(JOB_SECONDS)
        session.listener.on_event(JobEnded())
        await bench.clock.advance(JOB_SECONDS - 1)
        assert not session.left.is_set()
        await bench.clock.advance(1 + LAUNCH_SECONDS + DRAIN_SECONDS)
        assert bench.job().pool == SECOND.label


async def test_jobs_of_another_algorithm_keep_the_pool() -> None:
    nodes = NodesWithoutWork()
    bench = Bench([replace(FIRST, protocol="node"), SECOND], nodes=nodes)
    async with running(bench):
        (session,) = nodes.sessions
        session.idle.set()
        session.listener.on_event(Authorized())
        for height in range(10):
            other = replace(job_at(height), other_algorithm="randomx")
            session.listener.on_event(JobReceived(other))
            await bench.clock.advance(JOB_SECONDS + 1)
            assert bench.job() == replace(other, pool=FIRST.label)
        assert not session.left.is_set()


async def lose_shares(bench: Bench, stream: FakeStream, count: int) -> None:
    """Send `count` shares that get no answer, while jobs come."""
    job = bench.job()
    for number in range(count):
        await bench.client.submit(solution(job, job.nonces.first + number))
        await bench.clock.advance(30)
        stream.feed(notify((0, f"job {number}"), (1, f"{bench.clock.now() * 10:064.0f}")))
        await settle()


async def test_a_pool_that_never_answered_a_share_gives_way_at_once() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        bench.prepare(SECOND)
        await lose_shares(bench, stream, UNANSWERED_SHARES)
        await settle()
        assert bench.hosts() == ["first", "second"]
        assert bench.job().pool == SECOND.label
        (lost,) = bench.events_of(events.PoolLost)
        assert "ignores shares" in lost.reason


async def test_a_pool_that_answered_shares_before_is_reconnected_first() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        share = solution(bench.job(), bench.job().nonces.first + 1000)
        await bench.client.submit(share)
        await accept(stream)
        await lose_shares(bench, stream, UNANSWERED_SHARES)
        assert stream.closed
        bench.prepare()
        await bench.clock.advance(2)
        assert bench.hosts() == ["first", "first"]


async def test_the_only_pool_is_retried_even_if_it_answers_no_share() -> None:
    async with mining() as (bench, stream):
        await lose_shares(bench, stream, UNANSWERED_SHARES)
        bench.prepare()
        assert bench.events_of(events.PoolLost)[-1].retry_in >= 1
        await bench.clock.advance(2)
        assert bench.job().session == 2


async def test_the_only_pool_has_no_limit_for_its_first_job() -> None:
    bench = Bench()
    stream = bench.prepare(FIRST, LOGIN)
    async with running(bench):
        await bench.clock.advance(10 * JOB_SECONDS - 1)
        assert not stream.closed


async def test_a_pool_without_a_job_is_kept_while_the_others_have_banned_us() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, BANNED)
    stream = bench.prepare(SECOND, LOGIN)
    async with running(bench):
        await bench.clock.advance(2 + 5 * JOB_SECONDS)
        assert bench.hosts() == ["first", "second"]
        assert not stream.closed


async def test_a_new_alternative_limits_the_wait_for_the_first_job() -> None:
    bench = Bench()
    stream = bench.prepare(FIRST, LOGIN)
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(2 * JOB_SECONDS + 1)
        assert bench.client.replace_pools([FIRST, SECOND])
        await bench.clock.advance(JOB_SECONDS)
        assert stream.closed
        assert bench.job().pool == SECOND.label


async def test_a_first_pool_without_a_job_is_checked_less_and_less_often() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, LOGIN)
    for _ in range(20):
        bench.dial.ready(FIRST.host, FakeStream())  # it can be reached
        bench.prepare(FIRST, LOGIN)
    backups = [bench.prepare(SECOND) for _ in range(20)]
    idle = 0
    async with running(bench):
        await bench.clock.advance(JOB_SECONDS)
        for _ in range(4 * 360):
            await bench.clock.advance(10)
            for stream in backups:
                if stream.written and not stream.closed:
                    stream.feed(notify())
            idle += 10 * (bench.jobs[-1] is None)
    # After 10, 20 and 40 minutes, and each 80 minutes from then on.
    assert len([host for host in bench.hosts() if host == "first"]) == 1 + 2 * 5
    assert idle <= 5 * (JOB_SECONDS + 10)


async def test_the_give_up_timer_runs_while_a_pool_stays_silent() -> None:
    bench = Bench(give_up=10.0)
    bench.dial.ready(FIRST.host, FakeStream())
    async with running(bench):
        await bench.clock.advance(9)
        assert bench.ended is None
        await bench.clock.advance(1)
        assert "the pool accepted no login and brought no job" in bench.given_up


async def test_giving_up_at_a_silent_pool_names_the_failure_before_and_its_last_message() -> None:
    bench = Bench(give_up=10.0)
    bench.dial.ready(FIRST.host, ConnectionLost("the certificate has expired"), FakeStream())
    async with running(bench):
        await bench.clock.advance(5)
        bench.dial.streams[-1].feed(call("client.show_message", "closed for repairs"))
        await bench.clock.advance(5)
        assert bench.given_up == (
            f"no pool for 10 s; the last reason, from {FIRST.label}: the pool accepted no login "
            "and brought no job; last message: closed for repairs; before that: the "
            "certificate has expired"
        )
        (end,) = [event for event in bench.events_of(events.PoolLost) if event.retry_in is None]
        assert "the certificate has expired" in end.reason


async def test_giving_up_during_a_ban_names_the_text_of_the_ban() -> None:
    bench = Bench(give_up=300.0)
    bench.prepare(FIRST, SUBSCRIBED + answer(2, False, [24, "banned: bad shares"]))
    async with running(bench):
        await bench.clock.advance(300)
        assert "banned: bad shares" in bench.given_up


async def test_giving_up_names_the_pools_that_were_given_up_before() -> None:
    bench = Bench([FIRST, SECOND], give_up=100.0)
    bench.prepare(FIRST, REFUSED)
    async with running(bench):
        await bench.clock.advance(100)
        assert "nothing listens" in bench.given_up
        assert f"given up before: {FIRST.label}: the pool refused the login" in bench.given_up


async def test_a_failure_before_a_login_is_not_the_reason_for_giving_up() -> None:
    bench = Bench(give_up=100.0)
    bench.dial.ready(FIRST.host, ConnectionLost("the certificate has expired"))
    stream = bench.prepare()
    async with running(bench):
        await bench.clock.advance(500)
        stream.end()
        bench.dial.ready(FIRST.host, FakeStream())
        await bench.clock.advance(100)
        assert "expired" not in bench.given_up


async def test_the_give_up_timer_does_not_end_a_session_with_a_login() -> None:
    async with mining(give_up=10.0) as (bench, stream):
        await bench.clock.advance(300)
        assert bench.ended is None
        assert not stream.closed


async def test_launches_in_flight_end_before_the_return_to_the_first_pool() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        (backup,) = bench.dial.streams
        job = bench.job()
        await bench.clock.advance(FIRST_POOL_CHECK_SECONDS / 2)
        backup.feed(notify())
        bench.dial.ready(FIRST.host, FakeStream())
        bench.prepare(FIRST)
        while len(bench.dial.streams) < 2:
            await bench.clock.advance(0.5)
            backup.feed(notify())
        assert bench.jobs[-1] is None
        await bench.client.submit(solution(job))
        backup.feed(answer(backup.requests("mining.submit")[0]["id"]))
        await bench.clock.advance(2 * LAUNCH_SECONDS)
        assert backup.closed
        assert bench.job().session == 2
    assert bench.outcomes == [Outcome.ACCEPTED]


async def test_a_job_that_waited_while_the_process_was_suspended_keeps_the_pool() -> None:
    bench = Bench([FIRST, SECOND])
    stream = bench.prepare(FIRST, LOGIN)
    async with running(bench):
        await bench.clock.suspend(3600.0)
        stream.feed(notify())
        await bench.clock.advance(JOB_SECONDS)
        assert bench.hosts() == ["first"]
        assert bench.job().session == 1

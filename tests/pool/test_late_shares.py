"""Shares whose connection has ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from miner.pool import share_router
from miner.pool.attempt import LAUNCH_SECONDS
from miner.pool.share_router import ShareRouter
from miner.telemetry import events
from miner.work import Outcome, Solution, Verdict
from tests.fakes.clock import settle
from tests.fakes.device import job_at
from tests.fakes.dial import FakeStream
from tests.pool.bench import FIRST, OTHER_PREFIX, SECOND, Bench, accept, mining, running
from tests.stratum.dialogue import LOGIN, WELCOME, answer, call, line, notify, solution


async def test_a_share_found_while_disconnected_is_sent_if_the_next_session_has_its_job() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        await settle()
        found = solution(old)
        await bench.client.submit(found)
        assert bench.verdicts == []
        again = bench.prepare()
        await bench.clock.advance(2)
        await accept(again)
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.ACCEPTED
        assert verdict.solution is found
        (sent,) = bench.events_of(events.ShareSent)
        assert sent.solution is found


@pytest.mark.parametrize(
    ("prefix", "change"),
    [
        ("0b8e5c", (4, True)), ("0b8e5b", (0, "ff")), ("0b8e5b", (1, "ab" * 32)),
        ("0b8e5b", (5, 1866618)),
    ],
    ids=["another prefix", "another job", "another header", "another height"],
)  # fmt: skip
async def test_a_share_found_while_disconnected_is_lost_if_the_next_session_lacks_its_job(
    prefix: str, change: tuple[int, Any]
) -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        await settle()
        await bench.client.submit(solution(old))
        new = bench.prepare(FIRST, answer(1, [None, prefix]) + answer(2) + notify(change))
        await bench.clock.advance(2)
        assert new.requests("mining.submit") == []
        (verdict,) = bench.verdicts
        assert (verdict.outcome, verdict.seconds) == (Outcome.LOST, None)
        assert "does not know its job" in verdict.text


@pytest.mark.parametrize(
    ("changes", "sent"),
    [((), 1), (((3, "00000004" + "00" * 28),), 0)],
    ids=["just met", "missed"],
)
async def test_a_late_share_is_sent_if_it_meets_the_target_of_the_next_session(
    changes: tuple[tuple[int, str], ...], sent: int
) -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        await settle()
        just_met = replace(solution(old), final_hash=old.target.to_bytes(32, "big"))
        await bench.client.submit(just_met)
        new = bench.prepare(FIRST, LOGIN + notify(*changes))
        await bench.clock.advance(2)
        assert (bench.job().target < old.target) == bool(changes)
        assert len(new.requests("mining.submit")) == sent
        lost = [Outcome.LOST] * (1 - sent)
        assert bench.outcomes == lost


async def test_shares_beyond_the_limit_of_waiting_ones_are_lost_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(share_router, "MAX_WAITING", 2)
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        await settle()
        for offset in range(3):
            await bench.client.submit(solution(old, old.nonces.first + offset))
        (verdict,) = bench.verdicts
        assert verdict.outcome is Outcome.LOST
        assert verdict.solution.nonce == old.nonces.first + 2


async def test_a_waiting_share_is_lost_at_the_end_of_the_run() -> None:
    async with mining() as (bench, stream):
        job = bench.job()
        stream.end()
        await settle()
        await bench.client.submit(solution(job))
    assert bench.outcomes == [Outcome.LOST]


async def test_a_sent_share_is_never_sent_again() -> None:
    async with mining() as (bench, stream):
        await bench.client.submit(solution(bench.job()))
        stream.end()
        await settle()
        again = bench.prepare()
        await bench.clock.advance(2)
        await bench.client.submit(solution(bench.job()))
        assert again.requests("mining.submit") == []
        assert bench.outcomes == [Outcome.LOST, Outcome.DUPLICATE]


async def test_a_share_found_after_the_first_job_of_the_next_session_is_sent() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        again = bench.prepare()
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        await accept(again)
        assert bench.outcomes == [Outcome.ACCEPTED]


async def test_a_share_that_the_next_session_cannot_take_is_lost_at_once() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        again = bench.prepare(FIRST, OTHER_PREFIX)
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        assert again.requests("mining.submit") == []
        assert bench.outcomes == [Outcome.LOST]


async def test_a_share_is_never_sent_to_another_pool() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        old = bench.job()
        stream.feed(call("client.reconnect", SECOND.host, 3333, 0))
        await bench.clock.advance(LAUNCH_SECONDS)
        second = FakeStream()
        bench.dial.ready(SECOND.host, second)
        await bench.clock.advance(2)
        await bench.client.submit(solution(old))
        second.feed(WELCOME)
        await settle()
        assert second.requests("mining.submit") == []
        assert bench.outcomes == [Outcome.LOST]


async def test_a_share_after_the_end_of_the_run_is_lost() -> None:
    async with mining() as (bench, _):
        job = bench.job()
    await bench.client.submit(solution(job))
    assert bench.outcomes == [Outcome.LOST]


async def test_a_resumed_session_whose_login_is_refused_is_replaced_by_a_new_one() -> None:
    bench = Bench([replace(FIRST, protocol="ethstratum2")])
    greeting = {"proto": "EthereumStratum/2.0.0", "resume": "1"}
    streams = [FakeStream() for _ in range(3)]
    for stream in streams:
        stream.feed(answer(1, greeting) + answer(2, "s-1"))
    streams[0].feed(answer(3, "w-1"))
    streams[0].end()
    streams[1].feed(answer(3, None, {"code": 301, "message": "log in again"}))
    bench.dial.ready(FIRST.host, *streams)
    async with running(bench):
        await bench.clock.advance(10)
        asked = [stream.requests("mining.subscribe")[0].get("params") for stream in streams]
        assert asked == [None, "s-1", None]


def ethereum_stratum2_login(names: str, extranonce: str, *, resumes: bool = True) -> FakeStream:
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
async def test_a_resumed_session_gets_only_the_shares_found_for_it(forgets: bool) -> None:
    bench = Bench([replace(FIRST, protocol="ethstratum2")])
    streams = [
        ethereum_stratum2_login("s-1", "aaaa"),
        ethereum_stratum2_login("s-2", "bbbb", resumes=False)
        if forgets
        else ethereum_stratum2_login("s-1", "aaaa"),
        ethereum_stratum2_login("s-2" if forgets else "s-1", "bbbb" if forgets else "aaaa"),
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
    assert bench.outcomes == [Outcome.LOST]
    assert ("does not know its job" in bench.verdicts[0].text) is forgets


async def test_a_late_share_is_sent_for_an_older_job_that_is_still_valid() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        again = bench.prepare()
        await bench.clock.advance(2)
        again.feed(notify((0, "newer"), (1, "cd" * 32), (4, False)))
        await settle()
        assert bench.job().id == "newer"
        await bench.client.submit(solution(old))
        (request,) = again.requests("mining.submit")
        assert request["params"][1] == old.id
        again.feed(answer(request["id"]))
        await settle()
    assert bench.outcomes == [Outcome.ACCEPTED]


async def test_a_late_share_is_lost_if_the_new_session_made_its_job_obsolete() -> None:
    async with mining() as (bench, stream):
        old = bench.job()
        stream.end()
        again = bench.prepare()
        await bench.clock.advance(2)
        again.feed(notify((0, "newer"), (1, "cd" * 32), (4, True)))
        await settle()
        await bench.client.submit(solution(old))
        assert again.requests("mining.submit") == []
    assert bench.outcomes == [Outcome.LOST]


async def test_the_end_of_a_run_waits_for_a_connection_that_takes_the_shares() -> None:
    async with mining() as (bench, stream):
        job = bench.job()
        stream.end()
        again = bench.prepare()
        await settle()
        await bench.client.submit(solution(job))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(bench.client.drain(10))
            await bench.clock.advance(2)
            assert not draining.done()
            await accept(again)
            assert draining.done()
            await bench.clock.advance(10)
    assert bench.outcomes == [Outcome.ACCEPTED]


class FakeConnection:
    """A connection that keeps what is submitted to it."""

    backlog = None

    def __init__(self, number: int, resumable: str) -> None:
        self.number, self.resumable = number, resumable
        self.submitted: list[Solution] = []
        self.drains = 0

    def submit(self, solution: Solution) -> None:
        self.submitted.append(solution)

    async def drained(self) -> None:
        self.drains += 1
        await asyncio.sleep(0)


class Routes:
    """A router whose connections all have the same pool, and its verdicts."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        connections: Any = self
        self.router = ShareRouter(self, connections)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def record_submission(self, solution: Solution) -> None:
        pass

    def begin(self, number: int, resumable: str) -> FakeConnection:
        connection: Any = FakeConnection(number, resumable)
        self.router.end("the next one begins")
        self.router.begin(connection, FIRST)
        return connection  # type: ignore[no-any-return]


async def test_a_late_share_waits_until_this_connection_has_resumed_its_session() -> None:
    routes = Routes()
    routes.begin(1, "s")
    routes.begin(2, "s")
    routes.router.resumed()
    last = routes.begin(3, "s")
    found = solution(job_at(1))
    routes.router.submit(found)
    assert last.submitted == []
    routes.router.resumed()
    (sent,) = last.submitted
    assert (sent.job.session, routes.router.as_found(sent)) == (3, found)
    routes.router.on_verdict(Verdict(sent, Outcome.ACCEPTED))
    assert routes.verdicts[0].solution is found
    assert routes.router.as_found(sent) is sent, "the copy is forgotten after its verdict"


async def test_the_end_of_a_run_waits_for_shares_of_a_session_that_was_not_resumed() -> None:
    routes = Routes()
    routes.begin(1, "s-1")
    other = routes.begin(2, "s-2")
    found = solution(job_at(1))
    routes.router.submit(found)
    routes.router.resumed()
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(routes.router.drained())
        await settle()
        assert (draining.done(), other.drains) == (False, 0)
        routes.router.add_job(replace(found.job, session=2))
        await settle()
        assert (draining.done(), len(other.submitted)) == (True, 1)

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from miner.clock import CATCH_UP_SECONDS
from miner.errors import Cause, ConnectionLost, PoolError, PoolRefused, ProtocolError
from miner.net.address import Timeouts
from miner.stratum.client_side import KEPT_REQUESTS
from miner.stratum.pool_events import Authorized, JobReceived, Message, PoolEvent, Subscribed
from miner.stratum.pool_memory import KEPT_NONCES, SentNonces
from miner.stratum.session import (
    JOB_LINES,
    LINES_AT_ONCE,
    LINES_PER_SECOND,
    UNANSWERED_SHARES,
    UNAUTHORIZED_SHARES,
    Session,
)
from miner.work import Job, Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock, settle
from tests.fakes.dial import FakeStream
from tests.stratum.dialogue import LOGIN, SUBSCRIBED, answer, call, client, notify, solution


class Bench:
    """A session whose pool is played by the test, and what it reports."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.stream = FakeStream()
        self.events: list[PoolEvent] = []
        self.verdicts: list[Verdict] = []
        self.subscribed: list[Subscribed] = []
        self.unsent: list[Solution] = []
        self.session = Session(7, client(), self.stream, self.clock, self)
        self.ended: str | PoolError | None = None

    def on_event(self, event: PoolEvent) -> None:
        if isinstance(event, Subscribed):
            self.subscribed.append(event)
        else:
            self.events.append(event)

    def on_verdict(self, verdict: Verdict) -> None:
        self.verdicts.append(verdict)

    def on_unsent(self, solution: Solution, reason: str) -> None:
        self.unsent.append(solution)

    async def run(self) -> None:
        try:
            self.ended = await self.session.run()
        except PoolError as error:
            self.ended = error

    async def job(self, data: bytes) -> Job:
        """Receive `data` from the pool; return the newest job."""
        self.stream.feed(data)
        await settle()
        return self.jobs()[-1]

    async def login(self) -> Job:
        return await self.job(LOGIN + answer(3) + notify())

    def jobs(self) -> list[Job]:
        return [event.job for event in self.events if isinstance(event, JobReceived)]

    def submits(self) -> list[dict[str, Any]]:
        return self.stream.requests("mining.submit")

    def outcomes(self) -> list[Outcome]:
        return [verdict.outcome for verdict in self.verdicts]


@asynccontextmanager
async def running() -> AsyncIterator[Bench]:
    bench = Bench()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bench.run())
        await settle()
        yield bench
        task.cancel()


@asynccontextmanager
async def mining() -> AsyncIterator[tuple[Bench, Job]]:
    """Run a session that has logged in; yield it with its job."""
    async with running() as bench:
        yield bench, await bench.login()


async def test_login() -> None:
    async with running() as bench:
        sent = [request["method"] for request in bench.stream.requests()]
        assert sent == ["mining.subscribe", "mining.authorize", "mining.extranonce.subscribe"]
        await bench.login()
        assert [type(event) for event in bench.events] == [Authorized, JobReceived]


async def test_accepted_share() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        (request,) = bench.submits()
        await bench.clock.advance(0.25)
        bench.stream.feed(answer(request["id"]))
        await settle()
        assert bench.verdicts == [Verdict(solution(job), Outcome.ACCEPTED, "", 0.25)]


async def test_answers_out_of_order_find_their_shares() -> None:
    async with mining() as (bench, job):
        found = [solution(job, job.nonces.first + i) for i in range(3)]
        for one in found:
            bench.session.submit(one)
        numbers = [request["id"] for request in bench.submits()]
        bench.stream.feed(answer(numbers[2], None, [22, "duplicate share"]))
        bench.stream.feed(answer(numbers[0]) + answer(999) + answer(numbers[0]))
        await settle()
        assert [(v.solution, v.outcome) for v in bench.verdicts] == [
            (found[2], Outcome.DUPLICATE),
            (found[0], Outcome.ACCEPTED),
        ]


async def test_shares_wait_for_the_login() -> None:
    async with running() as bench:
        job = await bench.job(SUBSCRIBED + notify())
        bench.session.submit(solution(job))
        assert bench.submits() == []
        bench.stream.feed(answer(2))
        await settle()
        assert len(bench.submits()) == 1


async def test_share_without_an_answer_is_lost_and_not_sent_again() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        await bench.clock.advance(Timeouts().answer / 2)
        bench.session.submit(solution(job, job.nonces.first + 1))
        await bench.clock.advance(Timeouts().answer / 2 - 1)
        assert bench.verdicts == []
        await bench.clock.advance(1)
        assert bench.outcomes() == [Outcome.LOST]
        assert bench.verdicts[0].text == "no answer within 30 s"
        bench.stream.feed(answer(bench.submits()[0]["id"]))
        await bench.clock.advance(Timeouts().answer / 2)
        assert bench.outcomes() == [Outcome.LOST] * 2
        assert len(bench.submits()) == 2
        assert bench.ended is None


@pytest.mark.parametrize("line", [b"\n", b" \r\n", b"{}\n", b'{"id":null}\n'])
async def test_a_flood_of_lines_is_read_at_a_bounded_rate(line: bytes) -> None:
    async with mining() as (bench, _):
        events = len(bench.events)
        bench.stream.feed(line * 20_000 + notify((0, "after the flood")))
        await bench.clock.advance((20_000 - LINES_AT_ONCE) / LINES_PER_SECOND)
        assert len(bench.events) == events
        await bench.clock.advance(2)
        assert len(bench.events) == events + 1
        assert bench.ended is None


async def test_a_flood_of_jobs_is_read_at_a_bounded_rate() -> None:
    async with mining() as (bench, _):
        for number in range(400):
            bench.stream.feed(notify((0, f"job {number}")))
        await bench.clock.advance(10)
        assert 50 < len(bench.jobs()) <= 2 + (LINES_AT_ONCE + 10 * LINES_PER_SECOND) / JOB_LINES
        await bench.clock.advance(20)
        assert bench.jobs()[-1].id == "job 399"


async def test_same_header_and_nonce_is_never_sent_twice() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        again = await bench.job(notify((0, "another id")))
        bench.session.submit(solution(again))
        assert len(bench.submits()) == 1
        assert bench.outcomes() == [Outcome.DUPLICATE]


@pytest.mark.parametrize("headers", [1, KEPT_NONCES * 2])
def test_remembered_nonces_are_bounded_also_under_one_header(headers: int) -> None:
    sent = SentNonces()
    for nonce in range(KEPT_NONCES + 10):
        assert sent.add((nonce % headers).to_bytes(32), nonce)
    assert len(sent._sent) == KEPT_NONCES
    newest = KEPT_NONCES + 9
    assert not sent.add((newest % headers).to_bytes(32), newest)
    sent.forget((newest % headers).to_bytes(32), newest)
    assert sent.add((newest % headers).to_bytes(32), newest)
    sent.forget(bytes(32), 1 << 63)


async def test_duplicate_names_where_the_first_one_is() -> None:
    async with running() as bench:
        job = await bench.job(SUBSCRIBED + notify())
        for _ in range(2):
            bench.session.submit(solution(job))
        bench.stream.feed(answer(2))
        await settle()
        bench.session.submit(solution(job))
        assert [(verdict.outcome, verdict.text) for verdict in bench.verdicts] == [
            (Outcome.DUPLICATE, "found again; it already waits for the login"),
            (Outcome.DUPLICATE, "found again; it was already sent to this pool"),
        ]
        assert len(bench.submits()) == 1


async def test_unanswered_subscription_ends_the_session() -> None:
    async with running() as bench:
        await bench.clock.advance(Timeouts().login)
        assert isinstance(bench.ended, ConnectionLost)
        assert str(bench.ended) == "no answer to our first request within 30 s"
        assert bench.stream.closed


async def test_unanswered_login_ends_the_session() -> None:
    async with running() as bench:
        bench.stream.feed(SUBSCRIBED)
        await bench.clock.advance(Timeouts().login)
        assert str(bench.ended) == "no answer to the login within 30 s"


async def test_extranonce_subscribe_needs_no_answer() -> None:
    async with running() as bench:
        bench.stream.feed(LOGIN + notify())
        await bench.clock.advance(Timeouts().login + 1)
        assert bench.ended is None


async def test_silence_without_a_new_job_ends_the_session() -> None:
    async with mining() as (bench, _):
        await bench.clock.advance(Timeouts().silence - 1)
        bench.stream.feed(notify())
        await bench.clock.advance(Timeouts().silence - 1)
        bench.stream.feed(call("client.show_message", "still here"))
        await settle()
        assert bench.ended is None
        await bench.clock.advance(1)
        assert isinstance(bench.ended, ConnectionLost)
        assert str(bench.ended) == "no new job for 10 minutes"


async def test_refused_login_is_final() -> None:
    async with running() as bench:
        bench.stream.feed(SUBSCRIBED + answer(2, False, [24, "unknown wallet"]))
        await settle()
        assert isinstance(bench.ended, PoolRefused)
        assert "unknown wallet; check user and password" in str(bench.ended)


async def test_end_of_the_stream_loses_shares_in_flight() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        bench.stream.end()
        await settle()
        assert isinstance(bench.ended, ConnectionLost)
        assert [(v.outcome, v.text, v.seconds) for v in bench.verdicts] == [
            (Outcome.LOST, "the pool closed the connection", None)
        ]
        late = solution(job, job.nonces.first + 1)
        bench.session.submit(late)
        assert bench.unsent == [late]


async def test_end_of_the_stream_returns_held_solutions() -> None:
    async with running() as bench:
        job = await bench.job(SUBSCRIBED + notify())
        held = solution(job)
        bench.session.submit(held)
        bench.stream.end()
        await settle()
        assert "before it accepted the login" in str(bench.ended)
        assert bench.unsent == [held]
        assert bench.verdicts == []


@pytest.mark.parametrize("accepted", [True, False])
async def test_a_last_line_that_the_pool_did_not_end_counts(accepted: bool) -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        (share,) = bench.submits()
        last = answer(share["id"]) if accepted else answer(share["id"], None, [21, "stale"])
        bench.stream.feed(last.rstrip())
        bench.stream.end()
        await settle()
        assert bench.outcomes() == [Outcome.ACCEPTED if accepted else Outcome.STALE]
        assert "closed the connection" in str(bench.ended)


async def test_a_last_line_that_is_cut_is_ignored() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        before = len(bench.events)
        bench.stream.feed(answer(bench.submits()[0]["id"])[:-4])
        bench.stream.end()
        await settle()
        assert bench.outcomes() == [Outcome.LOST]
        assert bench.events[before:] == []


@pytest.mark.parametrize(
    "text",
    ["Server is busy", "please try again later", "Internal error", "database timeout",
     "maintenance", "node is syncing", "stratum not ready", "the pool is full",
     "mining is suspended for maintenance", "no job available", "backend is down",
     "502 Bad Gateway", "wallet daemon offline", "could not verify the wallet",
     "Max connections reached", "error", "unexpected error"],
)  # fmt: skip
@pytest.mark.parametrize("number", [1, 2], ids=["subscribe", "authorize"])
async def test_a_login_refused_for_a_reason_that_passes_is_retried(number: int, text: str) -> None:
    async with running() as bench:
        bench.stream.feed(answer(number, None, [20, text]))
        await settle()
        assert isinstance(bench.ended, ConnectionLost)
        faulty = "error" in text.lower()
        assert bench.ended.cause is (Cause.POOL_FAULT if faulty else Cause.LOGIN_LATER)
        assert text in str(bench.ended)


@pytest.mark.parametrize(
    "text",
    ["Invalid address, try again", "wrong password", "unknown wallet", "please register",
     "use version 2.0 or later", "the full worker name, please", "no such user, try again",
     "internal workers only", "no worker name", "wallet not found", "unexpected worker format",
     "could not verify the address: invalid checksum", "cannot load the account: unknown user"],
)  # fmt: skip
async def test_a_login_refused_for_what_it_contains_is_final(text: str) -> None:
    async with running() as bench:
        bench.stream.feed(answer(2, None, [20, text]))
        await settle()
        assert isinstance(bench.ended, PoolRefused)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"x" * 70_000, ProtocolError), (b"x\n" * 21, ProtocolError)]
)
async def test_protocol_error_ends_the_session(data: bytes, kind: type[PoolError]) -> None:
    async with running() as bench:
        bench.stream.feed(data)
        await settle()
        assert isinstance(bench.ended, kind)
        assert bench.stream.closed


async def test_connection_error_ends_the_session() -> None:
    async with running() as bench:
        bench.stream.breaks(ConnectionLost("the connection broke: reset"))
        await settle()
        assert str(bench.ended) == "the connection broke: reset"


async def test_messages_are_reported_and_requests_answered() -> None:
    async with running() as bench:
        bench.stream.say(
            {"id": None, "method": "client.show_message", "params": ["hello"]},
            {"id": 5, "method": "mining.ping", "params": []},
        )
        await settle()
        assert bench.events == [Message("hello")]
        assert bench.stream.requests()[-1]["result"] == "pong"


async def test_drained_waits_for_the_last_answer() -> None:
    async with running() as bench:
        await bench.session.drained()
        job = await bench.login()
        bench.session.submit(solution(job))
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(bench.session.drained())
            await settle()
            assert not waiting.done()
            bench.stream.feed(answer(bench.submits()[0]["id"]))
        assert bench.outcomes() == [Outcome.ACCEPTED]


async def test_leave_ends_the_session_with_its_reason() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        bench.session.leave("the first pool is back")
        await settle()
        assert bench.ended == "the first pool is back"
        assert [(v.outcome, v.text) for v in bench.verdicts] == [
            (Outcome.LOST, "the first pool is back")
        ]
        assert bench.stream.closed


async def test_shares_in_flight_are_lost_when_the_miner_stops() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
    assert [(v.outcome, v.text) for v in bench.verdicts] == [(Outcome.LOST, "the miner stopped")]
    assert bench.stream.closed


async def test_error_of_the_listener_is_not_a_lost_connection() -> None:
    class BrokenListener(Bench):
        def on_event(self, event: PoolEvent) -> None:
            raise ZeroDivisionError

    bench = BrokenListener()
    bench.stream.feed(LOGIN)
    with pytest.raises(ExceptionGroup):
        await bench.session.run()
    assert bench.stream.closed


async def test_lines_before_a_line_that_ends_the_session_count() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        (request,) = bench.submits()
        bench.stream.feed(answer(request["id"]) + b"x" * 65_530 + b"x" * 10)
        await settle()
        assert bench.outcomes() == [Outcome.ACCEPTED]
        assert isinstance(bench.ended, ProtocolError)


@pytest.mark.parametrize(
    ("height", "outcome"), [(1866617, Outcome.INVALID), (1866618, Outcome.STALE)]
)
async def test_refusal_without_reason_is_stale_after_the_height_changed(
    height: int, outcome: Outcome
) -> None:
    async with running() as bench:
        bench.session.submit(solution(await bench.login()))
        (request,) = bench.submits()
        bench.stream.feed(notify((5, height)) + answer(request["id"], False))
        await settle()
        assert bench.outcomes() == [outcome]


async def test_all_shares_in_flight_are_remembered() -> None:
    async with mining() as (bench, job):
        for number in range(KEPT_REQUESTS + 100):
            bench.session.submit(solution(job, job.nonces.first + number))
        for request in bench.submits():
            bench.stream.feed(answer(request["id"]))
        await settle()
        assert bench.outcomes() == [Outcome.ACCEPTED] * (KEPT_REQUESTS + 100)


async def test_three_unanswered_shares_in_silence_end_the_session() -> None:
    async with mining() as (bench, job):
        for number in range(3):
            bench.session.submit(solution(job, job.nonces.first + number))
        await bench.clock.advance(Timeouts().answer)
        assert isinstance(bench.ended, ConnectionLost)
        assert "silent" in str(bench.ended)
        assert bench.outcomes() == [Outcome.LOST] * 3


async def unanswered(bench: Bench, job: Job, numbers: range) -> None:
    """Submit an unanswered share for each of `numbers`, with a job after each."""
    for number in numbers:
        bench.session.submit(solution(job, job.nonces.first + number))
        await bench.clock.advance(Timeouts().answer)
        bench.stream.feed(notify())
        await settle()


async def test_ten_unanswered_shares_in_a_row_end_the_session() -> None:
    async with mining() as (bench, job):
        await unanswered(bench, job, range(UNANSWERED_SHARES - 1))
        assert bench.ended is None
        await unanswered(bench, job, range(UNANSWERED_SHARES, UNANSWERED_SHARES + 1))
        assert isinstance(bench.ended, ConnectionLost)
        assert str(bench.ended) == "the pool ignores shares: 10 in a row got no answer"
        assert bench.outcomes() == [Outcome.LOST] * UNANSWERED_SHARES


@pytest.mark.parametrize("late", [False, True])
async def test_any_answer_to_a_share_resets_the_count(late: bool) -> None:
    async with mining() as (bench, job):
        await unanswered(bench, job, range(UNANSWERED_SHARES - 1))
        if not late:
            bench.session.submit(solution(job, job.nonces.first + 50))
        bench.stream.feed(answer(bench.submits()[-1]["id"]))
        await settle()
        await unanswered(bench, job, range(100, 100 + UNANSWERED_SHARES - 1))
        assert bench.ended is None


async def test_immediate_answer_is_handled() -> None:
    async with mining() as (bench, job):
        bench.stream.feed(call("client.show_message", "a message that wakes the reader"))
        bench.session.submit(solution(job))
        bench.stream.feed(answer(bench.submits()[0]["id"]))
        await settle()
        assert bench.ended is None
        assert bench.outcomes() == [Outcome.ACCEPTED]


async def test_three_unauthorized_shares_in_a_row_end_the_session() -> None:
    async with mining() as (bench, job):
        for number in range(UNAUTHORIZED_SHARES):
            assert bench.ended is None
            bench.session.submit(solution(job, job.nonces.first + number))
            refusal = [24, "Unauthorized worker"]
            bench.stream.feed(answer(bench.submits()[-1]["id"], None, refusal))
            await settle()
        assert isinstance(bench.ended, ConnectionLost)
        assert "Unauthorized worker" in str(bench.ended)
        assert bench.outcomes() == [Outcome.UNAUTHORIZED] * UNAUTHORIZED_SHARES


async def test_unauthorized_shares_between_accepted_ones_are_tolerated() -> None:
    async with mining() as (bench, job):
        for number in range(4 * UNAUTHORIZED_SHARES):
            bench.session.submit(solution(job, job.nonces.first + number))
            refusal = [24, "Unauthorized worker"] if number % UNAUTHORIZED_SHARES else None
            result = None if refusal else True
            bench.stream.feed(answer(bench.submits()[-1]["id"], result, refusal))
            await settle()
        assert bench.ended is None


async def test_answers_that_waited_while_the_process_was_suspended_count() -> None:
    async with mining() as (bench, job):
        for number in range(3):
            bench.session.submit(solution(job, job.nonces.first + number))
        for _ in range(2):
            await bench.clock.suspend(3600.0)
        assert (bench.verdicts, bench.ended) == ([], None)
        for request in bench.submits():
            bench.stream.feed(answer(request["id"]))
        await settle()
        assert bench.outcomes() == [Outcome.ACCEPTED] * 3
        await bench.clock.suspend(2 * Timeouts().silence)
        bench.stream.feed(notify())
        await bench.clock.advance(Timeouts().silence - 1)
        assert bench.ended is None


async def test_a_login_that_was_answered_while_the_process_was_suspended_counts() -> None:
    async with running() as bench:
        await bench.clock.suspend(3600.0)
        await bench.login()
        await bench.clock.advance(Timeouts().login)
        assert bench.ended is None


async def test_a_share_without_an_answer_is_lost_soon_after_the_process_was_suspended() -> None:
    async with mining() as (bench, job):
        bench.session.submit(solution(job))
        await bench.clock.suspend(3600.0)
        await bench.clock.advance(CATCH_UP_SECONDS)
        assert bench.outcomes() == [Outcome.LOST]

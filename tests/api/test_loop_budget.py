"""Budgets of the event loop's time: each address has its part, probes have their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from miner.api.connection_limits import HttpConnection, ReaderTurns
from miner.api.loop_budget import (
    PROBES,
    LoopBudget,
    LoopBudgets,
    LoopLimits,
    metered,
)
from tests.api.conftest import Serve, held_back, refused
from tests.fakes.clock import FakeClock, settle
from tests.panels.rigs import ManualClock

LIMITS = LoopLimits(per_second=0.2, burst=2.0)

NONE = LoopLimits(per_second=1e-9, burst=1e-8)
"""Nothing is left after the first request."""


def admitted(budget: LoopBudget, address: str, cost: float, most: int = 1000) -> int:
    """Return how many requests of `cost` seconds `address` may send at once."""
    for count in range(most):
        if budget.seconds_to_wait(address):
            return count
        budget.charge(address, cost)
    return most


def test_one_address_may_use_its_largest_part() -> None:
    clock = ManualClock()
    budget = LoopBudget(LIMITS, clock)
    assert admitted(budget, "a", 0.1) == pytest.approx(10, abs=1)
    assert budget.seconds_to_wait("a") > 0
    clock.move(budget.seconds_to_wait("a"))
    assert budget.seconds_to_wait("a") == pytest.approx(0.0, abs=1e-9)


def test_costly_requests_use_the_budget_faster_than_cheap_ones() -> None:
    budget = LoopBudget(LIMITS, ManualClock())
    assert admitted(budget, "a", 0.2) * 10 == pytest.approx(admitted(budget, "b", 0.01), rel=0.6)


def test_an_address_that_asks_little_is_served_while_others_ask_too_much() -> None:
    budget = LoopBudget(LIMITS, ManualClock())
    for number in range(50):
        admitted(budget, f"greedy {number}", 0.05)
    assert all(budget.seconds_to_wait(f"greedy {number}") for number in range(50))
    assert budget.seconds_to_wait("a") == 0


@pytest.mark.parametrize("addresses", [1, 2, 7, 100])
def test_all_addresses_together_stay_within_the_limits(addresses: int) -> None:
    clock = ManualClock()
    budget, cost, used, seconds = LoopBudget(LIMITS, clock), 0.002, 0.0, 300
    for _ in range(seconds):
        for number in range(addresses):
            count = admitted(budget, str(number), cost, most=200)
            used += count * cost
            # What is refused costs something, too.
            budget.charge(str(number), 0.0002)
        clock.move(1.0)
    assert used <= 1.1 * (LIMITS.burst + LIMITS.per_second * seconds) + addresses * cost


def test_a_silent_address_has_its_whole_part_again() -> None:
    clock = ManualClock()
    budget = LoopBudget(LIMITS, clock)
    budget.charge("a", 1000.0)
    silence = LIMITS.burst / LIMITS.per_second
    assert budget.seconds_to_wait("a") == silence
    clock.move(silence)
    assert budget.seconds_to_wait("a") == 0


async def test_an_address_over_its_budget_gets_the_time_to_wait(serve: Serve) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, readers=NONE))
    for path in ("/api/v1/status", "/metrics", "/", "/nowhere"):
        answer = await refused(service, path)
        assert (answer.status, answer.error.partition(";")[2]) == (429, " ask less often")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_refused_connection_stays_open(serve: Serve) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, readers=NONE))
    wire = await service.wire()
    for _ in range(2):
        wire.send("GET /api/v1/status HTTP/1.1", "Host: localhost")
        answer = await held_back(service, wire.answer())
        assert (answer.status, answer.headers["connection"]) == (429, "keep-alive")
        assert (await wire.get("/livez")).status == 200


async def test_pipelined_requests_over_the_budget_end_their_connection(serve: Serve) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, readers=NONE))
    wire = await service.wire()
    wire.writer.write(50 * b"GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await held_back(service, wire.answer())
    assert (answer.status, answer.headers["connection"]) == (429, "close")
    assert await wire.ended() == b""


@pytest.mark.parametrize("head", ["HTTP/1.1\r\nConnection: close", "HTTP/1.0"])
async def test_a_refusal_ends_the_connection_that_its_request_would(
    serve: Serve, head: str
) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, readers=NONE))
    wire = await service.wire()
    wire.send(f"GET /api/v1/status {head}", "Host: localhost")
    answer = await held_back(service, wire.answer())
    assert (answer.status, answer.headers["connection"]) == (429, "close")
    assert await wire.ended() == b""


async def test_other_callbacks_run_between_any_two_requests() -> None:
    ran: list[bytes] = []

    class Connection(HttpConnection):
        def __init__(self) -> None:
            """Do without a server."""

        def parse(self, data: bytes) -> None:
            ran.append(data)

    turns = ReaderTurns()
    for number in range(3):
        turns.put(Connection(), b"request %d" % number)
    for _ in range(3):
        await asyncio.sleep(0)
        ran.append(b"other")
    assert ran == [
        b"request 0", b"other", b"request 1", b"other", b"request 2", b"other"
    ]  # fmt: skip


async def test_readers_over_their_budget_do_not_keep_probes_out(serve: Serve) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, readers=NONE))
    assert (await refused(service, "/api/v1/status")).status == 429
    for path in PROBES:
        assert (await service.get(path)).status == 200


async def test_probes_have_a_budget_too(serve: Serve) -> None:
    service = await serve(budgets=lambda clock: LoopBudgets(clock, probers=NONE))
    assert (await refused(service, "/livez")).status == 429
    assert (await service.get("/api/v1/status")).status == 200


async def test_what_a_request_costs_is_charged_to_its_address(serve: Serve) -> None:
    budgets: list[LoopBudgets] = []

    def kept(clock: FakeClock) -> LoopBudgets:
        budgets.append(LoopBudgets(clock))
        return budgets[0]

    service = await serve(budgets=kept)
    for _ in range(20):
        await service.get("/api/v1/status")
    assert budgets[0].readers._level("127.0.0.1") > 0
    assert budgets[0].probes._level("127.0.0.1") == 0


class CountingBudget(LoopBudget):
    """Keeps each charge."""

    def __init__(self, limits: LoopLimits, clock: ManualClock) -> None:
        super().__init__(limits, clock)
        self.charged: list[float] = []

    def charge(self, address: str, seconds: float) -> None:
        self.charged.append(seconds)


async def test_metering_changes_neither_results_nor_errors_nor_cancellation() -> None:
    budget = CountingBudget(LIMITS, ManualClock())

    async def metering(waiting: Awaitable[object]) -> object:
        return await metered(waiting.__await__(), budget, "a")

    async def works() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    async def cleans_up() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cleaned up")

    async def survives() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "cancelled"

    assert await metering(works()) == "done"
    assert len(budget.charged) == 4
    assert min(budget.charged) >= 0
    with pytest.raises(KeyError):
        await metering(fails())
    ended: list[str] = []
    steps = metered(cleans_up().__await__(), budget, "a")
    steps.send(None)
    steps.close()
    assert ended == ["cleaned up"]
    task = asyncio.ensure_future(metering(survives()))
    await settle()
    task.cancel()
    assert await task == "cancelled"

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from miner.stratum.share_rules import ShareJudged
from miner.testpool.fault_injector import GARBAGE_LINES
from miner.testpool.faults import FAULTS, Chaos, Fault, Script, make_fault
from miner.testpool.server_events import ClientJoined, ClientLeft, FaultInjected, HeightAdvanced
from tests.testpool.running_pool import SECONDS, Client, RunningPool, running
from tests.testpool.standins import make_chain, nonce_between

AFTER = 1.0


def fault(do: str, **arguments: Any) -> Fault:
    return make_fault(do, arguments)


@asynccontextmanager
async def with_faults(*faults: Fault, **options: Any) -> AsyncIterator[tuple[RunningPool, Client]]:
    """A pool that injects `faults`, one second apart, into a client that has logged in."""
    script = Script([(AFTER, fault) for fault in faults])
    async with running(faults=script, **options) as pool:
        client = await pool.connect()
        await client.login()
        yield pool, client


async def injected(pool: RunningPool, seconds: float = AFTER) -> FaultInjected:
    """Return the next fault after `seconds`."""
    await due(pool, seconds)
    return await pool.event(FaultInjected)


async def due(pool: RunningPool, seconds: float) -> None:
    """Wait until a task sleeps for `seconds`, then advance the clock by as much."""
    async with asyncio.timeout(SECONDS):
        while not pool.clock.sleepers_due_in(seconds):
            await asyncio.sleep(0)
    await pool.clock.advance(seconds)


async def submit(pool: RunningPool, client: Client, nonce: int) -> Any:
    share = client.share(pool.chain.template, client.first + nonce)
    return await client.call("mining.submit", *share)


async def test_cut() -> None:
    async with with_faults(fault("cut"), fault("refresh")) as (pool, client):
        assert (await injected(pool)).fault.name == "cut"
        assert await client.line() is None
        assert (await pool.event(ClientLeft)).reason == "cut by an injected fault"
        again = await pool.connect()
        await again.login()
        assert (await injected(pool)).fault.name == "refresh"


async def test_delay() -> None:
    async with with_faults(fault("delay", seconds=7)) as (pool, client):
        await injected(pool)
        number = client.ask("mining.submit", *client.share(pool.chain.template, client.first))
        assert (await pool.event(ShareJudged)).accepted
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(client.answer(number))
            other = await pool.connect()
            await other.call("mining.subscribe")
            assert not answer.done()
            await due(pool, 7)
        assert answer.result()["result"] is True


async def test_half_open() -> None:
    async with with_faults(fault("half_open", seconds=9), block_time=5) as (pool, client):
        await injected(pool)
        client.ask("mining.submit", *client.share(pool.chain.template, client.first))
        await pool.clock.advance(4)
        await pool.event(HeightAdvanced)
        await due(pool, 5)
        assert await client.line() is None
        left = await pool.event(ClientLeft)
        assert left.reason == "left half open by an injected fault"
        assert not any(isinstance(event, ShareJudged) for event in pool.events)


async def test_a_half_open_client_may_close_its_connection() -> None:
    async with with_faults(fault("half_open")) as (pool, client):
        await injected(pool)
        client.writer.close()
        assert (await pool.event(ClientLeft)).reason == "closed by the client"


async def test_garbage() -> None:
    async with with_faults(fault("garbage", lines=7)) as (pool, client):
        await injected(pool)
        lines = [(await client.reader.readline()).rstrip(b"\n") for _ in range(7)]
        assert lines == [*GARBAGE_LINES, GARBAGE_LINES[0]]
        assert await submit(pool, client, 1) is True


async def test_overlong_line() -> None:
    async with with_faults(fault("overlong", bytes=70_000)) as (pool, client):
        await injected(pool)
        assert await client.reader.readexactly(70_001) == b"x" * 70_000 + b"\n"
        assert await submit(pool, client, 1) is True


async def test_duplicate_job() -> None:
    async with with_faults(fault("duplicate_job")) as (pool, client):
        template = pool.chain.template
        await injected(pool)
        name, header, *_, clean, height, _ = await client.job()
        assert (header, clean, height) == (template.header_hash.hex(), False, 1000)
        assert name != template.job_id
        share = list(client.share(template, client.first))
        share[1] = name
        assert await client.call("mining.submit", *share) is True
        assert await submit(pool, client, 0) == [22, "duplicate share"]


@pytest.mark.parametrize(
    ("say", "error"),
    [
        ("invalid", [20, "invalid share"]),
        ("stale", [21, "stale share"]),
        ("duplicate", [22, "duplicate share"]),
        ("low difficulty", [23, "low difficulty share"]),
    ],
)
async def test_wrong_answer(say: str, error: list[object]) -> None:
    async with with_faults(fault("wrong_answer", shares=1, say=say)) as (pool, client):
        await injected(pool)
        assert await submit(pool, client, 1) == error
        judged = await pool.event(ShareJudged)
        assert (judged.accepted, judged.code) == (True, 0)
        assert await submit(pool, client, 2) is True


async def test_wrong_answers_apply_to_good_shares_only() -> None:
    async with with_faults(fault("wrong_answer", say="stale")) as (pool, client):
        assert await submit(pool, client, 1) is True
        await injected(pool)
        assert await submit(pool, client, 1) == [22, "duplicate share"]
        assert await submit(pool, client, 2) == [21, "stale share"]


async def test_swallow() -> None:
    async with with_faults(fault("swallow", shares=1)) as (pool, client):
        await injected(pool)
        job = pool.chain.template
        lost = client.ask("mining.submit", *client.share(job, client.first))
        assert (await pool.event(ShareJudged)).accepted
        client.last_id = lost
        assert await submit(pool, client, 0) == [22, "duplicate share"]
        assert client.notices == []


async def test_vardiff_storm() -> None:
    chain = make_chain(share_target=2**250)
    async with with_faults(fault("vardiff_storm", steps=4), chain=chain) as (pool, client):
        job = chain.template
        await injected(pool)
        jobs = [await client.job() for _ in range(4)]
        assert [int(params[3], 16) for params in jobs] == [2**252, 2**248, 2**254, 2**250]
        assert {params[1] for params in jobs} == {job.header_hash.hex()}
        assert len({params[0] for params in jobs}) == 4
        between = nonce_between(job.header_hash, client.first, 2**248, 2**250)
        share = list(client.share(job, between))
        share[1] = jobs[1][0]
        assert (await client.call("mining.submit", *share))[0] == 23
        share = list(client.share(job, nonce_between(job.header_hash, between + 1, 0, 2**252)))
        share[1] = jobs[0][0]
        assert await client.call("mining.submit", *share) is True


async def test_vardiff_storm_with_pauses() -> None:
    storm = fault("vardiff_storm", steps=2, seconds=3)
    async with with_faults(storm, chain=make_chain(share_target=2**250)) as (pool, client):
        await injected(pool)
        assert int((await client.job())[3], 16) == 2**252
        await due(pool, 3)
        assert int((await client.job())[3], 16) == 2**250


@pytest.mark.parametrize(
    ("do", "clean", "height"),
    [("clean_job", True, 1001), ("unclean_job", False, 1001), ("refresh", False, 1000)],
)
async def test_jobs(do: str, clean: bool, height: int) -> None:
    async with with_faults(fault(do)) as (pool, client):
        header = pool.chain.template.header_hash.hex()
        await injected(pool)
        job = await client.job()
        assert job[4:6] == [clean, height]
        assert job[1] != header


async def test_extranonce() -> None:
    async with with_faults(fault("extranonce")) as (pool, client):
        old = client.first
        assert (await injected(pool)).skipped == ""
        job = pool.chain.template
        name = (await client.job())[0]
        share = list(client.share(job, old))
        assert await client.call("mining.submit", *share) is True
        share[1] = name
        share[2] = f"0x{old + 1:016x}"
        assert await client.call("mining.submit", *share) == [24, "nonce out of worker range"]
        share = list(client.share(job, 2 << 48))
        share[1] = name
        assert await client.call("mining.submit", *share) is True


async def test_extranonce_is_skipped_when_none_is_left() -> None:
    async with with_faults(fault("extranonce"), extranonce_bytes=0) as (pool, client):
        assert (await injected(pool)).skipped.startswith("not possible now")
        assert await submit(pool, client, 0) is True


async def test_ban() -> None:
    async with with_faults(fault("ban", seconds=30)) as (pool, client):
        await injected(pool)
        reply = await client.line()
        assert reply is not None
        assert reply["error"] == [24, "w is banned for 30 s"]
        assert await client.line() is None
        assert (await pool.event(ClientLeft)).reason == "banned by an injected fault"
        again = await pool.connect()
        await again.call("mining.subscribe")
        assert await again.call("mining.authorize", "w") == [24, "w is banned for 30 s more"]
        other = await pool.connect()
        await other.login("v")
        await pool.clock.advance(30)
        assert await again.call("mining.authorize", "w") is True


async def test_reconnect() -> None:
    async with with_faults(fault("reconnect", wait=2)) as (pool, client):
        await injected(pool)
        message = await client.line()
        assert message is not None
        assert message["method"] == "client.reconnect"
        assert message["params"] == ["127.0.0.1", pool.server.port, 2]


async def test_another_algorithm_makes_a_block_and_ours_the_next() -> None:
    script = Script([(AFTER, fault("other_algorithm", seconds=7, name="cuckoo"))])
    login = {"login": "w", "pass": "x", "agent": "test/1"}
    request = {"id": 1, "jsonrpc": "2.0", "method": "login", "params": login}
    async with running(protocol="epic", faults=script) as pool:
        client = await pool.connect()
        client.writer.write(json.dumps(request).encode() + b"\n")
        assert not (await injected(pool)).skipped
        await due(pool, 7)
        _, *pushed = [await client.line() for _ in range(3)]
    jobs = [message["params"] for message in pushed if message]
    assert [(job["height"], job["algorithm"]) for job in jobs] == [
        (1001, "cuckoo"),
        (1002, "progpow"),
    ]


async def test_faults_that_a_dialect_cannot_express_are_skipped() -> None:
    skipped = ("reconnect", "extranonce", "other_algorithm")
    script = Script([(AFTER, fault(name)) for name in skipped])
    async with running(faults=script) as pool:
        client = await pool.connect()
        client.ask("eth_submitLogin", "w", "x")
        for _ in skipped:
            assert (await injected(pool)).skipped


async def test_a_pool_survives_chaos_with_every_fault() -> None:
    async with running(faults=Chaos(6000, seed=3)) as pool:
        for i in range(30):
            client = await pool.connect()
            client.ask("mining.subscribe", "test/1")
            client.ask("mining.authorize", f"w{i}", "x")
            await pool.event(ClientJoined)
        seen: set[str] = set()
        async with asyncio.timeout(SECONDS):
            while seen < set(FAULTS):
                await pool.clock.advance(0.01)
                seen.add((await pool.event(FaultInjected)).fault.name)
        quiet = await pool.connect()
        assert (await quiet.call("mining.subscribe"))[0] is None

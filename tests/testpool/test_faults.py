from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from miner.stratum.share_rules import ShareJudged
from miner.testpool.fault_injector import RUBBISH, FaultCommitted
from miner.testpool.faults import KINDS, Chaos, Fault, Script, make_fault
from miner.testpool.pool_server import ClientJoined, ClientLeft, HeightAdvanced
from tests.testpool.ground import make_chain, nonce_between
from tests.testpool.running import Client, Ground, running

AFTER = 1.0


def fault(do: str, **arguments: Any) -> Fault:
    return make_fault(do, arguments)


@asynccontextmanager
async def troubled(*faults: Fault, **options: Any) -> AsyncIterator[tuple[Ground, Client]]:
    """A pool that commits `faults` one second apart on a client that is logged in."""
    script = Script([(AFTER, fault) for fault in faults])
    async with running(mischief=script, **options) as ground:
        client = await ground.connect()
        await client.login()
        yield ground, client


async def committed(ground: Ground, seconds: float = AFTER) -> FaultCommitted:
    """Let the next fault happen."""
    await due(ground, seconds)
    return await ground.event(FaultCommitted)


async def due(ground: Ground, seconds: float) -> None:
    """Wait until somebody sleeps for so long, and let that time pass."""
    async with asyncio.timeout(5):
        while not ground.clock.sleepers_due_in(seconds):
            await asyncio.sleep(0)
    ground.clock.advance(seconds)


async def submit(ground: Ground, client: Client, nonce: int) -> Any:
    share = client.share(ground.chain.template, client.first + nonce)
    return await client.call("mining.submit", *share)


async def test_cut() -> None:
    async with troubled(fault("cut"), fault("refresh")) as (ground, client):
        assert (await committed(ground)).fault.do == "cut"
        assert await client.line() is None
        assert (await ground.event(ClientLeft)).reason == "the pool cut it on purpose"
        again = await ground.connect()
        await again.login()
        assert (await committed(ground)).fault.do == "refresh"


async def test_delay() -> None:
    async with troubled(fault("delay", seconds=7)) as (ground, client):
        await committed(ground)
        number = client.ask("mining.submit", *client.share(ground.chain.template, client.first))
        assert (await ground.event(ShareJudged)).accepted
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(client.answer(number))
            other = await ground.connect()
            await other.call("mining.subscribe")
            assert not answer.done()
            await due(ground, 7)
        assert answer.result()["result"] is True


async def test_half_open() -> None:
    async with troubled(fault("half_open", seconds=9), block_time=5) as (ground, client):
        await committed(ground)
        client.ask("mining.submit", *client.share(ground.chain.template, client.first))
        ground.clock.advance(4)
        await ground.event(HeightAdvanced)
        await due(ground, 5)
        assert await client.line() is None
        left = await ground.event(ClientLeft)
        assert left.reason == "the pool left it half open on purpose"
        assert not any(isinstance(event, ShareJudged) for event in ground.events)


async def test_a_half_open_client_that_leaves() -> None:
    async with troubled(fault("half_open")) as (ground, client):
        await committed(ground)
        client.writer.close()
        assert (await ground.event(ClientLeft)).reason == "it closed the connection"


async def test_garbage() -> None:
    async with troubled(fault("garbage", lines=7)) as (ground, client):
        await committed(ground)
        lines = [(await client.reader.readline()).rstrip(b"\n") for _ in range(7)]
        assert lines == [*RUBBISH, RUBBISH[0]]
        assert await submit(ground, client, 1) is True


async def test_overlong_line() -> None:
    async with troubled(fault("overlong", bytes=70_000)) as (ground, client):
        await committed(ground)
        assert await client.reader.readexactly(70_001) == b"x" * 70_000 + b"\n"
        assert await submit(ground, client, 1) is True


async def test_duplicate_job() -> None:
    async with troubled(fault("duplicate_job")) as (ground, client):
        template = ground.chain.template
        await committed(ground)
        name, header, *_, clean, height, _ = await client.job()
        assert (header, clean, height) == (template.header_hash.hex(), False, 1000)
        assert name != template.job_id
        share = list(client.share(template, client.first))
        share[1] = name
        assert await client.call("mining.submit", *share) is True
        assert await submit(ground, client, 0) == [22, "duplicate share"]


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
    async with troubled(fault("wrong_answer", shares=1, say=say)) as (ground, client):
        await committed(ground)
        assert await submit(ground, client, 1) == error
        judged = await ground.event(ShareJudged)
        assert (judged.accepted, judged.code) == (True, 0)
        assert await submit(ground, client, 2) is True


async def test_a_bad_share_is_still_called_what_it_is() -> None:
    async with troubled(fault("wrong_answer", say="stale")) as (ground, client):
        assert await submit(ground, client, 1) is True
        await committed(ground)
        assert await submit(ground, client, 1) == [22, "duplicate share"]
        assert await submit(ground, client, 2) == [21, "stale share"]


async def test_swallow() -> None:
    async with troubled(fault("swallow", shares=1)) as (ground, client):
        await committed(ground)
        job = ground.chain.template
        lost = client.ask("mining.submit", *client.share(job, client.first))
        assert (await ground.event(ShareJudged)).accepted
        client.last_id = lost
        assert await submit(ground, client, 0) == [22, "duplicate share"]
        assert client.notices == []


async def test_vardiff_storm() -> None:
    chain = make_chain(share_target=2**250)
    async with troubled(fault("vardiff_storm", steps=4), chain=chain) as (ground, client):
        job = chain.template
        await committed(ground)
        told = [await client.job() for _ in range(4)]
        assert [int(params[3], 16) for params in told] == [2**252, 2**248, 2**254, 2**250]
        assert {params[1] for params in told} == {job.header_hash.hex()}
        assert len({params[0] for params in told}) == 4
        between = nonce_between(job.header_hash, client.first, 2**248, 2**250)
        share = list(client.share(job, between))
        share[1] = told[1][0]
        assert (await client.call("mining.submit", *share))[0] == 23
        share = list(client.share(job, nonce_between(job.header_hash, between + 1, 0, 2**252)))
        share[1] = told[0][0]
        assert await client.call("mining.submit", *share) is True


async def test_a_slow_vardiff_storm() -> None:
    storm = fault("vardiff_storm", steps=2, seconds=3)
    async with troubled(storm, chain=make_chain(share_target=2**250)) as (ground, client):
        await committed(ground)
        assert int((await client.job())[3], 16) == 2**252
        await due(ground, 3)
        assert int((await client.job())[3], 16) == 2**250


@pytest.mark.parametrize(
    ("do", "clean", "height"),
    [("clean_job", True, 1001), ("unclean_job", False, 1001), ("refresh", False, 1000)],
)
async def test_jobs(do: str, clean: bool, height: int) -> None:
    async with troubled(fault(do)) as (ground, client):
        header = ground.chain.template.header_hash.hex()
        await committed(ground)
        job = await client.job()
        assert job[4:6] == [clean, height]
        assert job[1] != header


async def test_extranonce() -> None:
    async with troubled(fault("extranonce")) as (ground, client):
        old = client.first
        assert (await committed(ground)).skipped == ""
        job = ground.chain.template
        name = (await client.job())[0]
        share = list(client.share(job, old))
        assert await client.call("mining.submit", *share) is True
        share[1] = name
        share[2] = f"0x{old + 1:016x}"
        assert await client.call("mining.submit", *share) == [24, "nonce out of worker range"]
        share = list(client.share(job, 2 << 48))
        share[1] = name
        assert await client.call("mining.submit", *share) is True


async def test_extranonce_when_none_is_left() -> None:
    async with troubled(fault("extranonce"), extranonce_bytes=0) as (ground, client):
        assert (await committed(ground)).skipped.startswith("there is no way for it now")
        assert await submit(ground, client, 0) is True


async def test_ban() -> None:
    async with troubled(fault("ban", seconds=30)) as (ground, client):
        await committed(ground)
        reply = await client.line()
        assert reply is not None
        assert reply["error"] == [24, "w is banned for 30 s"]
        assert await client.line() is None
        assert (await ground.event(ClientLeft)).reason == "the pool banned it on purpose"
        again = await ground.connect()
        await again.call("mining.subscribe")
        assert await again.call("mining.authorize", "w") == [24, "w is banned for 30 s more"]
        other = await ground.connect()
        await other.login("v")
        ground.clock.advance(30)
        assert await again.call("mining.authorize", "w") is True


async def test_reconnect() -> None:
    async with troubled(fault("reconnect", wait=2)) as (ground, client):
        await committed(ground)
        message = await client.line()
        assert message is not None
        assert message["method"] == "client.reconnect"
        assert message["params"] == ["127.0.0.1", ground.server.port, 2]


async def test_faults_that_a_dialect_has_no_way_for() -> None:
    script = Script([(AFTER, fault("reconnect")), (AFTER, fault("extranonce"))])
    async with running(mischief=script) as ground:
        client = await ground.connect()
        client.ask("eth_submitLogin", "w", "x")
        for _ in range(2):
            assert (await committed(ground)).skipped


async def test_a_pool_outlives_chaos_of_every_kind() -> None:
    async with running(mischief=Chaos(6000, seed=3)) as ground:
        for i in range(30):
            client = await ground.connect()
            client.ask("mining.subscribe", "test/1")
            client.ask("mining.authorize", f"w{i}", "x")
            await ground.event(ClientJoined)
        seen: set[str] = set()
        async with asyncio.timeout(10):
            while seen < set(KINDS):
                ground.clock.advance(0.01)
                seen.add((await ground.event(FaultCommitted)).fault.do)
        quiet = await ground.connect()
        assert (await quiet.call("mining.subscribe"))[0] is None

from __future__ import annotations

import asyncio
import socket

import pytest

from miner.errors import BadValue, ConfigError
from miner.progpow.epoch import Epoch
from miner.progpow.variant import Variant
from miner.stratum.share_rules import BlockFound, ShareJudged
from miner.testpool.pool_server import (
    DRAIN_SECONDS,
    MAX_CLIENTS,
    ClientJoined,
    ClientLeft,
    HeightAdvanced,
    PoolServer,
)
from tests.testpool.ground import (
    ANY_HASH,
    HandClock,
    final_of,
    make_chain,
    nonce_between,
    prove,
    seed_of,
)
from tests.testpool.running import Client, Ground, running


async def test_a_share_from_the_login_to_the_answer() -> None:
    async with running() as ground:
        client = await ground.connect()
        job = await client.login("RWallet.rig1")
        template = ground.chain.template
        assert job == [
            template.job_id,
            template.header_hash.hex(),
            seed_of(0).hex(),
            "f" * 64,
            True,
            1000,
            "01010000",
        ]
        assert (await ground.event(ClientJoined)).worker == "RWallet.rig1"
        share = client.share(template, client.first + 9, "RWallet.rig1")
        assert await client.call("mining.submit", *share) is True
        judged = await ground.event(ShareJudged)
        assert (judged.worker, judged.accepted, judged.height) == ("RWallet.rig1", True, 1000)
        assert await client.call("mining.submit", *share) == [22, "duplicate share"]
        assert (await ground.event(ShareJudged)).code == 22
        await client.close()
        left = await ground.event(ClientLeft)
        assert (left.worker, left.reason) == ("RWallet.rig1", "it closed the connection")


async def test_every_client_has_a_prefix_of_its_own_even_after_others_left() -> None:
    async with running() as ground:
        prefixes = []
        for _ in range(3):
            client = await ground.connect()
            await client.login()
            prefixes.append(client.prefix)
            await client.close()
            await ground.event(ClientLeft)
        one, two = await ground.connect(), await ground.connect()
        await one.login()
        await two.login()
        prefixes += [one.prefix, two.prefix]
        assert len(set(prefixes)) == 5
        assert {len(prefix) for prefix in prefixes} == {2}
        job = ground.chain.template
        assert await one.call("mining.submit", *one.share(job, one.first + 1)) is True
        assert await two.call("mining.submit", *two.share(job, two.first + 1)) is True
        assert await two.call("mining.submit", *two.share(job, one.first + 2)) == [
            24,
            "nonce out of worker range",
        ]


async def test_prefixes_run_out_rather_than_come_twice() -> None:
    async with running(extranonce_bytes=0) as ground:
        one, two = await ground.connect(), await ground.connect()
        assert await one.call("mining.subscribe") == [None, ""]
        assert await two.call("mining.subscribe") == [20, "no extranonce is left"]


async def test_a_wide_prefix() -> None:
    async with running(extranonce_bytes=4) as ground:
        client = await ground.connect()
        await client.login()
        assert client.prefix == b"\0\0\0\1"


async def test_the_height_advances_with_the_clock() -> None:
    async with running(block_time=30) as ground:
        one, two = await ground.connect(), await ground.connect()
        await one.login()
        await two.login()
        old = ground.chain.template
        ground.clock.advance(29)
        ground.clock.advance(1)
        for client in (one, two):
            assert (await client.job())[4:6] == [True, 1001]
        assert await ground.event(HeightAdvanced) == HeightAdvanced(1001)
        assert await one.call("mining.submit", *one.share(old, one.first)) == [
            21,
            "stale share: height 1000 is over, the chain is at 1001",
        ]
        ground.clock.advance(30)
        assert (await one.job())[5] == 1002


async def test_a_long_height_is_refreshed_each_minute() -> None:
    async with running(block_time=150) as ground:
        client = await ground.connect()
        first = await client.login()
        late = ground.chain.template
        ground.clock.advance(60)
        second = await client.job()
        assert second[4:6] == [False, 1000]
        assert second[:2] != first[:2]
        assert await client.call("mining.submit", *client.share(late, client.first)) is True
        ground.clock.advance(60)
        assert (await client.job())[4:6] == [False, 1000]
        ground.clock.advance(30)
        assert (await client.job())[4:6] == [True, 1001]
        ground.clock.advance(60)
        assert (await client.job())[4:6] == [False, 1001]


async def test_a_block_advances_the_chain_and_restarts_the_clock() -> None:
    chain = make_chain(share_target=ANY_HASH, block_target=2**252)
    async with running(chain, block_time=100) as ground:
        one, two = await ground.connect(), await ground.connect()
        await one.login()
        await two.login()
        job = chain.template
        ground.clock.advance(50)
        nonce = nonce_between(job.header_hash, one.first, 0, job.block_target)
        assert await one.call("mining.submit", *one.share(job, nonce)) is True
        for client in (one, two):
            assert (await client.job())[4:6] == [True, 1001]
        found = await ground.event(BlockFound)
        assert found == BlockFound("w", 1000, nonce, final_of(job.header_hash, nonce))
        assert await ground.event(HeightAdvanced) == HeightAdvanced(1001)
        ground.clock.advance(50)
        assert await one.call("mining.ping") == [20, "Not supported."]
        assert chain.template.height == 1001
        ground.clock.advance(10)
        assert (await two.job())[4:6] == [False, 1001]
        ground.clock.advance(40)
        assert (await two.job())[4:6] == [True, 1002]


class Gate:
    """Proofs that wait until they are let through."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def __call__(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> tuple[bytes, bytes]:
        self.asked.set()
        try:
            async with asyncio.timeout(5):
                await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await prove(variant, epoch, height, header_hash, nonce)


async def test_two_blocks_of_one_height_advance_it_once() -> None:
    gate = Gate()
    chain = make_chain(block_target=ANY_HASH)
    async with running(chain, prove=gate) as ground:
        one, two = await ground.connect(), await ground.connect()
        await one.login()
        await two.login()
        job = chain.template
        asked = []
        for client in (one, two):
            nonce = nonce_between(job.header_hash, client.first, 0, job.block_target)
            asked.append(client.ask("mining.submit", *client.share(job, nonce)))
            await gate.asked.wait()
            gate.asked.clear()
        gate.open.set()
        assert (await one.answer(asked[0]))["result"] is True
        assert (await two.answer(asked[1]))["result"] is True
        await ground.event(BlockFound)
        assert chain.template.height == 1001
        assert not any(isinstance(event, BlockFound) for event in ground.events)


async def test_others_are_served_while_a_share_is_proved() -> None:
    gate = Gate()
    async with running(prove=gate) as ground:
        slow, other = await ground.connect(), await ground.connect()
        await slow.login()
        request_id = slow.ask("mining.submit", *slow.share(ground.chain.template, slow.first))
        await gate.asked.wait()
        await other.login()
        ground.clock.advance(60)
        assert (await slow.job())[4] is False
        gate.open.set()
        assert (await slow.answer(request_id))["result"] is True


async def test_a_client_that_vanishes_while_its_share_is_proved() -> None:
    gate = Gate()
    async with running(prove=gate) as ground:
        client = await ground.connect()
        await client.login()
        client.ask("mining.submit", *client.share(ground.chain.template, client.first))
        await gate.asked.wait()
        linger = client.writer.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.writer.transport.abort()
        gate.open.set()
        assert (await ground.event(ShareJudged)).accepted
        assert (await ground.event(ClientLeft)).worker == "w"
        await (await ground.connect()).login()


async def test_a_client_that_says_all_it_has_to_say_is_still_answered() -> None:
    async with running() as ground:
        client = await ground.connect()
        await client.login()
        request_id = client.ask("mining.submit", *client.share(ground.chain.template, client.first))
        client.writer.write_eof()
        assert (await client.answer(request_id))["result"] is True
        assert await client.line() is None


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"x" * 20000, b"[]\n", b"\0\xff\n"])
async def test_garbage_ends_that_connection_only(line: bytes) -> None:
    async with running() as ground:
        good, bad = await ground.connect(), await ground.connect()
        await good.login()
        bad.writer.write(line)
        left = await ground.event(ClientLeft)
        assert left.worker == ""
        assert "a line is" in left.reason
        reply = await bad.line()
        if reply is not None:  # what was left unread resets the connection, then it may be lost
            assert reply["error"] == [20, left.reason]
            assert await bad.line() is None
        share = good.share(ground.chain.template, good.first)
        assert await good.call("mining.submit", *share) is True


async def test_one_client_too_many() -> None:
    async with running() as ground:
        clients = [await ground.connect() for _ in range(MAX_CLIENTS)]
        await clients[-1].login()
        extra = await ground.connect()
        reply = await extra.line()
        assert reply is not None
        assert reply["error"] == [20, "the pool has its 64 clients already"]
        assert await extra.line() is None
        await clients[0].close()
        await ground.event(ClientLeft)
        await (await ground.connect()).login()


async def deaf(ground: Ground) -> Client:
    """Connect a client for which little is buffered outside the pool, as it reads nothing more."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", ground.server.port))
    client = await ground.connect(narrow)
    await client.login()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return client


async def until_cut_off(ground: Ground, seconds: float) -> None:
    async with asyncio.timeout(15):
        while not any(isinstance(event, ClientLeft) for event in ground.events):
            ground.clock.advance(seconds)
            await asyncio.sleep(0)
    assert (await ground.event(ClientLeft)).reason == "it does not read what it is sent"


async def test_a_client_that_asks_and_never_reads_is_cut_off() -> None:
    async with running() as ground:
        client = await deaf(ground)
        client.writer.write(b'{"id":1,"method":"mining.configure"}\n' * 200_000)
        async with asyncio.timeout(5):
            while not ground.clock.sleepers_due_in(DRAIN_SECONDS):
                await asyncio.sleep(0)
        await until_cut_off(ground, DRAIN_SECONDS / 2)
        await (await ground.connect()).login()


async def test_a_client_that_ignores_its_jobs_is_cut_off() -> None:
    async with running(block_time=1) as ground:
        await deaf(ground)
        await until_cut_off(ground, 1)


async def test_closing_with_clients_and_a_proof_under_way() -> None:
    gate = Gate()
    async with running(prove=gate, block_time=5) as ground:
        clients = [await ground.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.login()
        clients[0].ask("mining.submit", *clients[0].share(ground.chain.template, clients[0].first))
        await gate.asked.wait()
        fresh = await ground.connect()
    assert gate.cancelled
    for client in [*clients, fresh]:
        while await client.line() is not None:
            pass
    left = [event for event in ground.events if isinstance(event, ClientLeft)]
    assert [event.worker for event in left].count("w") == 2
    assert {event.reason for event in left} == {"the pool stops"}
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", ground.server.port)


async def test_serve_runs_until_it_is_cancelled() -> None:
    ground = Ground(make_chain(), None)
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        serving = group.create_task(ground.server.serve())
        while True:
            await asyncio.sleep(0)
            try:
                client = await ground.connect()
            except (ConfigError, OSError):
                continue
            break
        await client.login()
        serving.cancel()
        assert await client.line() is None
    await ground.hang_up()


async def test_a_proof_that_breaks_ends_the_pool() -> None:
    async def broken(*job: object) -> tuple[bytes, bytes]:
        raise ZeroDivisionError

    ground = Ground(make_chain(), None, prove=broken)

    async def mine() -> None:
        async with asyncio.timeout(10), ground.server.listen():
            client = await ground.connect()
            await client.login()
            client.ask("mining.submit", *client.share(ground.chain.template, client.first))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await mine()
    assert caught.group_contains(ZeroDivisionError)
    assert [type(event) for event in ground.events] == [ClientJoined, ClientLeft]
    await ground.hang_up()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "pool.example", "", "127.1"])
async def test_other_hosts_are_not_served(host: str) -> None:
    with pytest.raises(ConfigError, match="this machine alone"):
        await Ground(make_chain(), None).server.serve(host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
async def test_loopback_hosts(host: str) -> None:
    async with Ground(make_chain(), None).server.listen(host) as server:
        assert server.port > 0


async def test_a_port_that_is_taken_or_none() -> None:
    async with running() as ground:
        other = Ground(make_chain(), None).server
        with pytest.raises(ConfigError, match=f"port {ground.server.port}"):
            await other.serve(port=ground.server.port)
        with pytest.raises(ConfigError, match="not listening"):
            _ = other.port
        with pytest.raises(BadValue):
            await other.serve(port=65536)


@pytest.mark.parametrize("block_time", [0, -1, float("inf"), float("nan")])
def test_impossible_block_times(block_time: float) -> None:
    with pytest.raises(BadValue):
        PoolServer(make_chain(), prove, HandClock(), block_time)


@pytest.mark.parametrize("count", [-1, 5])
def test_impossible_prefixes(count: int) -> None:
    with pytest.raises(BadValue):
        PoolServer(make_chain(), prove, HandClock(), None, count)

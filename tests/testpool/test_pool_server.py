from __future__ import annotations

import asyncio
import socket

import pytest

from miner.errors import AddressTaken, BadValue, ConfigError
from miner.progpow.epoch import Epoch
from miner.progpow.hashing import Digest
from miner.progpow.variant import Variant
from miner.stratum.share_rules import BlockFound, ShareJudged
from miner.testpool.pool_server import MAX_CLIENTS, UNREAD_SECONDS, ServerOptions
from miner.testpool.server_events import ClientJoined, ClientLeft, HeightAdvanced
from tests.testpool.running_pool import SECONDS, Client, RunningPool, running
from tests.testpool.standins import (
    ANY_HASH,
    StandInProver,
    final_of,
    make_chain,
    nonce_between,
    seed_of,
)


async def test_a_share_from_the_login_to_the_answer() -> None:
    async with running() as pool:
        client = await pool.connect()
        job = await client.login("RWallet.rig1")
        template = pool.chain.template
        assert job == [
            template.job_id,
            template.header_hash.hex(),
            seed_of(0).hex(),
            "f" * 64,
            True,
            1000,
            "01010000",
        ]
        assert (await pool.event(ClientJoined)).worker == "RWallet.rig1"
        share = client.share(template, client.first + 9, "RWallet.rig1")
        assert await client.call("mining.submit", *share) is True
        judged = await pool.event(ShareJudged)
        assert (judged.worker, judged.accepted, judged.height) == ("RWallet.rig1", True, 1000)
        assert await client.call("mining.submit", *share) == [22, "duplicate share"]
        assert (await pool.event(ShareJudged)).code == 22
        await client.close()
        left = await pool.event(ClientLeft)
        assert (left.worker, left.reason) == ("RWallet.rig1", "closed by the client")


async def test_no_prefix_is_used_twice() -> None:
    async with running() as pool:
        prefixes = []
        for _ in range(3):
            client = await pool.connect()
            await client.login()
            prefixes.append(client.prefix)
            await client.close()
            await pool.event(ClientLeft)
        one, two = await pool.connect(), await pool.connect()
        await one.login()
        await two.login()
        prefixes += [one.prefix, two.prefix]
        assert len(set(prefixes)) == 5
        assert {len(prefix) for prefix in prefixes} == {2}
        job = pool.chain.template
        assert await one.call("mining.submit", *one.share(job, one.first + 1)) is True
        assert await two.call("mining.submit", *two.share(job, two.first + 1)) is True
        assert await two.call("mining.submit", *two.share(job, one.first + 2)) == [
            24,
            "nonce out of worker range",
        ]


async def test_prefixes_run_out() -> None:
    async with running(extranonce_bytes=0) as pool:
        one, two = await pool.connect(), await pool.connect()
        assert await one.call("mining.subscribe") == [None, ""]
        assert await two.call("mining.subscribe") == [20, "no extranonce is left"]


async def test_a_wide_prefix() -> None:
    async with running(extranonce_bytes=4) as pool:
        client = await pool.connect()
        await client.login()
        assert client.prefix == b"\0\0\0\1"


async def test_the_height_advances_with_the_clock() -> None:
    async with running(block_time=30) as pool:
        one, two = await pool.connect(), await pool.connect()
        await one.login()
        await two.login()
        old = pool.chain.template
        await pool.clock.advance(29)
        await pool.clock.advance(1)
        for client in (one, two):
            assert (await client.job())[4:6] == [True, 1001]
        assert await pool.event(HeightAdvanced) == HeightAdvanced(1001)
        assert await one.call("mining.submit", *one.share(old, one.first)) == [
            21,
            "stale share: height 1000 is over, the chain is at 1001",
        ]
        await pool.clock.advance(30)
        assert (await one.job())[5] == 1002


async def test_the_header_is_refreshed_each_minute() -> None:
    async with running(block_time=150) as pool:
        client = await pool.connect()
        first = await client.login()
        late = pool.chain.template
        await pool.clock.advance(60)
        second = await client.job()
        assert second[4:6] == [False, 1000]
        assert second[:2] != first[:2]
        assert await client.call("mining.submit", *client.share(late, client.first)) is True
        await pool.clock.advance(60)
        assert (await client.job())[4:6] == [False, 1000]
        await pool.clock.advance(30)
        assert (await client.job())[4:6] == [True, 1001]
        await pool.clock.advance(60)
        assert (await client.job())[4:6] == [False, 1001]


async def test_a_block_advances_the_chain_and_restarts_the_clock() -> None:
    chain = make_chain(share_target=ANY_HASH, block_target=2**252)
    async with running(chain, block_time=100) as pool:
        one, two = await pool.connect(), await pool.connect()
        await one.login()
        await two.login()
        job = chain.template
        await pool.clock.advance(50)
        nonce = nonce_between(job.header_hash, one.first, 0, job.block_target)
        assert await one.call("mining.submit", *one.share(job, nonce)) is True
        for client in (one, two):
            assert (await client.job())[4:6] == [True, 1001]
        found = await pool.event(BlockFound)
        assert found == BlockFound("w", 1000, nonce, final_of(job.header_hash, nonce))
        assert await pool.event(HeightAdvanced) == HeightAdvanced(1001)
        await pool.clock.advance(50)
        assert await one.call("mining.ping") == [20, "Not supported."]
        assert chain.template.height == 1001
        await pool.clock.advance(10)
        assert (await two.job())[4:6] == [False, 1001]
        await pool.clock.advance(40)
        assert (await two.job())[4:6] == [True, 1002]


class Gate(StandInProver):
    """Proves shares only once it is open."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = False

    async def prove(
        self, variant: Variant, epoch: Epoch, height: int, header_hash: bytes, nonce: int
    ) -> Digest:
        self.asked.set()
        try:
            async with asyncio.timeout(SECONDS):
                await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return await super().prove(variant, epoch, height, header_hash, nonce)


async def test_two_blocks_of_one_height_advance_it_once() -> None:
    gate = Gate()
    chain = make_chain(block_target=ANY_HASH)
    async with running(chain, prover=gate) as pool:
        one, two = await pool.connect(), await pool.connect()
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
        await pool.event(BlockFound)
        assert chain.template.height == 1001
        assert not any(isinstance(event, BlockFound) for event in pool.events)


async def test_other_clients_are_served_while_a_share_is_proved() -> None:
    gate = Gate()
    async with running(prover=gate) as pool:
        slow, other = await pool.connect(), await pool.connect()
        await slow.login()
        request_id = slow.ask("mining.submit", *slow.share(pool.chain.template, slow.first))
        await gate.asked.wait()
        await other.login()
        await pool.clock.advance(60)
        assert (await slow.job())[4] is False
        gate.open.set()
        assert (await slow.answer(request_id))["result"] is True


async def test_a_client_may_vanish_while_its_share_is_proved() -> None:
    gate = Gate()
    async with running(prover=gate) as pool:
        client = await pool.connect()
        await client.login()
        client.ask("mining.submit", *client.share(pool.chain.template, client.first))
        await gate.asked.wait()
        linger = client.writer.get_extra_info("socket")
        linger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.writer.transport.abort()
        gate.open.set()
        assert (await pool.event(ShareJudged)).accepted
        assert (await pool.event(ClientLeft)).worker == "w"
        await (await pool.connect()).login()


async def test_a_client_that_half_closes_is_answered() -> None:
    async with running() as pool:
        client = await pool.connect()
        await client.login()
        request_id = client.ask("mining.submit", *client.share(pool.chain.template, client.first))
        client.writer.write_eof()
        assert (await client.answer(request_id))["result"] is True
        assert await client.line() is None


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n", b"x" * 20000, b"[]\n", b"\0\xff\n"])
async def test_a_malformed_line_ends_only_its_connection(line: bytes) -> None:
    async with running() as pool:
        good, bad = await pool.connect(), await pool.connect()
        await good.login()
        bad.writer.write(line)
        left = await pool.event(ClientLeft)
        assert left.worker == ""
        assert "a line is" in left.reason
        reply = await bad.line()
        if reply is not None:  # what was left unread resets the connection, then it may be lost
            assert reply["error"] == [20, left.reason]
            assert await bad.line() is None
        share = good.share(pool.chain.template, good.first)
        assert await good.call("mining.submit", *share) is True


async def test_a_full_pool_refuses_clients() -> None:
    async with running() as pool:
        clients = [await pool.connect() for _ in range(MAX_CLIENTS)]
        await clients[-1].login()
        extra = await pool.connect()
        reply = await extra.line()
        assert reply is not None
        assert reply["error"] == [20, "the pool is full (64 clients)"]
        assert await extra.line() is None
        await clients[0].close()
        await pool.event(ClientLeft)
        await (await pool.connect()).login()


async def connect_deaf(pool: RunningPool) -> Client:
    """Log in a client that then reads nothing, with a small receive buffer."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    narrow.setblocking(False)
    await asyncio.get_running_loop().sock_connect(narrow, ("127.0.0.1", pool.server.port))
    client = await pool.connect(narrow)
    await client.login()
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    return client


NOT_READING = "the client does not read what it is sent"


async def test_a_client_that_sends_requests_without_reading_is_cut() -> None:
    async with running() as pool:
        client = await connect_deaf(pool)
        client.writer.write(b'{"id":1,"method":"mining.configure"}\n' * 200_000)
        async with asyncio.timeout(SECONDS):
            while not pool.clock.sleepers_due_in(UNREAD_SECONDS):
                await asyncio.sleep(0)
        await pool.clock.advance(UNREAD_SECONDS)
        assert (await pool.event(ClientLeft)).reason == NOT_READING
        await (await pool.connect()).login()


async def test_a_client_that_does_not_read_its_jobs_is_cut() -> None:
    async with running() as pool:
        await connect_deaf(pool)
        async with asyncio.timeout(SECONDS):
            while not any(isinstance(event, ClientLeft) for event in pool.events):
                pool.server.advance()
                await asyncio.sleep(0)
        assert (await pool.event(ClientLeft)).reason == NOT_READING


async def test_closing_with_clients_and_a_proof_in_progress() -> None:
    gate = Gate()
    async with running(prover=gate, block_time=5) as pool:
        clients = [await pool.connect() for _ in range(3)]
        for client in clients[:2]:
            await client.login()
        clients[0].ask("mining.submit", *clients[0].share(pool.chain.template, clients[0].first))
        await gate.asked.wait()
        fresh = await pool.connect()
    assert gate.cancelled
    for client in [*clients, fresh]:
        while await client.line() is not None:
            pass
    left = [event for event in pool.events if isinstance(event, ClientLeft)]
    assert [event.worker for event in left].count("w") == 2
    assert {event.reason for event in left} == {"the pool is stopping"}
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", pool.server.port)


async def test_an_error_of_the_prover_ends_the_pool() -> None:
    class Broken:
        async def prove(self, *job: object) -> Digest:
            raise ZeroDivisionError

    pool = RunningPool(prover=Broken())

    async def mine() -> None:
        async with asyncio.timeout(SECONDS), pool.server.listen():
            client = await pool.connect()
            await client.login()
            client.ask("mining.submit", *client.share(pool.chain.template, client.first))
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await mine()
    assert caught.group_contains(ZeroDivisionError)
    assert [type(event) for event in pool.events] == [ClientJoined, ClientLeft]
    await pool.hang_up()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "pool.example", "", "127.1"])
async def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(ConfigError, match="this machine only"):
        async with RunningPool().server.listen(host):
            pass


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.0.0.2"])
async def test_loopback_hosts(host: str) -> None:
    async with RunningPool().server.listen(host) as server:
        assert server.port > 0


async def test_unusable_ports_are_refused() -> None:
    async with running() as pool:
        other = RunningPool().server
        with pytest.raises(AddressTaken, match=f"port {pool.server.port}"):
            async with other.listen(port=pool.server.port):
                pass
        with pytest.raises(ConfigError, match="not listening"):
            _ = other.port
        with pytest.raises(BadValue):
            async with other.listen(port=65536):
                pass


@pytest.mark.parametrize("block_time", [0, -1, float("inf"), float("nan")])
def test_invalid_block_times_are_refused(block_time: float) -> None:
    with pytest.raises(BadValue):
        ServerOptions(block_time=block_time)


@pytest.mark.parametrize("count", [-1, 5])
def test_invalid_extranonce_sizes_are_refused(count: int) -> None:
    with pytest.raises(BadValue):
        ServerOptions(extranonce_bytes=count)

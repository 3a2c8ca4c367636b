"""Requests of a pool to reconnect."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.net.address import PoolUrl, Transport
from miner.pool.attempt import LAUNCH_SECONDS
from miner.telemetry import events
from miner.work import Outcome
from tests.fakes.clock import settle
from tests.fakes.dial import FakeStream
from tests.pool.bench import BANNED, FIRST, SECOND, THIRD, Bench, mining, running
from tests.stratum.dialogue import answer, call, solution


async def test_a_request_without_a_host_is_followed() -> None:
    async with mining() as (bench, stream):
        await bench.clock.advance(100)
        bench.prepare()
        stream.feed(call("client.reconnect", None, None, 5))
        await bench.clock.advance(LAUNCH_SECONDS)
        assert stream.closed
        assert bench.jobs[-1] is None
        assert bench.events_of(events.PoolLost)[-1].retry_in == 5
        await bench.clock.advance(5)
        assert bench.job().session == 2


async def test_a_request_may_name_another_port_of_the_same_host() -> None:
    async with mining() as (bench, stream):
        await bench.clock.advance(100)
        redirected = bench.prepare()
        stream.feed(call("client.reconnect", "FIRST.example", 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS)
        assert (bench.dial.opened[-1].port, bench.dial.opened[-1].unlisted) == (4444, True)
        redirected.end()
        await bench.clock.advance(2)
        assert bench.dial.opened[-1].port == 3333


@pytest.mark.parametrize(
    ("listed", "named"),
    [("first.example.", "first.example."), ("first.example.", "first.example"),
     ("first.example", "FIRST.example."), ("fe80::1%Lan", None)],
)  # fmt: skip
async def test_a_request_may_write_the_host_in_another_way(listed: str, named: str | None) -> None:
    pool = replace(FIRST, host=listed)
    async with mining([pool]) as (bench, stream):
        await bench.clock.advance(100)
        bench.prepare(pool)
        stream.feed(call("client.reconnect", named, pool.port, 0))
        await bench.clock.advance(LAUNCH_SECONDS)
        assert stream.closed
        assert bench.dial.opened == [pool, pool]


@pytest.mark.parametrize(
    ("host", "port"),
    [
        ("localhost", 4444),
        ("127.0.0.1", 4444),
        ("127.8.0.1", 4444),
        ("::1", 4444),
        ("0.0.0.0", 4444),
        ("192.168.1.10", 4444),
        ("10.0.0.1", 4444),
        ("fe80::1", 4444),
        ("proxy", 4444),
        ("proxy.lan", 4444),
        ("localhost.", 4444),
        ("Proxy.LAN.", 4444),
        ("pool.example", 22),
        ("pool.example", 25),
    ],
)
async def test_a_request_for_an_unlisted_port_of_other_services_is_refused(
    host: str, port: int
) -> None:
    pool = replace(FIRST, host=host)
    async with mining([pool]) as (bench, stream):
        stream.feed(call("client.reconnect", None, port, 0))
        await bench.clock.advance(100)
        assert not stream.closed
        assert bench.dial.opened == [pool]
        (remark,) = bench.events_of(events.PoolRemark)
        assert "not listed" in remark.text


@pytest.mark.parametrize("port", [None, 3333])
async def test_a_request_for_the_same_port_is_followed_on_this_machine(port: int | None) -> None:
    pool = replace(FIRST, host="127.0.0.1")
    async with mining([pool]) as (bench, stream):
        bench.prepare(pool)
        stream.feed(call("client.reconnect", "127.0.0.1", port, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 3)
        assert bench.dial.opened == [pool, pool]


async def test_a_request_for_a_listed_port_is_followed_on_this_machine() -> None:
    pools = [at("127.0.0.1", 3333), at("127.0.0.1", 4444)]
    async with mining(pools) as (bench, stream):
        bench.prepare(pools[1])
        stream.feed(call("client.reconnect", None, 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 3)
        assert bench.dial.opened == pools


@pytest.mark.parametrize("port", [443, 4444])
async def test_an_unlisted_port_is_connected_to_with_tls_where_tls_was_used(port: int) -> None:
    pool = replace(FIRST, transport=Transport.TLS)
    async with mining([pool]) as (bench, stream):
        bench.prepare(pool)
        stream.feed(call("client.reconnect", None, port, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 3)
        assert bench.dial.opened == [pool, replace(pool, port=port)]


async def test_a_request_for_an_unlisted_host_is_refused() -> None:
    async with mining() as (bench, stream):
        stream.feed(call("client.reconnect", "evil.example", 3333, 0))
        await settle()
        assert not stream.closed
        assert bench.hosts() == ["first"]
        (remark,) = bench.events_of(events.PoolRemark)
        assert "not listed" in remark.text
        assert bench.events_of(events.PoolNotice) == []


async def test_reconnects_back_off_if_a_pool_keeps_requesting_them() -> None:
    bench = Bench()
    for _ in range(50):
        bench.prepare().feed(call("client.reconnect"))
    async with running(bench):
        await bench.clock.advance(300)
        assert len(bench.dial.opened) <= 15


async def test_a_request_for_another_listed_pool_is_followed() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        second = bench.prepare(SECOND)
        stream.feed(call("client.reconnect", "second.example", 3333, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_a_request_is_followed_if_the_pool_closes_the_connection_itself() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        second = bench.prepare(SECOND)
        stream.feed(call("client.reconnect", "second.example", 3333, 0))
        stream.end()
        await bench.clock.advance(2)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_reconnects_back_off_if_two_pools_redirect_to_each_other() -> None:
    bench = Bench([FIRST, SECOND])
    for _ in range(100):
        bench.prepare(FIRST).feed(call("client.reconnect", SECOND.host, 3333, 0))
        bench.prepare(SECOND).feed(call("client.reconnect", FIRST.host, 3333, 0))
    async with running(bench):
        for _ in range(60):
            await bench.clock.advance(1)
        assert len(bench.dial.opened) <= 16


async def test_pools_that_redirect_to_each_other_give_way_to_the_third() -> None:
    bench = Bench([FIRST, SECOND, THIRD])
    for _ in range(10):
        bench.prepare(FIRST).feed(call("client.reconnect", SECOND.host, 3333, 0))
        bench.prepare(SECOND).feed(call("client.reconnect", FIRST.host, 3333, 0))
    bench.prepare(THIRD)
    async with running(bench):
        await bench.clock.advance(60)
        assert bench.hosts()[-1] == "third"


async def test_a_request_for_a_pool_that_banned_us_is_refused() -> None:
    bench = Bench([FIRST, SECOND])
    bench.prepare(FIRST, BANNED)
    second = bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(100)
        second.feed(call("client.reconnect", FIRST.host, 3333, 0))
        await bench.clock.advance(100)
        assert bench.hosts() == ["first", "second"]
        assert not second.closed


async def test_a_requested_port_is_used_for_the_requesting_pool_only() -> None:
    bench = Bench([FIRST, SECOND])
    for _ in range(3):
        bench.prepare(FIRST).feed(call("client.reconnect", None, 4444, 0))
    bench.prepare(SECOND)
    async with running(bench):
        await bench.clock.advance(30)
        assert [(url.host, url.port) for url in bench.dial.opened] == [
            (FIRST.host, 3333), (FIRST.host, 4444), (FIRST.host, 4444), (SECOND.host, 3333),
        ]  # fmt: skip


async def test_a_requested_port_is_not_used_for_another_pool() -> None:
    async with mining([FIRST, SECOND]) as (bench, stream):
        bench.prepare(SECOND)
        stream.feed(call("client.reconnect", SECOND.host, 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert (bench.dial.opened[-1].host, bench.dial.opened[-1].port) == (SECOND.host, 3333)


async def test_a_requested_port_is_not_used_for_another_entry_of_the_host() -> None:
    other = replace(FIRST, port=5555)
    bench = Bench([FIRST, other])
    for _ in range(4):
        bench.prepare(FIRST).feed(call("client.reconnect", FIRST.host, 4444, 0))
    async with running(bench):
        await bench.clock.advance(15)
        assert [url.port for url in bench.dial.opened[:4]] == [3333, 4444, 4444, 5555]


def at(host: str, port: int, transport: Transport = Transport.TCP) -> PoolUrl:
    return PoolUrl(host, port, "RWallet.rig1", transport=transport, protocol="kawpow")


async def test_a_request_for_a_listed_host_and_port_selects_that_entry() -> None:
    pools = [at("a.example", 1000), at("b.example", 3333), at("b.example", 4444)]
    async with mining(pools) as (bench, stream):
        bench.prepare(pools[2])
        stream.feed(call("client.reconnect", "b.example", 4444, 0))
        await bench.clock.advance(LAUNCH_SECONDS + 2)
        assert bench.dial.opened == [pools[0], pools[2]]
        assert bench.job().pool == pools[2].label


@pytest.mark.parametrize("host", [None, "a.example"])
async def test_a_request_for_a_listed_port_uses_the_transport_of_its_entry(
    host: str | None,
) -> None:
    pools = [at("a.example", 3333), at("a.example", 4444, Transport.TLS)]
    bench = Bench(pools)
    for _ in range(6):
        bench.prepare(pools[0]).feed(call("client.reconnect", host, 4444, 0))
    async with running(bench):
        await bench.clock.advance(30)
        assert bench.dial.opened[:2] == pools
        assert set(bench.dial.opened) == set(pools)


async def test_a_request_for_a_listed_port_that_banned_us_is_refused() -> None:
    pools = [at("a.example", 3333), at("a.example", 4444)]
    bench = Bench(pools)
    banning = FakeStream()
    banning.feed(BANNED)
    bench.dial.ready("a.example", banning)
    stream = bench.prepare(pools[1])
    async with running(bench):
        await bench.clock.advance(5)
        stream.feed(call("client.reconnect", None, 3333, 0))
        await bench.clock.advance(5)
        assert not stream.closed
        assert bench.dial.opened == pools


async def test_a_refused_request_is_reported_once_a_connection() -> None:
    async with mining() as (bench, stream):
        for _ in range(5):
            stream.feed(call("client.reconnect", "evil.example", 3333, 0))
        await settle()
        assert len(bench.events_of(events.PoolRemark)) == 1


async def test_answers_are_awaited_before_a_request_is_followed() -> None:
    async with mining() as (bench, stream):
        bench.prepare()
        job = bench.job()
        await bench.client.submit(solution(job))
        stream.feed(call("client.reconnect"))
        await settle()
        await bench.client.submit(solution(job, job.nonces.first + 1))
        for request in stream.requests("mining.submit"):
            stream.feed(answer(request["id"]))
        await bench.clock.advance(2 * LAUNCH_SECONDS + 3)
        assert bench.job().session == 2
    assert bench.outcomes == [Outcome.ACCEPTED] * 2

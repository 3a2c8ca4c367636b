"""Whose turn it is, without any connection."""

from __future__ import annotations

from random import Random

import pytest

from miner.net.pool_url import PoolUrl
from miner.pool.failover import BAN_SECONDS, LONGEST, TRIES, Turns
from miner.stratum.dialects import Detection
from tests.fakes.clock import FakeClock


def turns(*hosts: str) -> tuple[Turns, FakeClock]:
    clock = FakeClock()
    urls = [PoolUrl(host, 1) for host in hosts]
    return Turns(urls, clock, Random(1), lambda url: Detection(["kawpow"])), clock


def test_a_pool_has_three_tries_before_the_next_one() -> None:
    order, _ = turns("a", "b")
    seen = []
    for _ in range(2 * TRIES):
        seen.append(order.current.url.host)
        order.failed()
    assert seen == ["a"] * TRIES + ["b"] * TRIES
    assert order.current.url.host == "a"


def test_the_waits_of_a_dead_pool_grow_to_their_bound_and_stay_there() -> None:
    order, _ = turns("a")
    waits = [order.failed() for _ in range(40)]
    assert all(1 <= wait <= LONGEST for wait in waits)
    assert all(wait >= LONGEST / 2 for wait in waits[6:])


def test_a_steady_login_makes_failures_forgotten() -> None:
    order, _ = turns("a", "b")
    order.failed()
    order.failed()
    order.forgive()
    assert order.failed() <= 2
    assert order.current.url.host == "a"


async def test_a_pool_that_shut_us_out_is_passed_over_until_its_time_is_over() -> None:
    order, clock = turns("a", "b")
    assert order.shut_out() <= 2
    assert order.current.url.host == "b"
    for _ in range(TRIES):
        order.failed()
    assert order.current.url.host == "b"
    assert order.is_shut(order.first)
    await clock.advance(1.5 * BAN_SECONDS)
    assert not order.is_shut(order.first)
    for _ in range(TRIES):
        order.failed()
    assert order.current.url.host == "a"


def test_where_every_pool_shut_us_out_the_soonest_is_waited_for() -> None:
    order, _ = turns("a", "b")
    order.shut_out()
    wait = order.shut_out()
    assert order.current.url.host == "a"
    assert BAN_SECONDS <= wait <= 1.5 * BAN_SECONDS


def test_a_dropped_pool_is_not_tried_again() -> None:
    order, _ = turns("a", "b")
    order.drop()
    assert order.current.url.host == "b"
    order.drop()
    assert not order


def test_back_at_the_first_one_failure_is_enough() -> None:
    order, _ = turns("a", "b")
    assert order.return_to_first() == 0
    order.failed()
    assert order.current.url.host == "b"


@pytest.mark.parametrize(
    ("host", "port", "meant"),
    [
        ("b", 1, ("b", 1)), ("b", 2, ("b", 2)), ("b", None, ("b", 1)), ("b", 9, ("b", 1)),
        ("a", 9, ("a", 1)), ("c", 1, None),
    ],
)  # fmt: skip
def test_only_a_configured_pool_is_gone_to(
    host: str, port: int | None, meant: tuple[str, int] | None
) -> None:
    urls = [PoolUrl("a", 1), PoolUrl("b", 1), PoolUrl("b", 2)]
    order = Turns(urls, FakeClock(), Random(1), lambda url: Detection(["kawpow"]))
    pool = order.at(host, port)
    assert (pool and (pool.url.host, pool.url.port)) == meant
    if pool:
        order.go_to(pool)
        assert order.current is pool


def test_a_pool_of_an_older_list_is_not_gone_to() -> None:
    order, _ = turns("a", "b")
    old = order.at("b", 1)
    assert old is not None
    order.replace([PoolUrl("a", 1)], works=True)
    order.go_to(old)
    assert order.current.url.host == "a"

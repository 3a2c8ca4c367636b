"""The order of the pools and the waits between attempts, without any connection."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path
from random import Random

import pytest

from miner.errors import Cause, PoolError
from miner.net.address import PoolUrl
from miner.pool.attempt import FAILURES, STABLE_SECONDS, Attempt, FailoverRules
from miner.pool.failover import (
    BAN_SECONDS,
    MAX_FAILURES,
    MAX_RETRY_SECONDS,
    MIN_RETRY_SECONDS,
    REFUSED_SECONDS,
    Failover,
    retry_delays,
)
from miner.stratum.session import UNANSWERED_SHARES
from tests.fakes.clock import FakeClock


def failover_between(*hosts: str) -> tuple[Failover, FakeClock]:
    clock = FakeClock()
    return Failover([PoolUrl(host, 1) for host in hosts], clock, Random(1)), clock


@pytest.mark.parametrize("seed", range(20))
def test_retry_delays_grow_from_one_second_to_a_minute(seed: int) -> None:
    delays = list(islice(retry_delays(Random(seed)), 50))
    assert all(MIN_RETRY_SECONDS <= delay <= MAX_RETRY_SECONDS for delay in delays)
    assert delays[0] <= 2
    assert all(a <= b for a, b in pairwise(delays[:5]))
    assert all(delay >= MAX_RETRY_SECONDS / 2 for delay in delays[5:])


def test_two_rigs_retry_at_different_times() -> None:
    assert list(islice(retry_delays(Random(1)), 3)) != list(islice(retry_delays(Random(2)), 3))


def test_the_next_pool_becomes_current_after_three_failures() -> None:
    failover, _ = failover_between("a", "b")
    tried = []
    for _ in range(2 * MAX_FAILURES):
        tried.append(failover.current.url.host)
        failover.record_failure()
    assert tried == ["a"] * MAX_FAILURES + ["b"] * MAX_FAILURES
    assert failover.current.url.host == "a"


def test_the_waits_for_an_unreachable_pool_grow_to_the_maximum() -> None:
    failover, _ = failover_between("a")
    waits = [failover.record_failure() for _ in range(40)]
    assert all(1 <= wait <= MAX_RETRY_SECONDS for wait in waits)
    assert all(wait >= MAX_RETRY_SECONDS / 2 for wait in waits[6:])


def test_a_stable_login_clears_earlier_failures() -> None:
    failover, _ = failover_between("a", "b")
    failover.record_failure()
    failover.record_failure()
    failover.record_stable()
    assert failover.record_failure() <= 2
    assert failover.current.url.host == "a"


def test_a_login_is_stable_after_a_minute_with_work_and_answers() -> None:
    failover, _ = failover_between("a")
    attempt = Attempt(failover.current, failover.current.url, logged_in_at=0.0)
    assert not attempt.was_stable(STABLE_SECONDS)
    attempt.job_received = True
    assert attempt.was_stable(STABLE_SECONDS)
    assert not attempt.was_stable(STABLE_SECONDS - 1)
    attempt.shares_sent = UNANSWERED_SHARES
    assert not attempt.was_stable(STABLE_SECONDS)
    attempt.share_answered = True
    assert attempt.was_stable(STABLE_SECONDS)


async def test_a_pool_that_banned_us_is_skipped_until_the_ban_ends() -> None:
    failover, clock = failover_between("a", "b")
    assert failover.record_ban() <= 2
    assert failover.current.url.host == "b"
    for _ in range(MAX_FAILURES):
        failover.record_failure()
    assert failover.current.url.host == "b"
    assert failover.is_banned(failover.first)
    await clock.advance(1.5 * BAN_SECONDS)
    assert not failover.is_banned(failover.first)
    for _ in range(MAX_FAILURES):
        failover.record_failure()
    assert failover.current.url.host == "a"


def test_if_all_pools_banned_us_the_ban_that_ends_first_is_waited_for() -> None:
    failover, _ = failover_between("a", "b")
    failover.record_ban()
    wait = failover.record_ban()
    assert failover.current.url.host == "a"
    assert BAN_SECONDS <= wait <= 1.5 * BAN_SECONDS


def test_rigs_that_are_banned_together_return_at_different_times() -> None:
    waits = set()
    for seed in range(20):
        failover = Failover([PoolUrl("a", 1)], FakeClock(), Random(seed))
        waits.add(failover.record_ban())
    assert len(waits) == 20
    assert max(waits) - min(waits) > BAN_SECONDS / 4


def test_a_pool_that_was_given_up_is_not_tried_while_others_are_left() -> None:
    failover, _ = failover_between("a", "b")
    failover.give_up_current()
    assert failover.current.url.host == "b"
    assert failover.is_banned(failover.first)
    failover.give_up_current()
    assert not failover


async def test_a_pool_that_was_given_up_is_tried_again_after_an_hour() -> None:
    failover, clock = failover_between("a", "b")
    failover.give_up_current()
    await clock.advance(1.5 * REFUSED_SECONDS)
    assert not failover.is_banned(failover.first)


def test_after_a_return_to_the_first_pool_one_failure_is_enough() -> None:
    failover, _ = failover_between("a", "b")
    assert failover.return_to_first() == 0
    failover.record_failure()
    assert failover.current.url.host == "b"


@pytest.mark.parametrize(
    ("host", "port", "found"),
    [
        ("b", 1, ("b", 1)), ("b", 2, ("b", 2)), ("b", None, ("b", 1)), ("b", 9, ("b", 1)),
        ("a", 9, ("a", 1)), ("c", 1, None),
    ],
)  # fmt: skip
def test_a_reconnect_request_leads_to_listed_pools_only(
    host: str, port: int | None, found: tuple[str, int] | None
) -> None:
    urls = [PoolUrl("a", 1), PoolUrl("b", 1), PoolUrl("b", 2)]
    failover = Failover(urls, FakeClock(), Random(1))
    pool = failover.find(host, port)
    assert (pool and (pool.url.host, pool.url.port)) == found
    if pool:
        failover.switch_to(pool)
        assert failover.current is pool


def test_a_pool_of_an_earlier_list_cannot_become_current() -> None:
    failover, _ = failover_between("a", "b")
    old = failover.find("b", 1)
    assert old is not None
    failover.replace([PoolUrl("a", 1)], works=True)
    failover.switch_to(old)
    assert failover.current.url.host == "a"


FINAL = {
    Cause.DIALECT, Cause.CERTIFICATE_AUTHORITY, Cause.CERTIFICATE_HOST, Cause.CERTIFICATE_PIN,
    Cause.ADDRESS, Cause.LOGIN, Cause.NODE_LOGIN, Cause.SETUP,
}  # fmt: skip


def after(cause: Cause, *, login_accepted: bool = False) -> tuple[float | None, list[str]]:
    """Return the wait after a failure of the first of two pools, and the pools that are left."""
    clock = FakeClock()
    urls = [PoolUrl(host, 1, protocol="kawpow") for host in ("a", "b")]
    failover = Failover(urls, clock, Random(1))
    failover.current.login_accepted = login_accepted
    attempt = Attempt(failover.current, urls[0])
    result = FailoverRules(failover, clock).after(attempt, "why", PoolError("why", cause))
    assert result.reason == "why"
    return result.retry_in, [url.host for url in urls if failover.find(url.host, 1)]


@pytest.mark.parametrize("cause", Cause)
def test_a_pool_is_given_up_only_for_failures_that_waiting_does_not_mend(cause: Cause) -> None:
    retry_in, left = after(cause)
    assert (retry_in is None, FAILURES[cause].final) == (cause in FINAL, cause in FINAL)
    if cause in FINAL or cause is Cause.BANNED:
        assert left == ["b"]
    else:
        assert left == ["a", "b"]
        assert retry_in is not None
        assert MIN_RETRY_SECONDS <= retry_in <= 2 * MIN_RETRY_SECONDS


@pytest.mark.parametrize("cause", sorted(FINAL))
def test_a_pool_that_accepted_a_login_is_never_given_up(cause: Cause) -> None:
    retry_in, left = after(cause, login_accepted=True)
    assert retry_in is not None
    assert left == ["a", "b"]


def test_the_page_on_pools_lists_what_follows_each_cause() -> None:
    page = (Path(__file__).parents[2] / "docs" / "pools.md").read_text(encoding="utf-8")
    rows = [
        f"| {cause} | {'yes' if then.final else 'no'} | {then} | {'4' if then.final else '—'} |"
        for cause, then in FAILURES.items()
    ]
    assert "|---|---|---|---|\n" + "\n".join(rows) + "\n\n" in page

"""The order in which protocols are tried with a pool."""

from __future__ import annotations

import pytest

from miner.errors import Cause, ConnectionLost, PoolError, PoolRefused, WrongDialect
from miner.stratum.dialects import BUSY_ANSWERS, Detection

WRONG = WrongDialect("no such method")
CLOSED = ConnectionLost("the pool closed the connection")
LOGIN = PoolRefused("invalid login", Cause.LOGIN)
BUSY = ConnectionLost("the server is busy", Cause.LOGIN_LATER)
FAULT = ConnectionLost("internal error", Cause.POOL_FAULT)


def test_configured_protocol_is_the_only_one() -> None:
    named = Detection(["zano"])
    assert named.found
    assert named.move_on(WRONG)
    assert named.current == "zano"


def test_refusals_lead_through_all_protocols_and_back_to_the_first() -> None:
    tried = Detection(["kawpow", "ethstratum", "ethproxy"])
    assert not tried.found
    assert tried.move_on(WRONG) is None
    assert tried.current == "ethstratum"
    assert tried.move_on(WRONG) is None
    assert isinstance(tried.move_on(WRONG), WrongDialect)
    assert tried.current == "kawpow"


@pytest.mark.parametrize(
    ("failures", "error"),
    [
        ([WRONG, WRONG], WrongDialect),
        ([WRONG, CLOSED], None),
        ([CLOSED, WRONG, WRONG], WrongDialect),
        ([CLOSED, LOGIN], None),
        ([CLOSED, LOGIN, CLOSED], PoolRefused),
        ([CLOSED, LOGIN, WRONG], PoolRefused),
        ([LOGIN, CLOSED], PoolRefused),
        ([LOGIN, WRONG], PoolRefused),
        ([FAULT, LOGIN], None),
        ([FAULT, WRONG], None),
        ([*[BUSY] * BUSY_ANSWERS, LOGIN], None),
        ([FAULT, FAULT, FAULT], None),
        ([LOGIN], None),
    ],
)
def test_a_pool_is_refused_only_if_no_protocol_may_still_fit(
    failures: list[PoolError], error: type[PoolError] | None
) -> None:
    tried = Detection(["kawpow", "ethstratum"])
    results = [tried.move_on(failure) for failure in failures]
    assert results[:-1] == [None] * (len(failures) - 1)
    assert type(results[-1]) is (error or type(None))


def test_a_busy_pool_is_asked_in_other_protocols_after_some_answers() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    for _ in range(BUSY_ANSWERS - 1):
        tried.move_on(BUSY)
        assert tried.current == "kawpow"
    tried.move_on(BUSY)
    assert tried.current == "ethstratum"
    assert tried.is_uncertain
    assert tried.move_on(WRONG) is None


def test_each_protocol_is_tried_for_the_first_time_once() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    tried.move_on(CLOSED)
    assert tried.is_first_try
    tried.move_on(CLOSED)
    assert not tried.is_first_try
    tried.confirm()
    assert tried.is_first_try


@pytest.mark.parametrize(
    ("failures", "uncertain"),
    [
        ([], False),
        ([WRONG], False),
        ([CLOSED], True),
        ([CLOSED, WRONG], False),
        ([CLOSED, WRONG, CLOSED], False),
        ([CLOSED, CLOSED], True),
        ([CLOSED, CLOSED, WRONG], False),
    ],
)
def test_a_protocol_is_uncertain_while_an_earlier_one_was_not_refused(
    failures: list[PoolError], uncertain: bool
) -> None:
    tried = Detection(["kawpow", "ethstratum"])
    for failure in failures:
        tried.move_on(failure)
    assert tried.is_uncertain is uncertain


def test_fit_is_new_once_and_stays() -> None:
    tried = Detection(["kawpow", "ethstratum"])
    tried.move_on(CLOSED)
    assert tried.confirm()
    assert not tried.confirm()
    assert tried.current == "ethstratum"

"""The test pool as strict as the strictest server, and as odd as the oddest, of each dialect."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.stratum.dialects import DIALECTS
from miner.stratum.pool_events import Authorized, JobReceived
from miner.testpool.client_session import ClientSession
from miner.work import Outcome
from tests.stratum.dialogue import jobs, messages
from tests.testpool.raw_client import OnePrefix
from tests.testpool.standins import ANY_HASH, make_chain
from tests.testpool.test_client_and_pool import BothEnds

USERS = {
    "kawpow": "RWallet.rig1",
    "ethstratum": "0xWallet.rig1",
    "ethproxy": f"0x{'ab' * 20}.rig1",
    "ethstratum2": f"0x{'ab' * 20}.rig1",
    "sero": "LnrbZDPq59Ywk2Ddy9zVxg7KVaDBPRpikn7V7A3ZWgEb.rig1",
    "zano": "ZxCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC.5000",
    "epic": "alice.rig1",
}
"""Logins that each dialect's strictest server accepts."""

EVERY_DIALECT = pytest.mark.parametrize("name", DIALECTS)


def strict_ends(name: str, left_out: frozenset[str]) -> BothEnds:
    opening = {"user": USERS[name], "password": "longpassword", "left_out": left_out}
    return BothEnds(name, only=name, strict=True, opening=opening)


def odd_ends(name: str, seed: int, share_target: int = ANY_HASH) -> BothEnds:
    opening = {"user": USERS[name], "password": "longpassword"}
    return BothEnds(name, share_target, only=name, odd=Random(seed), opening=opening)


@EVERY_DIALECT
def test_the_strictest_server_accepts_our_shares_once_optional_requests_are_left_out(
    name: str,
) -> None:
    optional = DIALECTS[name].optional
    ends = strict_ends(name, optional)
    assert Authorized() in ends.events
    (job,) = jobs(ends.events)
    for offset in range(3):
        assert ends.share(job, job.nonces.first + offset) is Outcome.ACCEPTED
        ends.exchange(ends.client.keepalive() + ends.client.report_hashrate(10**6, bytes(32)))
    assert ends.session.close_reason == ""


@EVERY_DIALECT
def test_the_strictest_server_closes_the_connection_on_an_optional_request(name: str) -> None:
    ends = strict_ends(name, DIALECTS[name].extras)
    for request in (ends.client.keepalive(), ends.client.report_hashrate(10**6, bytes(32))):
        if request and not ends.session.close_reason:
            ends.exchange(request)
    known = DIALECTS[name].optional
    assert any(method in ends.session.close_reason for method in known)


def request(number: Any, method: str, *params: Any) -> dict[str, Any]:
    return {"id": number, "jsonrpc": "2.0", "method": method, "params": list(params)}


SHARE = ("RWallet.rig1", "job", "0x" + "0a" * 8, "0x" + "ab" * 32, "0x" + "cd" * 32)
WORK = SHARE[2:]
ADDRESS = f"0x{'ab' * 20}"


def opened(name: str) -> ClientSession:
    """Return a strict session in which a client has logged in with requests 1 to 4."""
    return strict_ends(name, DIALECTS[name].optional).session


@pytest.mark.parametrize(
    ("name", "message", "problem"),
    [
        ("kawpow", request(9, "mining.extranonce.subscribe"), "unknown method"),
        ("kawpow", request(9, "mining.submit", *SHARE[:4]), "malformed parameters"),
        ("kawpow", request(9, "mining.submit", *SHARE[:2], SHARE[2][2:], *SHARE[3:]), "malformed"),
        ("kawpow", request(9, "mining.submit", *SHARE[:3], *SHARE[3:4], SHARE[4].upper()), "malf"),
        ("kawpow", request(9, "mining.submit", "R Wallet", *SHARE[1:]), "malformed parameters"),
        ("kawpow", request(1, "mining.submit", *SHARE), "used before"),
        ("kawpow", request("9", "mining.submit", *SHARE), "positive integer"),
        ("kawpow", request(0, "mining.submit", *SHARE), "positive integer"),
        ("kawpow", request(9, "mining.submit", *SHARE) | {"x": "y" * 1000}, "longer than"),
        ("ethstratum", request(9, "mining.submit", "W", "job", "0x0a0b"), "malformed"),
        ("ethstratum", request(9, "mining.submit", "W", "job", "0A0B"), "malformed"),
        ("ethstratum", request(9, "mining.submit", "W", "job", "0a0"), "malformed"),
        ("ethproxy", request(9, "eth_submitWork", *WORK, "more"), "malformed"),
        ("ethproxy", request(9, "eth_submitWork", WORK[0].upper(), *WORK[1:]), "malformed"),
        ("ethproxy", request(9, "eth_submitHashrate", "0x1", "0x2"), "unknown method"),
        ("ethstratum2", request(9, "mining.submit", "1", "0x0a", "w-1"), "malformed"),
        ("ethstratum2", request(9, "mining.hashrate", "1", "w-1"), "unknown method"),
        ("sero", request(9, "sero_submitWork", *WORK[:2]), "malformed"),
        ("zano", request(9, "eth_submitWork", *WORK[:2]), "malformed"),
        ("epic", request("0", "status"), "unknown method"),
    ],
)  # fmt: skip
def test_a_request_that_the_strictest_server_does_not_know_ends_the_connection(
    name: str, message: dict[str, Any], problem: str
) -> None:
    session = opened(name)
    assert session.close_reason == ""
    session.receive(json.dumps(message).encode() + b"\n")
    assert problem in session.close_reason


@EVERY_DIALECT
def test_another_first_request_than_the_dialects_ends_the_connection(name: str) -> None:
    session = ClientSession(OnePrefix(make_chain(), strict=True), name)
    session.receive(json.dumps(request(1, "mining.noop")).encode() + b"\n")
    assert session.close_reason.startswith("mining.noop came before")


@pytest.mark.parametrize(
    ("name", "first", "account"),
    [
        ("ethproxy", "eth_submitLogin", f"{ADDRESS}.rig1"),
        ("ethproxy", "eth_submitLogin", ADDRESS[:-1]),
        ("sero", "sero_submitLogin", "address.rig1"),
        ("zano", "eth_submitLogin", "Zx.rig1"),
    ],
)
def test_a_login_in_another_form_is_refused(name: str, first: str, account: str) -> None:
    session = ClientSession(OnePrefix(make_chain(), strict=True), name)
    session.receive(json.dumps(request(1, first, account, "x")).encode() + b"\n")
    assert json.loads(session.output())["error"]["code"] == -1
    assert "malformed" in session.close_reason


@pytest.mark.parametrize(
    ("login", "password", "accepted"),
    [
        ("alice.rig1", "longpassword", True),
        ("abcd", "longpassword", False),
        ("a" * 21, "longpassword", False),
        ("alice.rig1", "x", False),
    ],
)
def test_epics_pools_demand_lengths(login: str, password: str, accepted: bool) -> None:
    session = ClientSession(OnePrefix(make_chain(), strict=True), "epic")
    params = {"login": login, "pass": password, "agent": "test/1"}
    message = {"id": "0", "jsonrpc": "2.0", "method": "login", "params": params}
    session.receive(json.dumps(message).encode() + b"\n")
    answer = json.loads(session.output())
    assert (answer["result"] == "ok") == accepted
    assert accepted or answer["error"]["code"] == -30600


@EVERY_DIALECT
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_odd_forms_of_messages_mean_the_same(name: str, seed: int) -> None:
    ends = odd_ends(name, seed, share_target=2**255)
    assert Authorized() in ends.events
    job = jobs(ends.events)[-1]
    outcomes = [ends.share(job, job.nonces.first + offset) for offset in range(4)]
    assert set(outcomes) <= {Outcome.ACCEPTED, ends.reported(Outcome.LOW_DIFFICULTY)}
    ends.chain.advance()
    ends.session.side.announce()
    (event,) = [e for e in ends.exchange(b"") if isinstance(e, JobReceived)]
    assert event.job.height == 1001
    assert ends.share(job, job.nonces.first + 99) is ends.reported(Outcome.STALE)
    assert messages(ends.events) == []


def test_odd_forms_differ_from_the_usual_ones() -> None:
    forms = set()
    for seed in range(20):
        ends = odd_ends("kawpow", seed)
        ends.session.receive(b'{"id":7,"method":"x","params":[]}\n')
        forms.add(ends.session.output())
    assert len(forms) > 10

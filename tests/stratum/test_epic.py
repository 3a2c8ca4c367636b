"""EPIC Cash's dialect: the messages of its node and its pools, and what they lead to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.catalog import find_coin, find_variant
from miner.errors import ProtocolError
from miner.pool.attempt import FAILURES
from miner.stratum.client_side import ClientSide
from miner.stratum.difficulty import MAX_TARGET
from miner.stratum.epic import EPIC, STATUS_SECONDS
from miner.stratum.pool_events import (
    Authorized,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.verify import Verifier
from miner.work import NonceSpace, Outcome, Solution
from tests.stratum.dialogue import jobs, line, messages, parsed, solution
from tests.stratum.transcripts import opening, transcript

VARIANT = find_variant("progpow-0.9.2")
NODE = transcript("synthetic-epic-node")
JOB: dict[str, Any] = NODE[4][1]["params"]
HEADER_HASH = "a0ef8da1c5e261114899bfbfd77d2b61b48735d1f633516af0684ff7111aec0f"

PASSING = (
    0x0123456789ABCDEF,
    "25d13083411af502d8add71b43be6d288d564a67f44ee00045682f735e8adc27",
    "6b74c04f0b9dac3e57737f7aa6a6118801fb7eceb9c3dd7250fd2d03a88904c2",
)
TOO_EASY = (
    0xFFFFFFFFFFFFFFF0,
    "287cac1cb8173711c9e0406cf063ee39c006e8f92f2a720dfa277459e49a2277",
    "8a1c084091d2404cc68dfa1c6bfec6344b48f9249b0677fbad3d74857ceb8ada",
)


def connected() -> ClientSide:
    client = EPIC.connect(replace(opening(VARIANT, "alice.rig1"), password="longpassword"))
    client.start()
    return client


def reply(method: str, number: Any, result: Any = None, error: Any = None) -> bytes:
    head = {"id": number, "jsonrpc": "2.0", "method": method}
    return line(head | {"result": result, "error": error})


def logged_in() -> ClientSide:
    client = connected()
    client.receive(reply("login", "1", "ok"))
    client.data_to_send()
    return client


def push(**changes: Any) -> bytes:
    return line({"id": "Stratum", "jsonrpc": "2.0", "method": "job", "params": JOB | changes})


def pushed(**changes: Any) -> list[PoolEvent]:
    return logged_in().receive(push(**changes))


def error(code: int, text: str) -> dict[str, Any]:
    return {"code": code, "message": text}


def test_every_message_of_a_node_is_understood_and_every_request_is_reproduced() -> None:
    client = EPIC.connect(replace(opening(VARIANT, "alice.rig1"), password="longpassword"))
    events: list[PoolEvent] = []
    sent = parsed(client.start())
    for direction, message in NODE:
        if direction == "s2c":
            if message["method"] not in ("keepalive", "status"):  # asked by the recorded client
                events += client.receive(line(message))
            sent += parsed(client.data_to_send())
            continue
        match message["method"]:
            case "login":
                message["params"]["agent"] = "ours/0"
            case "submit":
                nonce, mix = message["params"]["nonce"], message["params"]["pow"]["ProgPow"]
                mined = [job for job in jobs(events) if not job.other_algorithm][-1]
                sent = parsed(client.submit(solution(mined, nonce, bytes(mix))))
            case "status":
                sent = parsed(client.keepalive())
                sent[0]["id"] = message["id"]  # the recorded client sent a keepalive before
            case "keepalive":
                continue
        assert sent.pop(0) == message
    assert messages(events) == []
    assert [event for event in events if isinstance(event, ShareAnswer)] == [
        ShareAnswer(3, Outcome.ACCEPTED, ""),
        ShareAnswer(4, Outcome.STALE, "Solution submitted too late"),
        ShareAnswer(5, Outcome.LOW_DIFFICULTY, "Share rejected due to low difficulty"),
    ]
    first, renewed, other = jobs(events)
    assert events[:2] == [Subscribed(NonceSpace()), Authorized()]
    assert (first.id, renewed.id, other.id) == ("1234/0", "1234/1", "1235/0")
    assert (first.clean, renewed.clean, other.clean) == (True, False, True)
    assert first.header_hash == renewed.header_hash == bytes.fromhex(HEADER_HASH)
    assert (first.height, first.epoch.number, first.period) == (1234, 0, 24)
    assert first.nonces == NonceSpace()
    assert first.share_target == MAX_TARGET // 2
    assert first.block_target == MAX_TARGET // 526630508509
    assert (first.wait_reason, other.wait_reason) == (
        None,
        "waiting: height 1235 is for randomx",
    )


def test_the_job_of_the_examples_has_the_examples_hashes() -> None:
    (job,) = jobs(pushed())
    verifier = Verifier()
    for (nonce, mix, final), passes in ((PASSING, True), (TOO_EASY, False)):
        digest = verifier.digest(job, nonce)
        assert (digest.mix_hash.hex(), digest.final_hash.hex()) == (mix, final)
        assert (digest.value <= job.share_target) == passes


def test_a_pool_may_answer_the_request_for_a_job_with_a_notification() -> None:
    client = connected()
    events: list[PoolEvent] = []
    for direction, message in transcript("synthetic-epic-pool"):
        if direction == "s2c":
            events += client.receive(line(message))
    (job,) = jobs(events)
    assert job.share_target == MAX_TARGET // 2500000000
    assert client.data_to_send().count(b"\n") == 1  # no answer to the notification


@given(nonce=st.integers(0, 2**64 - 1), number=st.integers(0, 2**64 - 1))
def test_a_nonce_is_sent_as_an_exact_integer(nonce: int, number: int) -> None:
    client = logged_in()
    (job,) = jobs(client.receive(push(job_id=number)))
    data = client.submit(solution(job, nonce, bytes(range(32))))
    assert f'"nonce":{nonce},'.encode() in data
    assert json.loads(data)["params"] == {
        "height": 1234,
        "job_id": number,
        "nonce": nonce,
        "pow": {"ProgPow": list(range(32))},
    }


def share(client: ClientSide, nonce: int) -> int:
    (job,) = jobs(client.receive(push()))
    client.submit(Solution(job, nonce, "fake", 0.0, bytes(32), bytes(32)))
    return client.last_id


@pytest.mark.parametrize("form", [str, int], ids=["text", "number"])
def test_answers_belong_to_their_ids(form: Any) -> None:
    client = logged_in()
    first, second = share(client, 1), share(client, 2)
    events = client.receive(
        reply("submit", form(second), "ok") + reply("submit", form(first), "ok")
    )
    assert [event.id for event in events if isinstance(event, ShareAnswer)] == [second, first]


@pytest.mark.parametrize("number", ["0", 0, None, "Stratum", 10**9])
def test_answers_with_an_id_that_is_not_ours_belong_to_their_method(number: Any) -> None:
    client = connected()
    assert Authorized() in client.receive(reply("login", number, "ok"))
    client.receive(reply("getjobtemplate", number, JOB))
    first, second = share(client, 1), share(client, 2)
    client.keepalive()
    events = client.receive(
        reply("status", number, {"id": "0", "height": 1234})
        + reply("submit", number, "ok")
        + reply("submit", number, None, error(-32503, "Solution submitted too late"))
        + reply("submit", number, "ok")
    )
    assert events == [
        ShareAnswer(first, Outcome.ACCEPTED, ""),
        ShareAnswer(second, Outcome.STALE, "Solution submitted too late"),
    ]


def test_a_repeated_answer_does_not_decide_another_share() -> None:
    client = logged_in()
    first, _ = share(client, 1), share(client, 2)
    assert len(client.receive(reply("submit", str(first), "ok"))) == 1
    assert client.receive(reply("submit", str(first), "ok")) == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"result": "ok"}, Outcome.ACCEPTED),
        ({"result": "blockfound - " + "77" * 32}, Outcome.ACCEPTED),
        ({"error": error(-32503, "Solution submitted too late")}, Outcome.STALE),
        ({"error": error(-32503, "difficulty unknown")}, Outcome.STALE),
        ({"error": error(-1, "Share is too late")}, Outcome.STALE),
        ({"error": error(-32501, "Share rejected due to low difficulty")}, Outcome.LOW_DIFFICULTY),
        ({"error": error(-32501, "rejected")}, Outcome.LOW_DIFFICULTY),
        ({"error": error(-32502, "Failed to validate solution")}, Outcome.INVALID),
        ({"error": error(-32500, "login first")}, Outcome.UNAUTHORIZED),
        ({"error": error(-32600, "Invalid Request")}, Outcome.INVALID),
        ({"error": error(32603, "Internal error")}, Outcome.INVALID),
    ],
    ids=str,
)
def test_the_code_of_an_answer_decides_before_its_text(
    answer: dict[str, Any], outcome: Outcome
) -> None:
    client = logged_in()
    number = share(client, 1)
    (event,) = client.receive(reply("submit", str(number), **answer))
    assert isinstance(event, ShareAnswer)
    assert event.outcome is outcome


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (-32500, "login first"),
        (-30600, "invalid login"),
        (-30599, "agent not allowed"),
        (-32600, "Invalid Request"),
    ],
)
def test_a_login_refused_by_a_server_of_the_dialect_is_final(code: int, text: str) -> None:
    assert connected().receive(reply("login", "1", None, error(code, text))) == [LoginRefused(text)]


@pytest.mark.parametrize("code", [-32000, -32603, 32603])
def test_a_login_that_fails_for_a_passing_cause_is_retried(code: int) -> None:
    with pytest.raises(ProtocolError, match="cannot log us in now: busy") as caught:
        connected().receive(reply("login", "1", None, error(code, "busy")))
    assert not FAILURES[caught.value.cause].final


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "1", "jsonrpc": "2.0", "method": "login", "error": error(-32601, "no method")},
        {"id": 1, "result": None, "error": [20, "no method", None]},
        {"id": 1, "result": {"id": "x", "job": {"blob": "00"}, "status": "OK"}, "error": None},
    ],
    ids=["method not found", "no method named", "CryptoNote"],
)
def test_other_answers_to_the_login_are_another_dialect(answer: dict[str, Any]) -> None:
    (event,) = connected().receive(line(answer))
    assert isinstance(event, WrongProtocol)


def test_a_login_that_is_forgotten_is_reported() -> None:
    client = logged_in()
    refusal = error(-32500, "login first")
    assert client.receive(reply("getjobtemplate", "2", None, refusal)) == [
        LoginRefused("login first")
    ]


def test_the_empty_template_of_a_starting_node_is_asked_again() -> None:
    client = logged_in()
    start = JOB | {
        "height": 0,
        "algorithm": "cuckoo",
        "block_difficulty": [["progpow", 18446744073709551615]],
    }
    for number in (2, 3):
        assert client.receive(reply("getjobtemplate", str(number), start)) == []
        assert client.keepalive_after is not None
        assert client.keepalive_after < STATUS_SECONDS
        (asked,) = parsed(client.keepalive())
        assert asked["method"] == "getjobtemplate"
    assert jobs(client.receive(reply("getjobtemplate", "4", JOB)))
    (asked,) = parsed(client.keepalive())
    assert (asked["method"], client.keepalive_after) == ("status", STATUS_SECONDS)
    assert client.receive(reply("status", asked["id"], {"id": "0"})) == []


def test_a_syncing_node_is_reported_once_and_asked_again() -> None:
    client = logged_in()
    syncing = error(-32000, "Node is syncing - Please wait")
    events = client.receive(reply("getjobtemplate", "2", None, syncing))
    assert parsed(client.keepalive())[0]["method"] == "getjobtemplate"
    events += client.receive(reply("getjobtemplate", "3", None, syncing))
    assert messages(events) == ["the pool has no work for us: Node is syncing - Please wait"]


@pytest.mark.parametrize(
    ("entries", "target"),
    [
        ([["cuckoo", 3], ["ProgPow", 7], ["randomx", 4000]], MAX_TARGET // 7),
        ([["progpow", 2**64 - 1]], MAX_TARGET // (2**64 - 1)),
        ([["progpow", 0]], MAX_TARGET),
        ([["progpow", None]], MAX_TARGET),
        ([["randomx", 4000]], MAX_TARGET),
        ([7, ["progpow"], {}, ["progpow", 5]], MAX_TARGET // 5),
        (None, MAX_TARGET),
    ],
    ids=str,
)
def test_a_share_target_is_that_of_our_algorithm(entries: Any, target: int) -> None:
    (job,) = jobs(pushed(difficulty=entries))
    assert job.share_target == target


@pytest.mark.parametrize("value", [-5, 2**64, 1.5, "x", True, [], float("nan")], ids=str)
@pytest.mark.parametrize("member", ["difficulty", "block_difficulty"])
def test_a_difficulty_that_is_no_number_makes_no_easy_job(member: str, value: Any) -> None:
    got = pushed(**{member: [["progpow", value]]})
    assert jobs(got) == []
    assert messages(got) == ["a job of the pool cannot be mined: its difficulty is not a number"]


@given(st.integers(1, 2**64 - 1), st.integers(1, 2**256 - 1))
def test_a_hash_meets_the_target_exactly_if_it_has_the_difficulty(
    difficulty: int, value: int
) -> None:
    (job,) = jobs(pushed(difficulty=[["progpow", difficulty]]))
    assert (value <= job.share_target) == (MAX_TARGET // value >= difficulty)


@pytest.mark.parametrize("algorithm", ["cuckoo", "randomx", "a\x1b[31m" + "x" * 999])
def test_the_next_epoch_is_prepared_while_another_algorithm_makes_the_block(algorithm: str) -> None:
    (job,) = jobs(pushed(height=29999, algorithm=algorithm))
    assert (job.height, job.epoch.number) == (29999, 1)
    assert job.other_algorithm.isprintable()
    assert 0 < len(job.other_algorithm) <= 40


@pytest.mark.parametrize("algorithm", ["progpow", "ProgPow", "", None, 7])
def test_a_job_of_our_algorithm_or_of_none_is_mined(algorithm: Any) -> None:
    (job,) = jobs(pushed(height=29999, algorithm=algorithm))
    assert (job.wait_reason, job.epoch.number) == (None, 0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"pre_pow": "0"}, "pre_pow"),
        ({"pre_pow": ""}, "pre_pow"),
        ({"pre_pow": None}, "pre_pow"),
        ({"job_id": "x"}, "job_id"),
        ({"job_id": 1.5}, "job_id"),
        ({"height": None}, "block height"),
        ({"height": 10**15}, "epoch"),
    ],
    ids=str,
)
def test_an_unusable_job_is_reported_once(changes: dict[str, Any], problem: str) -> None:
    client = logged_in()
    events = client.receive(push(**changes) + push(**changes))
    assert [type(event) for event in events] == [Message]
    assert problem in messages(events)[0]
    assert [type(event) for event in client.receive(push())] == [JobReceived]


@pytest.mark.parametrize("params", [None, [], "x", 7])
def test_a_job_without_values_is_reported(params: Any) -> None:
    (event,) = logged_in().receive(line({"id": "Stratum", "method": "job", "params": params}))
    assert isinstance(event, Message)


def test_calls_of_the_pool_are_not_answered() -> None:
    client = logged_in()
    for method in ("job", "client.get_version", "mining.ping", "x"):
        client.receive(line({"id": 5, "jsonrpc": "2.0", "method": method, "params": []}))
    assert client.data_to_send() == b""


def test_a_status_that_a_pool_refuses_is_not_a_fault() -> None:
    client = logged_in()
    client.receive(push())
    number = parsed(client.keepalive())[0]["id"]
    assert client.receive(reply("status", number, None, error(-32601, "Method not found"))) == []


def test_the_coin_is_mined_with_the_unchanged_variant() -> None:
    coin = find_coin("EPIC")
    assert (coin.variant, coin.protocol, coin.node) == ("progpow-0.9.2", "epic", None)
    assert find_variant("epic") is VARIANT

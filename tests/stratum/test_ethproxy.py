"""ETHPROXY with SERO and Zano; each oddity of a pool has a test with its name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from miner.progpow.variant import Span
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.ethproxy import ETHPROXY, SERO, ZANO
from miner.stratum.opening import Opening
from miner.stratum.pool_events import (
    Authorized,
    HashrateRefused,
    JobReceived,
    LoginRefused,
    Message,
    PoolEvent,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.work import Job, NonceSpace, Outcome
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import jobs, line, messages, parsed, solution

CHAIN = replace(KAWPOW, name="progpow", period=50, spans=(Span(0, 30000),))
HEADER, SEED, TARGET = "0x" + "ab" * 32, "0x" + "00" * 32, "0x" + "0f" * 32
WORK = [HEADER, SEED, TARGET, "0x0e7ef0"]
KINDS = pytest.mark.parametrize("dialect", [ETHPROXY, SERO, ZANO])


def started(dialect: Dialect = ETHPROXY, user: str = "0xwallet.rig") -> ClientSide:
    client = dialect.connect(Opening(user, "x", "ours/0", CHAIN, 7, "pool.example", 3333))
    client.start()
    return client


def logged_in(dialect: Dialect = ETHPROXY) -> ClientSide:
    client = started(dialect)
    client.receive(line({"id": 1, "jsonrpc": "2.0", "result": True}))
    client.data_to_send()
    return client


def pushed(work: list[Any], number: Any = 0) -> bytes:
    return line({"id": number, "jsonrpc": "2.0", "result": work})


def job_of(client: ClientSide, *changes: tuple[int, str]) -> Job:
    work = list(WORK)
    for index, value in changes:
        work[index] = value
    (job,) = jobs(client.receive(pushed(work)))
    return job


@pytest.mark.parametrize(("dialect", "prefix"), [(ETHPROXY, "eth"), (SERO, "sero"), (ZANO, "eth")])
def test_login_comes_first_and_work_is_asked_for_after_it(dialect: Dialect, prefix: str) -> None:
    client = dialect.connect(Opening("0xwallet.rig", "x", "ours/0", CHAIN, 7))
    (login,) = parsed(client.start())
    assert login == {
        "id": 1, "jsonrpc": "2.0", "method": f"{prefix}_submitLogin",
        "params": ["0xwallet", "x"], "worker": "rig",
    }  # fmt: skip
    events = client.receive(line({"id": 1, "jsonrpc": "2.0", "result": True}))
    assert events == [Subscribed(NonceSpace()), Authorized()]
    (ask,) = parsed(client.data_to_send())
    assert (ask["method"], ask["params"]) == (f"{prefix}_getWork", [])


ADDRESS = f"0x{'ab' * 20}"


@pytest.mark.parametrize(
    ("user", "account", "worker"),
    [
        ("0xwallet", "0xwallet", None),
        ("0xwallet.rig7", "0xwallet", "rig7"),
        ("0xwallet.7", "0xwallet", "7"),
        ("0xwallet.rig7/ann@mail.example", "0xwallet/ann@mail.example", "rig7"),
        ("0xwallet/rig7/ann@mail.example", "0xwallet/rig7/ann@mail.example", "rig7"),
        ("0xwallet/rig7", "0xwallet/rig7", "rig7"),
        ("0xwallet/ann@mail.example", "0xwallet/ann@mail.example", None),
        ("ann@mail.example", "ann@mail.example", None),
        ("ann@mail.co.uk", "ann@mail.co.uk", None),
        ("ann@mail.example.com", "ann@mail.example.com", None),
        ("ann@mail.example.rig7", "ann@mail.example", "rig7"),
        ("ann@mail.example/rig7", "ann@mail.example/rig7", "rig7"),
        ("ann.lee@mail.example", "ann.lee@mail.example", None),
        (f"{ADDRESS}.rig7.lan", ADDRESS, "rig7.lan"),
        (f"{ADDRESS}.rig7.lan/ann@mail.example", f"{ADDRESS}/ann@mail.example", "rig7.lan"),
        ("myname.farm2.rig7", "myname.farm2", "rig7"),
    ],
)
def test_the_worker_after_the_account_is_sent_apart(
    user: str, account: str, worker: str | None
) -> None:
    (login,) = parsed(ETHPROXY.connect(Opening(user, "x", "a/0", CHAIN, 7)).start())
    assert (login["params"], login.get("worker")) == ([account, "x"], worker)


@pytest.mark.parametrize(
    ("user", "account", "worker"),
    [
        ("Zx.5000", "Zx.5000", "5000"),
        ("Zx.rig", "Zx", "rig"),
        (f"{ADDRESS}.5000", f"{ADDRESS}.5000", "5000"),
        (f"{ADDRESS}.5000.rig.lan", f"{ADDRESS}.5000", "rig.lan"),
    ],
)
def test_a_fixed_difficulty_stays_in_the_login_of_zanos_pools(
    user: str, account: str, worker: str
) -> None:
    (login,) = parsed(ZANO.connect(Opening(user, "x", "a/0", CHAIN, 7)).start())
    assert (login["params"], login["worker"]) == ([account, "x"], worker)


@pytest.mark.parametrize("number", [0, None, 1, 2, 999], ids=str)
def test_work_is_pushed_under_any_id(number: Any) -> None:
    (job,) = jobs(logged_in().receive(pushed(WORK, number)))
    assert (job.height, job.id, job.nonces) == (0x0E7EF0, HEADER, NonceSpace())


@pytest.mark.parametrize("number", [0, None, 5], ids=str)
@pytest.mark.parametrize(
    "members",
    [{"params": ["job7", *WORK]}, {"params": [HEADER, *WORK]}, {"params": WORK}, {"result": WORK}],
    ids=["after a job id", "after a hash", "alone", "as a result"],
)
def test_work_may_be_pushed_as_a_call(members: dict[str, Any], number: Any) -> None:
    client = logged_in()
    (job,) = jobs(client.receive(line({"id": number, "method": "mining.notify", **members})))
    assert (job.height, job.id, job.share_target) == (0x0E7EF0, HEADER, int(TARGET, 16))
    assert client.data_to_send() == b"", "the pool expects no answer"


@pytest.mark.parametrize("params", [[], ["job7"], [1, 2, 3, 4, 5], None, {}], ids=str)
def test_other_calls_are_not_work(params: Any) -> None:
    client = logged_in()
    call = {"id": 5, "method": "mining.notify", "params": params}
    assert client.receive(line(call)) == []
    (answer,) = parsed(client.data_to_send())
    assert answer["error"]["message"] == "Method not found"


def test_zano_pushes_work_without_any_id() -> None:
    (job,) = jobs(logged_in(ZANO).receive(line({"jsonrpc": "2.0", "result": WORK})))
    assert job.height == 0x0E7EF0


def test_work_with_the_id_of_a_share_is_not_its_answer() -> None:
    client = logged_in()
    client.submit(solution(job_of(client)))
    number = client.last_id
    assert [type(e) for e in client.receive(pushed(WORK, number))] == [JobReceived]
    answered = client.receive(line({"id": number, "result": True}))
    assert answered == [ShareAnswer(number, Outcome.ACCEPTED, "")]


@pytest.mark.parametrize("seed", [SEED[2:], ""])
def test_work_without_0x_is_work(seed: str) -> None:
    (job,) = jobs(logged_in().receive(pushed([HEADER[2:].upper(), seed, TARGET[2:], "950000"])))
    assert (job.id, job.height, job.share_target) == (HEADER, 950000, int(TARGET, 16))


def test_malformed_work_with_the_id_of_a_share_is_warned_about() -> None:
    client = logged_in()
    client.submit(solution(job_of(client)))
    (text,) = messages(client.receive(pushed(["0xzz", *WORK[1:]], client.last_id)))
    assert "header hash is not 64 hex digits" in text
    (answered,) = client.receive(line({"id": client.last_id, "result": True}))
    assert isinstance(answered, ShareAnswer)


def test_work_may_come_before_the_login_answer_and_with_its_id() -> None:
    client = started()
    events = client.receive(pushed(WORK, 1) + line({"id": 1, "result": True}))
    assert [type(event) for event in events] == [JobReceived, Subscribed, Authorized]


@pytest.mark.parametrize(
    ("text", "height"),
    [("0x00000000000003e8", 1000), ("950000", 950000), ("0x0e7ef0", 950000), (950000, 950000)],
)
def test_height_is_hex_with_0x_and_otherwise_decimal(text: Any, height: int) -> None:
    (job,) = jobs(logged_in().receive(pushed([*WORK[:3], text])))
    assert job.height == height


def test_work_without_height_is_warned_about_once() -> None:
    client = logged_in()
    events = client.receive(pushed(WORK[:3])) + client.receive(pushed(WORK[:3]))
    (text,) = messages(events)
    assert "no block height" in text
    assert jobs(events) == []


def test_short_target_is_padded_on_the_left() -> None:
    assert job_of(logged_in(), (2, "0x0fffff")).share_target == 0x0FFFFF


@KINDS
def test_no_work_while_syncing_is_neither_a_job_nor_an_error(dialect: Dialect) -> None:
    assert logged_in(dialect).receive(line({"id": 2, "jsonrpc": "2.0", "result": []})) == []


def test_error_instead_of_work_is_warned_about_once() -> None:
    client = logged_in()
    error = {"code": -32000, "message": "node is syncing"}
    events: list[PoolEvent] = client.receive(line({"id": 2, "error": error}))
    client.keepalive()
    events += client.receive(line({"id": client.last_id, "error": error}))
    assert events == [Message("the pool has no work for us: node is syncing", ours=True)]


@pytest.mark.parametrize("result", [True, {"status": "OK"}, ["x"], ["a", "b", "c"]], ids=str)
def test_other_result_instead_of_work_is_warned_about_once(result: Any) -> None:
    client = logged_in()
    events = client.receive(line({"id": 2, "result": result}))
    client.keepalive()
    events += client.receive(line({"id": client.last_id, "result": result}))
    (text,) = messages(events)
    assert "something else" in text
    assert len(events) == 1


def test_polled_work_is_the_same_search_and_not_clean() -> None:
    client = logged_in()
    first = job_of(client)
    client.keepalive()
    (again,) = jobs(client.receive(pushed(WORK, client.last_id)))
    assert again == replace(first, clean=False)
    assert again.search_key == first.search_key


def test_polls_answered_with_another_id_do_not_accumulate() -> None:
    client = logged_in()
    for _ in range(100):
        client.keepalive()
        client.receive(pushed(WORK, 0))
    assert len(client._requests) <= 1


def test_same_header_with_another_target_is_the_same_search() -> None:
    client = logged_in()
    first, second = job_of(client), job_of(client, (2, "0x" + "01" * 32))
    assert first.search_key == second.search_key
    assert second.share_target < first.share_target
    assert (first.clean, second.clean) == (True, False)


def test_greater_height_makes_older_work_stale() -> None:
    client = logged_in()
    job_of(client)
    assert job_of(client, (0, "0x" + "cd" * 32), (3, "0x0e7ef1")).clean


def test_share_is_lower_case_full_width_and_of_its_own_job() -> None:
    client = logged_in()
    job = job_of(client)
    job_of(client, (0, "0x" + "cd" * 32))
    (request,) = parsed(client.submit(solution(job, 0xAB, bytes.fromhex("ef" * 32))))
    assert request["params"] == ["0x00000000000000ab", HEADER, "0x" + "ef" * 32]
    assert (request["method"], request["worker"]) == ("eth_submitWork", "rig")


@KINDS
def test_lines_stay_under_1024_bytes_for_the_longest_addresses(
    dialect: Dialect,
) -> None:
    client = dialect.connect(Opening(f"{'a' * 128}.{'w' * 64}", "p" * 64, "ours/0", CHAIN, 7))
    lines = [
        client.start(),
        client.keepalive(),
        client.submit(solution(job_of(client), 2**64 - 1, bytes.fromhex("ef" * 32))),
        client.report_hashrate(2**64, bytes.fromhex("ef" * 32)),
    ]
    assert max(map(len, lines)) < 1024
    assert all(entry.count(b"\n") == 1 and entry.endswith(b"\n") for entry in lines)


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"result": True}, Outcome.ACCEPTED),
        ({"result": {"status": "OK"}}, Outcome.ACCEPTED),
        ({"result": False}, Outcome.INVALID),
        ({"result": False, "error": None}, Outcome.INVALID),
        ({"error": {"code": -1, "message": "Invalid job id"}}, Outcome.STALE),
        ({"error": {"code": -1, "message": "Rejected share: invalid result"}}, Outcome.INVALID),
        ({"error": {"code": -1, "message": "Duplicate share"}}, Outcome.DUPLICATE),
        ({"error": {"code": 23, "message": "Invalid share"}}, Outcome.INVALID),
        ({"error": {"code": 22, "message": "Duplicate share"}}, Outcome.DUPLICATE),
        ({"error": {"code": -32000, "message": "wrong work"}}, Outcome.STALE),
        (
            {"error": {"code": -32000, "message": "not enough work was done"}},
            Outcome.LOW_DIFFICULTY,
        ),
    ],
)
def test_each_answer_to_a_share(answer: dict[str, Any], outcome: Outcome) -> None:
    client = logged_in()
    client.submit(solution(job_of(client)))
    (event,) = client.receive(line({"id": client.last_id, "jsonrpc": "2.0", **answer}))
    assert isinstance(event, ShareAnswer)
    assert event.outcome is outcome


@pytest.mark.parametrize(
    "error",
    [
        {"code": -3, "message": "Method not found"},
        {"code": -1, "message": "Invalid method"},
        {"code": -32601},
        [20, "Not supported.", None],
        [25, "Not subscribed", None],
        "unsupported stratum version",
    ],
    ids=str,
)
def test_unknown_login_method_means_another_dialect(error: Any) -> None:
    (event,) = started().receive(line({"id": 1, "result": None, "error": error}))
    assert isinstance(event, WrongProtocol)


@pytest.mark.parametrize(
    "answer",
    [
        {"error": {"code": -1, "message": "Invalid login"}},
        {"error": {"code": -1, "message": "Account is locked, contact our support"}},
        {"result": False},
    ],
    ids=str,
)
def test_refused_login_is_final(answer: dict[str, Any]) -> None:
    (event,) = started().receive(line({"id": 1, **answer}))
    assert isinstance(event, LoginRefused)


def test_pool_is_polled_twice_a_minute() -> None:
    client = logged_in()
    assert client.keepalive_after == 30
    (request,) = parsed(client.keepalive())
    assert request["method"] == "eth_getWork"


def test_pool_that_does_not_push_is_polled_more_often_until_it_does() -> None:
    client = logged_in()
    client.receive(pushed(WORK, client.last_id))
    assert client.keepalive_after == 30, "every pool answers the first request"
    client.keepalive()
    client.receive(pushed(WORK, client.last_id))
    assert client.keepalive_after == 30, "nothing new"
    client.keepalive()
    client.receive(pushed(["0x" + "cd" * 32, *WORK[1:]], client.last_id))
    assert client.keepalive_after == 2
    client.receive(pushed(["0x" + "ce" * 32, *WORK[1:]], client.last_id))
    assert client.keepalive_after == 30, "pushed under the id of an answered request"


def test_zano_pool_refuses_hashrate_reports() -> None:
    client = logged_in(ZANO)
    (request,) = parsed(client.report_hashrate(255, bytes(32)))
    assert request["params"] == ["0x" + f"{255:064x}", "0x" + "00" * 32]
    error = {"code": -1, "message": "Invalid method"}
    events = client.receive(line({"id": client.last_id, "error": error}))
    assert events == [HashrateRefused("Invalid method")]


def test_sero_reports_with_its_own_method() -> None:
    (request,) = parsed(logged_in(SERO).report_hashrate(1, bytes(32)))
    assert request["method"] == "sero_submitHashrate"

"""ethminer's JSON-RPC: methods, errors and their codes, pausing with the token."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.api.auth import FAILURE_SECONDS, FREE_FAILURES, FailedTokens
from miner.panels.ethminer_rpc import CLIENT, NOT_OFFERED, EthminerSession
from miner.telemetry import Level, Telemetry
from tests.fakes.api import FakeControl, context_of
from tests.fakes.clock import FakeClock
from tests.fakes.rig import ABOUT, ONE, ZERO
from tests.panels.rigs import ManualClock

TOKEN = "a long secret of the owner's"


def new_session(token: str | None = None, control: FakeControl | None = None) -> EthminerSession:
    clock = FakeClock()
    return EthminerSession(context_of(Telemetry(clock, [ZERO, ONE], ABOUT), clock, control), token)


def call(
    session: EthminerSession, method: Any, params: Any = None, number: Any = 1
) -> dict[str, Any]:
    request = {"id": number, "jsonrpc": "2.0", "method": method}
    if params is not None:
        request["params"] = params
    answer = session.receive(json.dumps(request).encode() + b"\n")
    assert answer.endswith(b"\n")
    parsed: dict[str, Any] = json.loads(answer)
    assert parsed["jsonrpc"] == "2.0"
    assert parsed["id"] == number
    return parsed


def code(answer: dict[str, Any]) -> int:
    assert set(answer) == {"id", "jsonrpc", "error"}
    assert answer["error"]["message"]
    return int(answer["error"]["code"])


def test_ping() -> None:
    assert call(new_session(), "miner_ping", number=0) == {
        "id": 0,
        "jsonrpc": "2.0",
        "result": "pong",
    }


def test_reading_needs_no_password() -> None:
    session = new_session(TOKEN)
    assert len(call(session, "miner_getstat1")["result"]) == 9
    assert call(session, "miner_getstatdetail")["result"]["host"]["name"] == "rig1"
    assert call(session, "miner_getconnections")["result"] == []


def test_requests_are_answered_in_order_however_they_are_split() -> None:
    session = new_session()
    text = b"".join(b'{"id":%d,"method":"miner_ping"}\r\n' % number for number in range(3))
    answers = b"".join(session.receive(text[at : at + 1]) for at in range(len(text)))
    assert [json.loads(line)["id"] for line in answers.splitlines()] == [0, 1, 2]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\0", b"\r", b" ", b"\n\0"])
def test_a_request_is_answered_once_with_any_end(end: bytes) -> None:
    session = new_session()
    text = b'{"id":7,"method":"miner_pausegpu","params":{"index":0,"pause":{"}":1}}}' + end
    answers = b"".join(session.receive(text[at : at + 1]) for at in range(len(text)))
    assert json.loads(answers)["id"] == 7
    assert not session.ended
    assert b"pong" in b"".join(
        session.receive(piece) for piece in session.split(b'{"id":8,"method":"miner_ping"}' + end)
    )
    assert session.finish() == b""


def test_requests_that_end_in_nul_are_answered_one_by_one() -> None:
    session = new_session()
    pieces = session.split(b'{"id":1,"method":"miner_ping"}\0' * 3)
    assert [b"pong" in session.receive(piece) for piece in pieces] == [True] * 3


def test_two_requests_without_an_end_may_arrive_together() -> None:
    session = new_session()
    request = b'{"id":%d,"method":"miner_ping"}'
    answers = [session.receive(piece) for piece in session.split(request % 1 + request % 2)]
    assert [json.loads(answer)["id"] for answer in answers] == [1, 2]


def test_a_long_request_without_a_line_end_is_answered_when_the_client_closes_its_half() -> None:
    session = new_session()
    text = b'{"id":7,"method":"miner_ping","params":"' + b"x" * 2000 + b'"}'
    assert session.receive(text) == b""
    assert json.loads(session.finish())["result"] == "pong"
    assert session.ended


@pytest.mark.parametrize("number", ["text", None, 10**30])
def test_the_id_is_returned(number: Any) -> None:
    assert call(new_session(), "miner_ping", number=number)["result"] == "pong"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 60_000, -32700),
        (b"[]", -32600),
        (b'"miner_ping"', -32600),
        (b'{"id":1}', -32600),
        (b'{"method":7}', -32600),
        (b'{"method":"miner_dance"}', -32601),
        (b'{"method":"api_authorize"}', -32602),
        (b'{"method":"api_authorize","params":["x"]}', -32602),
        (b'{"method":"api_authorize","params":{"psw":7}}', -32602),
        (b'{"method":"miner_pausegpu","params":{"index":0,"pause":true}}', -401),
    ],
)
def test_invalid_requests_have_an_error_code(line: bytes, expected: int) -> None:
    answer = json.loads(new_session().receive(line + b"\n"))
    assert code(answer) == expected
    assert answer["id"] in (None, 1)


@pytest.mark.parametrize("method", NOT_OFFERED)
def test_unsupported_methods_are_refused_with_a_reason(method: str) -> None:
    session = new_session(TOKEN)
    assert call(session, "api_authorize", {"psw": TOKEN})["result"] is True
    answer = call(session, method)
    assert code(answer) == -32601
    assert f"{method} is not supported: " in answer["error"]["message"]


def test_pausing_requires_the_token() -> None:
    control = FakeControl()
    session = new_session(TOKEN, control)
    assert code(call(session, "miner_pausegpu", {"index": 1, "pause": True})) == -401
    assert control.calls == []
    assert call(session, "api_authorize", {"psw": TOKEN})["result"] is True
    assert call(session, "miner_pausegpu", {"index": 1, "pause": True})["result"] is True
    assert call(session, "miner_pausegpu", {"index": 1, "pause": False})["result"] is True
    assert control.calls == [("pause", ONE.name), ("resume", ONE.name)]


def test_without_a_token_the_port_is_read_only() -> None:
    control = FakeControl()
    session = new_session(None, control)
    for password in ("", "x", "None", TOKEN):
        assert code(call(session, "api_authorize", {"psw": password})) == -401
        assert code(call(session, "miner_pausegpu", {"index": 0, "pause": True})) == -401
    assert control.calls == []


def test_three_wrong_passwords_end_the_connection() -> None:
    session = new_session(TOKEN)
    for _ in range(2):
        answer = call(session, "api_authorize", {"psw": TOKEN[:-1]})
        assert code(answer) == -401
        assert TOKEN[:-1] not in json.dumps(answer)
        assert not session.ended
    assert code(call(session, "api_authorize", {"psw": "\ud800 ü"})) == -401
    assert session.ended
    assert session.receive(b'{"id":1,"method":"miner_ping"}\n') == b""


def test_wrong_passwords_are_throttled_and_the_right_one_is_accepted() -> None:
    clock = ManualClock()
    context = context_of(Telemetry(clock, [ZERO, ONE], ABOUT), clock)
    failed = FailedTokens(clock, context.journal)

    def attempt(password: str) -> Any:
        return call(EthminerSession(context, TOKEN, failed), "api_authorize", {"psw": password})

    for number in range(FREE_FAILURES):
        assert attempt(TOKEN).get("result") is True
        assert code(attempt(f"guess {number}")) == -401
    assert "try again later" in attempt("guess")["error"]["message"]
    assert attempt(TOKEN)["result"] is True
    (entry,) = context.journal.entries
    assert entry.level is Level.WARNING
    assert entry.text == f"{CLIENT} sends many wrong tokens; correct its token, or block the client"
    clock.move(FAILURE_SECONDS - 0.1)
    assert "try again later" in attempt("guess")["error"]["message"]
    clock.move(0.2)
    assert attempt(TOKEN)["result"] is True
    assert code(attempt("one more")) == -401
    # Further wrong passwords do not fill the journal.
    assert len(context.journal.entries) == 1


def test_a_wrong_password_revokes_the_authorization() -> None:
    control = FakeControl()
    session = new_session(TOKEN, control)
    assert call(session, "api_authorize", {"psw": TOKEN})["result"] is True
    assert code(call(session, "api_authorize", {"psw": "no"})) == -401
    assert code(call(session, "miner_pausegpu", {"index": 0, "pause": True})) == -401
    assert control.calls == []


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"index": 2, "pause": True}, -422),
        ({"index": -1, "pause": True}, -422),
        ({"index": "0", "pause": True}, -32602),
        ({"index": True, "pause": True}, -32602),
        ({"index": 0, "pause": 1}, -32602),
        ({"index": 0}, -32602),
        ([0, True], -32602),
    ],
)
def test_invalid_parameters_of_a_pause(params: Any, expected: int) -> None:
    control = FakeControl()
    session = new_session(TOKEN, control)
    call(session, "api_authorize", {"psw": TOKEN})
    assert code(call(session, "miner_pausegpu", params)) == expected
    assert control.calls == []


def test_a_card_that_is_not_used_cannot_be_paused() -> None:
    session = new_session(TOKEN, FakeControl(devices=(ONE.name,)))
    call(session, "api_authorize", {"psw": TOKEN})
    assert code(call(session, "miner_pausegpu", {"index": 0, "pause": True})) == -422


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"PATCH / HTTP/1.1"])
def test_http_requests_are_not_answered(line: bytes) -> None:
    session = new_session()
    body = b'{"id":1,"method":"miner_getstat1"}\n'
    assert session.receive(line + b"\r\nHost: x\r\n\r\n" + body) == b""
    assert session.ended


def test_a_line_over_the_limit_is_refused() -> None:
    session = new_session()
    for _ in range(16):
        assert session.receive(b"x" * 4096) == b""
    assert code(json.loads(session.receive(b"x"))) == -32600
    assert session.ended
    assert session.receive(b"x" * 4096) == b""


@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"{}", b'"id":1', b"null"])))
def test_any_bytes_are_handled(pieces: list[bytes]) -> None:
    session = new_session(TOKEN)
    answers = b"".join([*(session.receive(piece) for piece in pieces), session.finish()])
    for line in answers.splitlines():
        assert code(json.loads(line)) < 0

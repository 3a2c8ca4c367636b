"""ethminer's dialogue: what may be asked, what is refused, and with which number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.api.auth import FAILURE_SECONDS, FREE_FAILURES, FailedTokens
from miner.panels.ethminer_rpc import CLIENT, NOT_OFFERED, EthminerSession
from miner.telemetry import Level, Telemetry
from tests.fakes.clock import FakeClock
from tests.fakes.rig import ABOUT, ONE, ZERO
from tests.panels.rigs import FakeControl, StillClock, context_of

TOKEN = "a long secret of the owner's"


def dialogue(token: str | None = None, control: FakeControl | None = None) -> EthminerSession:
    clock = FakeClock()
    return EthminerSession(context_of(Telemetry(clock, [ZERO, ONE], ABOUT), clock, control), token)


def ask(rpc: EthminerSession, method: Any, params: Any = None, number: Any = 1) -> dict[str, Any]:
    request = {"id": number, "jsonrpc": "2.0", "method": method}
    if params is not None:
        request["params"] = params
    answer = rpc.receive(json.dumps(request).encode() + b"\n")
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
    assert ask(dialogue(), "miner_ping", number=0) == {"id": 0, "jsonrpc": "2.0", "result": "pong"}


def test_reads_need_no_password() -> None:
    rpc = dialogue(TOKEN)
    assert len(ask(rpc, "miner_getstat1")["result"]) == 9
    assert ask(rpc, "miner_getstatdetail")["result"]["host"]["name"] == "rig1"
    assert ask(rpc, "miner_getconnections")["result"] == []


def test_several_requests_are_answered_in_order_however_they_arrive() -> None:
    rpc = dialogue()
    text = b"".join(b'{"id":%d,"method":"miner_ping"}\r\n' % number for number in range(3))
    answers = b"".join(rpc.receive(text[at : at + 1]) for at in range(len(text)))
    assert [json.loads(line)["id"] for line in answers.splitlines()] == [0, 1, 2]


def test_a_last_request_needs_no_line_end() -> None:
    rpc = dialogue()
    assert rpc.receive(b'{"id":7,"method":"miner_ping"}') == b""
    assert json.loads(rpc.finish())["result"] == "pong"
    assert rpc.ended


@pytest.mark.parametrize("number", ["text", None, 10**30])
def test_the_number_comes_back(number: Any) -> None:
    assert ask(dialogue(), "miner_ping", number=number)["result"] == "pong"


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
def test_what_cannot_be_answered_has_its_number(line: bytes, expected: int) -> None:
    answer = json.loads(dialogue().receive(line + b"\n"))
    assert code(answer) == expected
    assert answer["id"] in (None, 1)


@pytest.mark.parametrize("method", NOT_OFFERED)
def test_what_is_not_offered_says_why(method: str) -> None:
    rpc = dialogue(TOKEN)
    assert ask(rpc, "api_authorize", {"psw": TOKEN})["result"] is True
    answer = ask(rpc, method)
    assert code(answer) == -32601
    assert f"{method} is not supported: " in answer["error"]["message"]


def test_a_card_is_paused_with_the_token_alone() -> None:
    control = FakeControl()
    rpc = dialogue(TOKEN, control)
    assert code(ask(rpc, "miner_pausegpu", {"index": 1, "pause": True})) == -401
    assert control.done == []
    assert ask(rpc, "api_authorize", {"psw": TOKEN})["result"] is True
    assert ask(rpc, "miner_pausegpu", {"index": 1, "pause": True})["result"] is True
    assert ask(rpc, "miner_pausegpu", {"index": 1, "pause": False})["result"] is True
    assert control.done == [("pause", ONE.name), ("resume", ONE.name)]


def test_without_a_token_nothing_is_written_whatever_is_given() -> None:
    control = FakeControl()
    rpc = dialogue(None, control)
    for password in ("", "x", "None", TOKEN):
        assert code(ask(rpc, "api_authorize", {"psw": password})) == -401
        assert code(ask(rpc, "miner_pausegpu", {"index": 0, "pause": True})) == -401
    assert control.done == []


def test_three_wrong_passwords_end_the_connection() -> None:
    rpc = dialogue(TOKEN)
    for _ in range(2):
        answer = ask(rpc, "api_authorize", {"psw": TOKEN[:-1]})
        assert code(answer) == -401
        assert TOKEN[:-1] not in json.dumps(answer)
        assert not rpc.ended
    assert code(ask(rpc, "api_authorize", {"psw": "\ud800 ü"})) == -401
    assert rpc.ended
    assert rpc.receive(b'{"id":1,"method":"miner_ping"}\n') == b""


def test_a_token_cannot_be_found_by_trying() -> None:
    clock = StillClock()
    context = context_of(Telemetry(clock, [ZERO, ONE], ABOUT), clock)
    failed = FailedTokens(clock, context.journal)

    def attempt(password: str) -> Any:
        return ask(EthminerSession(context, TOKEN, failed), "api_authorize", {"psw": password})

    for number in range(FREE_FAILURES):
        assert attempt(TOKEN).get("result") is True
        assert code(attempt(f"guess {number}")) == -401
    assert "try again later" in attempt(TOKEN)["error"]["message"]
    (entry,) = context.journal.entries
    assert entry.level is Level.WARNING
    assert entry.text == f"{CLIENT} sends wrong tokens; ignoring its tokens for a while"
    clock.passes(FAILURE_SECONDS - 0.1)
    assert "try again later" in attempt(TOKEN)["error"]["message"]
    clock.passes(0.2)
    assert attempt(TOKEN)["result"] is True
    assert code(attempt("one more")) == -401
    # Who goes on guessing as often as he may does not fill the journal.
    assert len(context.journal.entries) == 1


def test_a_wrong_password_takes_the_right_back() -> None:
    control = FakeControl()
    rpc = dialogue(TOKEN, control)
    assert ask(rpc, "api_authorize", {"psw": TOKEN})["result"] is True
    assert code(ask(rpc, "api_authorize", {"psw": "no"})) == -401
    assert code(ask(rpc, "miner_pausegpu", {"index": 0, "pause": True})) == -401
    assert control.done == []


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
def test_a_pause_of_what_is_not_there(params: Any, expected: int) -> None:
    control = FakeControl()
    rpc = dialogue(TOKEN, control)
    ask(rpc, "api_authorize", {"psw": TOKEN})
    assert code(ask(rpc, "miner_pausegpu", params)) == expected
    assert control.done == []


def test_a_card_that_is_not_the_engines_cannot_be_paused() -> None:
    rpc = dialogue(TOKEN, FakeControl(unknown=ZERO.name))
    ask(rpc, "api_authorize", {"psw": TOKEN})
    assert code(ask(rpc, "miner_pausegpu", {"index": 0, "pause": True})) == -422


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"PATCH / HTTP/1.1"])
def test_browsers_are_not_spoken_to(line: bytes) -> None:
    rpc = dialogue()
    body = b'{"id":1,"method":"miner_getstat1"}\n'
    assert rpc.receive(line + b"\r\nHost: x\r\n\r\n" + body) == b""
    assert rpc.ended


def test_a_line_has_its_limit() -> None:
    rpc = dialogue()
    for _ in range(16):
        assert rpc.receive(b"x" * 4096) == b""
    assert code(json.loads(rpc.receive(b"x"))) == -32600
    assert rpc.ended
    assert rpc.receive(b"x" * 4096) == b""


@given(st.lists(st.binary(max_size=200) | st.sampled_from([b"\n", b"{}", b'"id":1', b"null"])))
def test_nothing_that_arrives_breaks_it(pieces: list[bytes]) -> None:
    rpc = dialogue(TOKEN)
    answers = b"".join([*(rpc.receive(piece) for piece in pieces), rpc.finish()])
    for line in answers.splitlines():
        assert code(json.loads(line)) < 0

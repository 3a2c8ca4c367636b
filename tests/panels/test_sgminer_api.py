"""sgminer's API: JSON and plain text, joined commands, errors."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.panels.sgminer_api import COMMANDS, PRIVILEGED, REQUEST_LIMIT, SgminerSession
from miner.telemetry import Telemetry
from tests.fakes.api import FakeControl, context_of
from tests.fakes.clock import FakeClock
from tests.fakes.rig import ABOUT, ONE, ZERO
from tests.panels.consumers import plain
from tests.panels.rigs import BARE

DESCRIPTION = "progpow-miner 1.2.3"


def new_session(control: FakeControl | None = None) -> SgminerSession:
    clock = FakeClock()
    return SgminerSession(context_of(Telemetry(clock, [ZERO, ONE, BARE], ABOUT), clock, control))


def call(request: bytes) -> Any:
    api = new_session()
    answer = api.receive(request)
    assert api.ended
    assert answer.endswith(b"\0")
    assert answer.count(b"\0") == 1
    return json.loads(answer[:-1])


def status(answer: Any) -> tuple[str, int]:
    (one,) = answer["STATUS"]
    assert one["When"] == 1_800_001_000
    assert one["Description"] == DESCRIPTION
    assert one["Msg"]
    return one["STATUS"], one["Code"]


@pytest.mark.parametrize(
    ("command", "section", "number"),
    [
        ("summary", "SUMMARY", 11),
        ("devs", "DEVS", 9),
        ("pools", "POOLS", 7),
        ("version", "VERSION", 22),
        ("config", "CONFIG", 33),
        ("coin", "COIN", 78),
        ("gpucount", "GPUS", 20),
    ],
)
def test_each_command(command: str, section: str, number: int) -> None:
    answer = call(json.dumps({"command": command}).encode())
    assert set(answer) == {"STATUS", section, "id"}
    assert answer["id"] == 1
    assert status(answer) == ("S", number)
    text = plain(new_session().receive(command.encode() + b"\n"))
    assert text[0]["STATUS"] == "S"
    assert text[0]["Code"] == str(number)
    assert len(text) == 1 + len(answer[section])
    for row, values in zip(answer[section], text[1:], strict=True):
        assert set(row) <= set(values)


def test_text_escapes_its_separators() -> None:
    answer = new_session().receive(b"devs")
    assert rb"Name=Board\, A\=B\|C," in answer
    assert plain(answer)[3]["Name"] == BARE.model
    assert plain(answer)[3]["GPU"] == "2"


def test_text_has_booleans_in_lower_case() -> None:
    assert plain(new_session().receive(b"coin"))[1]["LP"] == "false"


def test_joined_commands_have_one_object_each() -> None:
    answer = call(b'{"command":"summary+devs"}')
    assert set(answer) == {"summary", "devs", "id"}
    assert status(answer["summary"]) == ("S", 11)
    assert len(answer["devs"]["DEVS"]) == 3
    text = plain(new_session().receive(b"summary+devs"))
    assert [one["CMD"] for one in text if "CMD" in one] == ["summary", "devs"]


def test_one_of_several_commands_may_be_unknown() -> None:
    answer = call(b'{"command":"summary+summary2"}')
    assert status(answer["summary"]) == ("S", 11)
    assert status(answer["summary2"]) == ("E", 14)
    assert "SUMMARY" not in answer["summary2"]


def test_the_gpu_command_returns_one_card() -> None:
    answer = call(b'{"command":"gpu","parameter":"1"}')
    assert status(answer) == ("S", 17)
    assert [row["GPU"] for row in answer["GPU"]] == [1]
    assert call(b'{"command":"gpu","parameter":1}')["GPU"] == answer["GPU"]
    assert plain(new_session().receive(b"gpu|1"))[1]["GPU"] == "1"


@pytest.mark.parametrize(
    ("parameter", "number"),
    [("", 15), ("3", 1), ("-1", 1), ("x", 1), ("1" * 50, 1), ("²", 1)],
)
def test_an_unknown_card_is_an_error(parameter: str, number: int) -> None:
    answer = call(json.dumps({"command": "gpu", "parameter": parameter}).encode())
    assert status(answer) == ("E", number)


@pytest.mark.parametrize(
    ("request_", "number"),
    [
        (b'{"command":"dance"}', 14),
        (b'{"command":"Summary"}', 14),
        (b'{"command":""}', 14),
        (b"{}", 24),
        (b'{"command":7}', 24),
        (b'{"command":\n', 23),
        (b'{"command":\0', 23),
        (b"{" * 400 + b"\n", 23),
    ],
)
def test_invalid_requests_have_an_error_code(request_: bytes, number: int) -> None:
    assert status(call(request_)) == ("E", number)


@pytest.mark.parametrize("command", sorted(PRIVILEGED))
def test_commands_that_change_something_are_denied(command: str) -> None:
    control = FakeControl()
    request = json.dumps({"command": command, "parameter": "0"}).encode()
    answer = json.loads(new_session(control).receive(request)[:-1])
    assert status(answer) == ("E", 45)
    assert answer["STATUS"][0]["Msg"] == f"Access denied to '{command}' command"
    assert plain(new_session(control).receive(f"{command}|0".encode()))[0]["Code"] == "45"
    assert control.calls == []
    assert command not in COMMANDS


def test_a_byte_order_mark_is_ignored() -> None:
    for request in (b'{"command":"summary"}', b"summary"):
        answer = new_session().receive(codecs.BOM_UTF8 + request)
        assert b"Msg=Summary" in answer or b'"Msg":"Summary"' in answer


def test_a_request_may_arrive_in_pieces_and_without_a_line_end() -> None:
    api = new_session()
    request = b' {"command":"summary","parameter":""}'
    for at in range(len(request) - 1):
        assert api.receive(request[at : at + 1]) == b""
    assert json.loads(api.receive(request[-1:])[:-1])["SUMMARY"]


def test_incomplete_json_is_an_error_when_the_client_closes() -> None:
    api = new_session()
    assert api.receive(b'{"command":{}') == b""
    assert status(json.loads(api.finish()[:-1])) == ("E", 23)
    assert new_session().finish() == b""


def test_a_connection_has_one_request() -> None:
    api = new_session()
    assert api.receive(b"summary")
    assert api.receive(b"devs") == b""


def test_a_request_over_the_limit_is_refused() -> None:
    api = new_session()
    assert api.receive(b"{" + b" " * (REQUEST_LIMIT - 1)) == b""
    assert plain(api.receive(b" "))[0]["Code"] == "14"
    assert api.ended


def test_repeated_commands_are_answered_once() -> None:
    answer = new_session().receive(b"summary" + b"+summary" * 60)
    assert answer.count(b"SUMMARY,") == 1


@given(
    st.lists(
        st.binary(max_size=100)
        | st.sampled_from([b"{", b"}", b'"command":', b'"gpu"', b"|", b"+", b"summary", b"\0"])
    )
)
def test_any_bytes_are_handled(pieces: list[bytes]) -> None:
    api = new_session()
    answer = b"".join([*(api.receive(piece) for piece in pieces), api.finish()])
    assert answer == b"" or answer.endswith(b"\0")
    if answer.startswith(b"{"):
        json.loads(answer[:-1])

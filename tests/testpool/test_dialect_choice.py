from __future__ import annotations

import pytest

from miner.errors import BadValue
from miner.stratum.dialects import DIALECTS
from miner.testpool.pool_server import ServerOptions
from tests.testpool.raw_client import WORKER, RawClient

OPENINGS = {
    "kawpow": ("mining.subscribe", ["test/1"]),
    "ethstratum": ("mining.subscribe", ["test/1", "EthereumStratum/1.0.0"]),
    "ethstratum2": ("mining.hello", {"proto": "EthereumStratum/2.0.0"}),
    "ethproxy": ("eth_submitLogin", [WORKER, "x"]),
    "sero": ("sero_submitLogin", [WORKER, "x"]),
    "epic": ("login", {"login": WORKER, "pass": "x", "agent": "test/1"}),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_the_first_message_decides_the_dialect(name: str) -> None:
    raw = RawClient()
    (reply,) = raw.ask(*OPENINGS[name])
    assert raw.session.side.dialect.name == name
    assert reply.get("error") is None


def test_zano_is_only_served_by_name() -> None:
    raw = RawClient(protocol="zano")
    raw.ask(*OPENINGS["ethproxy"])
    assert raw.session.side.dialect.name == "zano"


def test_other_messages_leave_the_dialect_undecided() -> None:
    raw = RawClient()
    data = b'{"id":7,"method":"mining.configure"}\n{"id":8,"method":"mining.hello","params":{}}\n'
    first, second = raw.feed(data)
    assert (first["id"], first["error"]) == (7, [20, "Not supported."])
    assert (second["id"], second["error"]["code"]) == (8, 400)
    assert raw.session.side.dialect.name == "ethstratum2"


def test_the_dialect_does_not_change_later() -> None:
    raw = RawClient()
    raw.ask(*OPENINGS["kawpow"])
    (reply,) = raw.ask(*OPENINGS["ethproxy"])
    assert reply["error"] == [20, "Not supported."]


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize("tried", OPENINGS)
def test_a_pool_with_one_dialect(spoken: str, tried: str) -> None:
    raw = RawClient(protocol=spoken)
    (reply,) = raw.ask(*OPENINGS[tried])
    understood = {tried, {"ethstratum": "kawpow", "ethproxy": "zano"}.get(tried, tried)}
    assert (reply.get("error") is None) == (spoken in understood)
    assert raw.session.side.dialect.name == spoken
    hung_up = spoken in ("ethproxy", "sero") and spoken != tried
    assert bool(raw.session.close_reason) == hung_up


def test_errors_in_the_form_of_each_dialect() -> None:
    (reply,) = RawClient(protocol="ethproxy").ask(*OPENINGS["kawpow"])
    assert reply["error"] == {"code": -3, "message": "Method not found"}
    (reply,) = RawClient(protocol="ethstratum").ask(*OPENINGS["kawpow"])
    assert reply["error"][1].startswith("unsupported stratum version")
    (reply,) = RawClient(protocol="ethstratum").ask(*OPENINGS["sero"])
    assert reply["error"] == [20, "Not supported.", None]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_line_that_is_not_json_ends_the_session(name: str) -> None:
    raw = RawClient(protocol=name)
    replies = raw.feed(b"GET / HTTP/1.1\n")
    # EPIC Cash's nodes close such a connection without an answer.
    assert [reply["id"] for reply in replies] == [None] * (name != "epic")
    assert all(reply["error"] for reply in replies)
    assert raw.session.close_reason == "a line is not JSON"


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(BadValue, match="'eth' is not one of kawpow, ethstratum"):
        ServerOptions(protocol="eth")

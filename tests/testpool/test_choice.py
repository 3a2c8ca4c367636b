from __future__ import annotations

import pytest

from miner.errors import BadValue
from miner.stratum.dialects import DIALECTS
from miner.testpool.pool_server import PoolServer
from tests.testpool.ground import HandClock, make_chain, prove
from tests.testpool.raw import WORKER, Raw

OPENINGS = {
    "kawpow": ("mining.subscribe", ["test/1"]),
    "ethstratum": ("mining.subscribe", ["test/1", "EthereumStratum/1.0.0"]),
    "ethstratum2": ("mining.hello", {"proto": "EthereumStratum/2.0.0"}),
    "ethproxy": ("eth_submitLogin", [WORKER, "x"]),
    "sero": ("sero_submitLogin", [WORKER, "x"]),
}


@pytest.mark.parametrize("name", OPENINGS)
def test_the_first_message_decides(name: str) -> None:
    raw = Raw()
    (reply,) = raw.ask(*OPENINGS[name])
    assert raw.teller.dialect.dialect.name == name
    assert reply.get("error") is None


def test_zano_s_login_is_taken_for_its_own_where_nothing_else_is_spoken() -> None:
    raw = Raw(protocol="zano")
    raw.ask(*OPENINGS["ethproxy"])
    assert raw.teller.dialect.dialect.name == "zano"


def test_messages_that_open_nothing_leave_it_open() -> None:
    raw = Raw()
    data = b'{"id":7,"method":"mining.configure"}\n{"id":8,"method":"mining.hello","params":{}}\n'
    first, second = raw.feed(data)
    assert (first["id"], first["error"]) == (7, [20, "Not supported."])
    assert (second["id"], second["error"]["code"]) == (8, 400)
    assert raw.teller.dialect.dialect.name == "ethstratum2"


def test_a_choice_holds() -> None:
    raw = Raw()
    raw.ask(*OPENINGS["kawpow"])
    (reply,) = raw.ask(*OPENINGS["ethproxy"])
    assert reply["error"] == [20, "Not supported."]


@pytest.mark.parametrize("spoken", DIALECTS)
@pytest.mark.parametrize("tried", OPENINGS)
def test_one_protocol_alone(spoken: str, tried: str) -> None:
    raw = Raw(protocol=spoken)
    (reply,) = raw.ask(*OPENINGS[tried])
    understood = {tried, {"ethstratum": "kawpow", "ethproxy": "zano"}.get(tried, tried)}
    assert (reply.get("error") is None) == (spoken in understood)
    assert raw.teller.dialect.dialect.name == spoken
    hung_up = spoken in ("ethproxy", "sero") and spoken != tried
    assert bool(raw.teller.close_reason) == hung_up


def test_words_of_the_families() -> None:
    (reply,) = Raw(protocol="ethproxy").ask(*OPENINGS["kawpow"])
    assert reply["error"] == {"code": -3, "message": "Method not found"}
    (reply,) = Raw(protocol="ethstratum").ask(*OPENINGS["kawpow"])
    assert reply["error"][1].startswith("unsupported stratum version")
    (reply,) = Raw(protocol="ethstratum").ask(*OPENINGS["sero"])
    assert reply["error"] == [20, "Not supported.", None]


@pytest.mark.parametrize("name", DIALECTS)
def test_what_is_no_json_ends_every_dialect(name: str) -> None:
    raw = Raw(protocol=name)
    (reply,) = raw.feed(b"GET / HTTP/1.1\n")
    assert reply["id"] is None
    assert reply["error"]
    assert raw.teller.close_reason == "a line is not JSON"


def test_a_protocol_that_nobody_speaks() -> None:
    with pytest.raises(BadValue, match="'eth' is none of the pool's: kawpow, ethstratum"):
        PoolServer(make_chain(), prove, HandClock(), None, protocol="eth")

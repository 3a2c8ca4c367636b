from __future__ import annotations

from typing import Any

import pytest

from tests.testpool.raw_client import WORKER, RawClient
from tests.testpool.standins import ANY_HASH, final_of, make_chain, mix_of, nonce_between, seed_of

SEED = "0x" + seed_of(0).hex()


class Miner(RawClient):
    def __init__(self, prefix: str = "eth_", **options: Any) -> None:
        super().__init__(**options)
        self.prefix = prefix

    def login(self) -> Miner:
        (reply,) = self.call(f"{self.prefix}submitLogin", WORKER, "x")
        assert reply == {"id": 1, "jsonrpc": "2.0", "result": True}
        return self

    def work(self) -> Any:
        (reply,) = self.call(f"{self.prefix}getWork")
        assert (reply["id"], reply["jsonrpc"]) == (self.last_id, "2.0")
        return reply["result"]

    def submit(self, work: list[str], nonce: int, /, **other: object) -> Any:
        """Return the answer without id and version."""
        header = bytes.fromhex(work[0][2:])
        height = self.chain.template.height
        share = {
            "nonce": f"0x{nonce:016x}",
            "header": work[0],
            "mix": "0x" + mix_of(height, header, nonce).hex(),
        }
        (reply,) = self.call(f"{self.prefix}submitWork", *(share | other).values())
        assert (reply.pop("id"), reply.pop("jsonrpc")) == (self.last_id, "2.0")
        return reply


def zano() -> Miner:
    return Miner(protocol="zano")


@pytest.mark.parametrize(
    ("miner", "height"),
    [(Miner(), "0x0003e8"), (Miner("sero_"), "1000"), (zano(), "0x00000000000003e8")],
    ids=["ethproxy", "sero", "zano"],
)
def test_login_and_first_work(miner: Miner, height: str) -> None:
    work = miner.login().work()
    header = miner.chain.template.header_hash.hex()
    assert work == [f"0x{header}", SEED, "0x" + "f" * 64, height]
    assert [login.worker for login in miner.logins] == [WORKER]


def test_new_work_is_pushed() -> None:
    miner, other = Miner().login(), zano().login()
    for m, rest in ((miner, {"id": 0, "jsonrpc": "2.0"}), (other, {"jsonrpc": "2.0"})):
        m.chain.advance()
        (push,) = m.announced()
        assert push.pop("result")[0] == "0x" + m.chain.template.header_hash.hex()
        assert push == rest


def test_nothing_is_pushed_before_the_login() -> None:
    miner = Miner()
    miner.call("mining.ping")
    miner.chain.advance()
    assert miner.announced() == []


@pytest.mark.parametrize("prefix", ["eth_", "sero_"])
def test_shares_of_ethproxy_and_sero(prefix: str) -> None:
    miner = Miner(prefix, chain=make_chain(share_target=2**255)).login()
    work = miner.work()
    header = miner.chain.template.header_hash
    good = nonce_between(header, 0, 0, 2**255)
    low = nonce_between(header, 0, 2**255, ANY_HASH)
    assert miner.submit(work, good) == {"result": True}
    assert miner.submit(work, good) == {"result": False}
    assert miner.submit(work, low) == {"result": False}
    assert miner.submit(work, good + 2**40, mix="0x" + "00" * 32) == {"result": False}
    assert miner.submit(["0x" + "12" * 32], good) == {"result": False}
    miner.chain.advance()
    miner.announced()
    assert miner.submit(work, good + 1) == {"result": False}
    assert [judged.code for judged in miner.judged] == [0, 22, 23, 20, 21, 21]
    assert {judged.worker for judged in miner.judged} == {WORKER}
    assert miner.session.close_reason == ""


def test_shares_of_zano() -> None:
    miner = zano().login()
    work = miner.work()
    assert miner.submit(work, 5) == {"result": {"status": "OK"}}
    wrong = {"code": -1, "message": "duplicate share"}
    assert miner.submit(work, 5) == {"result": None, "error": wrong}
    wrong = {"code": -1, "message": "invalid mix hash"}
    assert miner.submit(work, 6, mix="0x" + "00" * 32) == {"result": None, "error": wrong}
    miner.chain.advance()
    message = miner.submit(work, 7)["error"]["message"]
    assert message == "stale share: height 1000 is over, the chain is at 1001"
    assert miner.submit(work, 7, nonce="0x7")["error"]["code"] == -1
    assert miner.session.close_reason == ""


@pytest.mark.parametrize(
    "other",
    [
        {"nonce": "0x12"},
        {"nonce": "0x" + "AB" * 8},
        {"nonce": 7},
        {"mix": "00" * 32},
        {"header": 1},
    ],
)
def test_a_malformed_share_ends_an_ethproxy_session(other: dict[str, object]) -> None:
    miner = Miner().login()
    assert miner.submit(miner.work(), 1, **other) == {"result": False}
    assert "malformed" in miner.session.close_reason
    (judged,) = miner.judged
    assert (judged.code, judged.worker) == (20, WORKER)


def test_unknown_methods() -> None:
    miner, other = Miner().login(), zano().login()
    (reply,) = miner.call("eth_subscribe")
    assert reply["error"] == {"code": -3, "message": "Method not found"}
    assert miner.session.close_reason == "it was sent an error: Method not found"
    assert miner.call("eth_getWork") == []
    (reply,) = other.call("eth_submitHashrate", "0x1", "0x2")
    assert reply["error"] == {"code": -1, "message": "Invalid method"}
    assert other.session.close_reason == ""


def test_hashrate_reports_are_accepted() -> None:
    (reply,) = Miner("sero_").login().call("sero_submitHashrate", "0x1", "0x2")
    assert reply["result"] is True


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, 5, None])
def test_invalid_worker_names_are_refused(name: object) -> None:
    miner = Miner()
    (reply,) = miner.call("eth_submitLogin", name)
    assert reply["error"]["code"] == -1
    assert miner.session.close_reason
    assert miner.logins == []


def test_a_new_target_comes_with_the_same_header() -> None:
    miner = Miner(chain=make_chain(share_target=2**255)).login()
    first = miner.work()
    (push,) = miner.retargeted(2**250)
    assert push["result"] == [first[0], first[1], f"0x{2**250:064x}", first[3]]
    assert miner.work() == push["result"]
    header = miner.chain.template.header_hash
    under_way = nonce_between(header, 0, 2**250, 2**255)
    assert miner.submit(first, under_way) == {"result": True}
    miner.retargeted(2**249)
    assert miner.submit(first, under_way + 0) == {"result": False}
    late = nonce_between(header, under_way + 1, 2**250, 2**255)
    assert miner.submit(first, late) == {"result": False}
    assert [judged.code for judged in miner.judged] == [0, 22, 23]


def test_a_block() -> None:
    miner = Miner(chain=make_chain(block_target=2**255)).login()
    nonce = nonce_between(miner.chain.template.header_hash, 0, 0, 2**254)
    assert miner.submit(miner.work(), nonce) == {"result": True}
    (block,) = miner.blocks
    assert block.final_hash == final_of(miner.chain.template.header_hash, nonce)


def test_ethproxy_has_neither_extranonce_nor_reconnect() -> None:
    dialect = Miner().login().session.side
    assert not dialect.has_extranonce
    assert not dialect.ask_to_reconnect("127.0.0.1", 1, 0)

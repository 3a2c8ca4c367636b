from __future__ import annotations

from typing import Any

import pytest

from miner.stratum.difficulty import DIFF1_FFFF, target_from_difficulty
from miner.work import NonceSpace
from tests.testpool.raw_client import FIRST, WORKER, RawClient
from tests.testpool.standins import ANY_HASH, make_chain, nonce_between, seed_of

VERSION = "EthereumStratum/1.0.0"


class Miner(RawClient):
    def login(self) -> list[Any]:
        """Return what follows the answer to the authorization."""
        (reply,) = self.call("mining.subscribe", "test/1", VERSION)
        assert reply["result"] == [["mining.notify", "beef", VERSION], "beef"]
        first, *rest = self.call("mining.authorize", WORKER, "x")
        assert first == {"id": 2, "result": True, "error": None}
        return rest

    def submit(self, job: str, suffix: str) -> Any:
        (reply,) = self.call("mining.submit", WORKER, job, suffix)
        return reply["error"] or reply["result"]


def suffix(nonce: int) -> str:
    return f"{nonce - FIRST:012x}"


def test_login_and_first_job() -> None:
    miner = Miner(make_chain(share_target=0xFFFF << 209))
    template = miner.chain.template
    header = template.header_hash.hex()
    job = [template.job_id, seed_of(0).hex(), header, True]
    assert miner.login() == [
        {"id": None, "method": "mining.set_difficulty", "params": [0.5]},
        {"id": None, "method": "mining.notify", "params": job, "height": "1000"},
    ]
    assert (miner.logins[0].worker, miner.logins[0].agent) == (WORKER, "test/1")
    (reply,) = miner.call("mining.extranonce.subscribe")
    assert reply["result"] is True


def test_each_share_outcome() -> None:
    miner = Miner(make_chain(share_target=2**255))
    miner.login()
    job = miner.chain.template
    target = target_from_difficulty(float(DIFF1_FFFF / 2**255), DIFF1_FFFF)
    good = nonce_between(job.header_hash, FIRST, 0, target)
    low = nonce_between(job.header_hash, FIRST, target, ANY_HASH)
    assert miner.submit(job.job_id, suffix(good)) is True
    assert miner.submit(job.job_id, suffix(good).upper()) == [22, "duplicate share", None]
    assert miner.submit(job.job_id, suffix(low))[0] == 23
    assert miner.submit("?", suffix(good)) == [21, "job not found", None]
    miner.chain.advance()
    stale = "stale share: height 1000 is over, the chain is at 1001"
    assert miner.submit(job.job_id, suffix(good + 1)) == [21, stale, None]
    assert [judged.accepted for judged in miner.judged] == [True, *[False] * 4]
    assert miner.judged[0].difficulty > 0


@pytest.mark.parametrize("text", ["", "00", "0x0000000000", "beef000000000000", "00000000000g"])
def test_nonces_of_wrong_size_are_refused(text: str) -> None:
    miner = Miner()
    miner.login()
    error = miner.submit(miner.chain.template.job_id, text)
    assert error == [20, "incorrect size of nonce, must be 6 bytes after 'beef'", None]


def test_missing_parts_and_unknown_workers_are_refused() -> None:
    miner = Miner()
    miner.login()
    (reply,) = miner.call("mining.submit", WORKER, "job")
    assert reply["error"][0] == 20
    (reply,) = miner.call("mining.submit", "nobody", "job", "00" * 6)
    assert reply["error"] == [24, "unauthorized worker", None]


def test_a_new_difficulty_applies_to_the_job_after_it() -> None:
    miner = Miner(make_chain(share_target=0xFFFF << 232))
    miner.login()
    old = miner.chain.template
    first, second = miner.retargeted(0xFFFF << 224)
    assert first["method"] == "mining.set_difficulty"
    assert first["params"] == [2.0**-16]
    name = second["params"][0]
    assert name != old.job_id
    assert second["params"][1:] == [old.seed_hash.hex(), old.header_hash.hex(), False]
    nonce = nonce_between(old.header_hash, FIRST, 0xFFFF << 224, 0xFFFF << 232)
    assert miner.submit(name, suffix(nonce))[0] == 23
    nonce = nonce_between(old.header_hash, nonce + 1, 0xFFFF << 224, 0xFFFF << 232)
    assert miner.submit(old.job_id, suffix(nonce)) is True


def test_a_new_extranonce_applies_to_the_job_after_it() -> None:
    miner = Miner()
    miner.login()
    old = miner.chain.template
    miner.session.side.change_extranonce(NonceSpace(0xABCDEF, 24))
    first, second = miner.sent()
    assert (first["method"], first["params"]) == ("mining.set_extranonce", ["abcdef"])
    name = second["params"][0]
    assert miner.submit(name, "00" * 5) is True
    assert miner.submit(name, "00" * 6)[0] == 20
    assert miner.submit(old.job_id, "00" * 6) is True


def test_a_reconnect_request() -> None:
    miner = Miner()
    miner.login()
    assert miner.session.side.ask_to_reconnect("127.0.0.1", 3333, 2)
    (wish,) = miner.sent()
    assert (wish["method"], wish["params"]) == ("client.reconnect", ["127.0.0.1", 3333, 2])

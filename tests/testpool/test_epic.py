from __future__ import annotations

import json
from typing import Any

import pytest

from miner.progpow.keccak import keccak256
from tests.testpool.raw_client import WORKER, RawClient
from tests.testpool.standins import ANY_HASH, make_chain, mix_of, nonce_between

LOGIN = {"login": WORKER, "pass": "longpassword", "agent": "test/1"}
TOO_LATE = {"code": -32503, "message": "Solution submitted too late"}


class Miner(RawClient):
    def answer(self, method: str, params: object = None) -> Any:
        """Return the only answer, which must repeat id and method."""
        (reply,) = self.ask(method, params)
        assert list(reply) == ["id", "jsonrpc", "method", "result", "error"]
        assert (reply["id"], reply["jsonrpc"], reply["method"]) == (self.last_id, "2.0", method)
        assert (reply["result"] is None) != (reply["error"] is None)
        return reply["result"] or reply["error"]

    def login(self) -> dict[str, Any]:
        """Log in and return the job."""
        assert self.answer("login", LOGIN) == "ok"
        job = self.answer("getjobtemplate", {"algorithm": "progpow"})
        assert isinstance(job, dict)
        return job

    def submit(self, job: dict[str, Any], nonce: int, /, **changes: Any) -> Any:
        template = self.chain.template
        mix = list(mix_of(template.height, template.header_hash, nonce))
        share = {"height": job["height"], "job_id": job["job_id"], "nonce": nonce}
        return self.answer("submit", share | {"pow": {"ProgPow": mix}} | changes)


def test_login_and_first_job() -> None:
    miner = Miner(make_chain(share_target=2**240, block_target=2**230))
    job = miner.login()
    assert (job["height"], job["job_id"], job["algorithm"]) == (1000, 0, "progpow")
    assert dict(job["difficulty"]) == {"randomx": 1, "cuckoo": 1, "progpow": 2**16}
    assert dict(job["block_difficulty"])["progpow"] == pytest.approx(2**26, rel=0.001)
    assert keccak256(bytes.fromhex(job["pre_pow"])) == miner.chain.template.header_hash
    assert (miner.logins[0].worker, miner.logins[0].agent) == (WORKER, "test/1")


def test_jobs_are_numbered_at_each_height() -> None:
    miner = Miner()
    miner.login()
    pushed = []
    for step in (miner.chain.refresh, miner.chain.refresh, miner.chain.advance):
        step()
        (message,) = miner.announced()
        assert (message["id"], message["method"]) == ("Stratum", "job")
        pushed.append((message["params"]["height"], message["params"]["job_id"]))
    assert pushed == [(1000, 1), (1000, 2), (1001, 0)]
    asked = miner.answer("getjobtemplate", {"algorithm": "cuckoo"})
    assert (asked["height"], asked["job_id"]) == (1001, 0)


def test_each_share_outcome() -> None:
    miner = Miner(make_chain(share_target=2**255, block_target=2**250))
    job = miner.login()
    header = miner.chain.template.header_hash
    good = nonce_between(header, 2**63, 2**250, 2**254)
    low = nonce_between(header, 2**63, 2**255, ANY_HASH)
    assert miner.submit(job, good) == "ok"
    failed = "Failed to validate solution: "
    assert miner.submit(job, good) == {"code": -32502, "message": failed + "duplicate share"}
    assert miner.submit(job, low)["code"] == -32501
    wrong = miner.submit(job, good + 1, pow={"ProgPow": [0] * 32})
    assert wrong == {"code": -32502, "message": failed + "invalid mix hash"}
    assert miner.submit(job, good, job_id=7) == miner.submit(job, good, height=999) == TOO_LATE
    block = nonce_between(header, 2**63, 0, 2**250)
    assert miner.submit(job, block).startswith("blockfound - 0")
    miner.chain.advance()
    assert miner.submit(job, good + 2**20) == TOO_LATE
    status = miner.answer("status")
    assert (status["height"], status["id"], status["difficulty"]) == (1001, "0", 1)
    assert (status["accepted"], status["rejected"], status["stale"]) == (2, 3, 3)


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "1"},
        {"nonce": 1.0},
        {"nonce": 2**64},
        {"nonce": -1},
        {"job_id": "0"},
        {"height": None},
        {"pow": {"RandomX": [0] * 32}},
        {"pow": {"ProgPow": [0] * 31}},
        {"pow": {"ProgPow": [256] * 32}},
        {"pow": {"ProgPow": [True] * 32}},
        {"pow": {"ProgPow": "00" * 32}},
        {"pow": None},
    ],
    ids=str,
)
def test_malformed_shares_are_invalid_requests(changes: dict[str, Any]) -> None:
    miner = Miner()
    job = miner.login()
    assert miner.submit(job, 1, **changes) == {"code": -32600, "message": "Invalid Request"}
    assert not miner.judged[-1].accepted


def test_what_comes_before_the_login_is_refused() -> None:
    miner = Miner(protocol="epic")
    refusal = {"code": -32500, "message": "login first"}
    assert miner.answer("getjobtemplate", {"algorithm": "progpow"}) == refusal
    assert miner.answer("status") == refusal
    assert miner.submit({"height": 1000, "job_id": 0}, 1) == refusal
    assert miner.answer("keepalive") == "ok"
    assert miner.announced() == []


@pytest.mark.parametrize("params", [None, [], [WORKER, "x"], {}, {"login": WORKER, "pass": "x"}])
def test_a_login_is_an_object_of_three_texts(params: object) -> None:
    assert Miner(protocol="epic").answer("login", params)["code"] == -32600


@pytest.mark.parametrize("params", [None, [], {}, {"algorithm": 7}])
def test_a_request_for_a_job_names_an_algorithm(params: object) -> None:
    miner = Miner()
    miner.login()
    assert miner.answer("getjobtemplate", params)["code"] == -32600


def test_an_unknown_method_is_refused() -> None:
    assert Miner(protocol="epic").answer("mining.subscribe", [])["code"] == -32601


@pytest.mark.parametrize("missing", ["id", "jsonrpc", "method"])
def test_a_request_without_id_version_or_method_ends_the_connection_unanswered(
    missing: str,
) -> None:
    miner = Miner(protocol="epic")
    message = {"id": "1", "jsonrpc": "2.0", "method": "keepalive"}
    del message[missing]
    assert miner.feed(json.dumps(message).encode() + b"\n") == []
    assert miner.session.close_reason


def test_an_answer_ends_the_connection() -> None:
    miner = Miner(protocol="epic")
    assert miner.feed(b'{"id":1,"jsonrpc":"2.0","result":"pong","error":null}\n') == []
    assert miner.session.close_reason


def test_ids_keep_their_type() -> None:
    miner = Miner(protocol="epic")
    for number in ("7", 7, 2**53 + 1):
        request = {"id": number, "jsonrpc": "2.0", "method": "keepalive"}
        (reply,) = miner.feed(json.dumps(request).encode() + b"\n")
        assert reply["id"] == number
        assert type(reply["id"]) is type(number)

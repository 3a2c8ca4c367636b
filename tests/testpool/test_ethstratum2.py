from __future__ import annotations

from typing import Any

import pytest

from miner.stratum.resumable import RESUME_SECONDS, ResumableSessions
from miner.work import NonceSpace
from tests.testpool.raw_client import FIRST, WORKER, RawClient
from tests.testpool.standins import ANY_HASH, make_chain, nonce_between

HELLO = {"agent": "test/1", "host": "x", "port": "d05", "proto": "EthereumStratum/2.0.0"}


class Miner(RawClient):
    def login(self, session: object = None) -> list[Any]:
        """Return what follows the answer to the authorization."""
        self.ask("mining.hello", HELLO)
        (reply,) = self.ask("mining.subscribe", session)
        self.session_id = reply["result"]
        first, *rest = self.call("mining.authorize", WORKER, "x")
        assert first["error"] is None
        self.token = first["result"]
        return rest

    def submit(self, job: str, suffix: str) -> Any:
        """Return the error; None: accepted."""
        (reply,) = self.call("mining.submit", job, suffix, self.token)
        assert reply["result"] is None
        return reply["error"]


def suffix(nonce: int) -> str:
    return f"{nonce - FIRST:012x}"


def test_login_and_first_job() -> None:
    miner = Miner(make_chain(share_target=2**200, height=7600))
    (reply,) = miner.ask("mining.hello", HELLO)
    assert reply["result"]["proto"] == "EthereumStratum/2.0.0"
    assert int(reply["result"]["timeout"], 16) == 180
    (reply,) = miner.ask("mining.subscribe", None)
    assert reply["result"].startswith("s-")
    authorized, values, job = miner.call("mining.authorize", WORKER, "x")
    assert authorized["result"] == "w-1"
    target = "1" + "0" * 50
    initial = {"epoch": "1", "target": target, "algo": "progpow", "extranonce": "beef"}
    assert values == {"method": "mining.set", "params": initial}
    template = miner.chain.template
    params = [template.job_id, "1db0", template.header_hash.hex(), "1"]
    assert job == {"method": "mining.notify", "params": params}
    assert (miner.logins[0].worker, miner.logins[0].agent) == (WORKER, "test/1")


def test_only_changed_values_are_set_again() -> None:
    miner = Miner()
    miner.login()
    miner.chain.refresh()
    (job,) = miner.announced()
    assert (job["method"], job["params"][3]) == ("mining.notify", "0")
    values, job = miner.retargeted(2**200)
    assert values["params"] == {"target": "1" + "0" * 50}
    miner.session.side.change_extranonce(NonceSpace(0xCAFE, 16))
    values, job = miner.sent()
    assert values["params"] == {"extranonce": "cafe"}
    assert miner.submit(job["params"][0], "00" * 6)["code"] == 406
    assert miner.judged[-1].difficulty > 0


def test_each_share_outcome() -> None:
    miner = Miner(make_chain(share_target=2**255))
    miner.login()
    job = miner.chain.template
    good = nonce_between(job.header_hash, FIRST, 0, 2**255)
    low = nonce_between(job.header_hash, FIRST, 2**255, ANY_HASH)
    assert miner.submit(job.job_id, suffix(good)) is None
    assert miner.submit(job.job_id, suffix(good)) == {"code": 409, "message": "duplicate share"}
    assert miner.submit(job.job_id, suffix(low))["code"] == 406
    assert miner.submit(job.job_id, "00")["code"] == 400
    assert miner.submit("?", suffix(good)) == {"code": 404, "message": "job not found"}
    miner.chain.advance()
    assert miner.submit(job.job_id, suffix(good + 1))["code"] == 404
    assert [judged.code for judged in miner.judged] == [0, 22, 23, 20, 21, 21]
    miner.token = "w-2"
    assert miner.submit(job.job_id, suffix(good))["code"] == 301
    assert miner.judged[-1].worker == ""


def test_the_order_of_the_login() -> None:
    miner = Miner(protocol="ethstratum2")
    (reply,) = miner.ask("mining.subscribe", None)
    assert reply["error"] == {"code": 400, "message": "mining.hello comes first"}
    (reply,) = miner.ask("mining.hello", {"proto": "EthereumStratum/1.0.0"})
    assert reply["error"]["code"] == 400
    miner.ask("mining.hello", HELLO)
    (reply,) = miner.call("mining.authorize", WORKER)
    assert reply["error"]["code"] == 300
    (reply,) = miner.call("mining.submit", "1", "2", "w-1")
    assert reply["error"]["code"] == 300


@pytest.mark.parametrize("params", [None, [], {}, "x", [1, 2], [None]])
def test_malformed_params_are_refused(params: object) -> None:
    miner = Miner()
    miner.login()
    for method in ("mining.hello", "mining.authorize", "mining.submit", "mining.set"):
        (reply,) = miner.ask(method, params)
        assert reply["error"]["code"] in (301, 400) or reply["result"] == "w-2"
    assert miner.session.close_reason == ""


def test_keepalives_and_goodbye() -> None:
    miner = Miner()
    miner.login()
    for method in ("mining.noop", "mining.hashrate"):
        (reply,) = miner.ask(method, None)
        assert (reply["result"], reply["error"]) == (None, None)
    miner.feed(b'{"method":"mining.bye"}\n')
    assert miner.session.close_reason == "it sent mining.bye"


def test_a_resumed_session_keeps_its_extranonce_and_nonces() -> None:
    now = [0.0]
    sessions = ResumableSessions(lambda: now[0])
    one = Miner(sessions=sessions)
    one.login()
    job = one.chain.template
    one.submit(job.job_id, "00" * 6)
    one.session.side.disconnected()
    now[0] = RESUME_SECONDS - 0.1
    two = Miner(one.chain, sessions=sessions)
    values, again = two.login(one.session_id)
    assert two.session_id == one.session_id
    assert values["params"]["extranonce"] == "beef"
    assert again["params"][0] == job.job_id
    assert two.submit(job.job_id, "00" * 6)["code"] == 409
    two.session.side.disconnected()
    now[0] += RESUME_SECONDS
    three = Miner(one.chain, sessions=sessions)
    three.login([one.session_id])
    assert three.session_id != one.session_id
    assert three.submit(job.job_id, "00" * 6) is None


def test_a_session_is_resumed_before_its_old_connection_ends() -> None:
    now = [0.0]
    sessions = ResumableSessions(lambda: now[0])
    one, two = Miner(sessions=sessions), Miner(sessions=sessions)
    one.login()
    two.login([one.session_id])
    assert two.session_id == one.session_id
    one.session.side.disconnected()
    now[0] = 2 * RESUME_SECONDS
    three = Miner(sessions=sessions)
    three.login(one.session_id)
    assert three.session_id == one.session_id


def test_a_reconnect_request() -> None:
    miner = Miner()
    miner.login()
    assert miner.session.side.ask_to_reconnect("127.0.0.1", 3333, 2)
    (wish,) = miner.sent()
    params = {"host": "127.0.0.1", "port": "d05", "resume": "1"}
    assert wish == {"method": "mining.reconnect", "params": params}

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.progpow.hashing import Digest
from miner.stratum.chain import Template
from miner.stratum.difficulty import DIFF1_KAWPOW
from miner.stratum.resumable import ResumableSessions
from miner.stratum.share_rules import (
    BlockFound,
    LoggedIn,
    ShareJudged,
    ShareResult,
    ShareRules,
    ShareToProve,
    SubmittedShare,
)
from miner.testpool.client_session import ClientSession
from miner.work import NonceSpace
from tests.testpool.raw_client import FIRST, SPACE, OnePrefix, RawClient
from tests.testpool.standins import ANY_HASH, digest_of, final_of, make_chain, mix_of, nonce_between

WORKER = "RWallet.rig1"


class Client(RawClient):
    """A client of the KawPow dialect."""

    def login(self) -> Client:
        self.call("mining.subscribe", "test/1")
        self.call("mining.authorize", WORKER, "x")
        return self

    def submit(self, template: Template, nonce: int, /, **other: object) -> Any:
        """Return True, or the error."""
        share: dict[str, object] = {
            "worker": WORKER,
            "job": template.job_id,
            "nonce": f"0x{nonce:016x}",
            "header": "0x" + template.header_hash.hex(),
            "mix": "0x" + mix_of(template.height, template.header_hash, nonce).hex(),
        }
        (reply,) = self.call("mining.submit", *(share | other).values())
        assert reply["id"] == self.last_id
        assert (reply["result"] is None) != (reply["error"] is None)
        return reply["result"] or reply["error"]


def test_login_and_first_job() -> None:
    chain = make_chain(share_target=0xFF << 216, block_target=0x0135AD << 192, height=7600)
    client = Client(chain)
    assert client.call("mining.subscribe", "test/1\x1b[31m\u00e9") == [
        {"id": 1, "result": [None, "beef"], "error": None}
    ]
    assert client.session.worker == ""
    replies = client.call("mining.authorize", WORKER, "x")
    job = chain.template
    target = "00000000ff" + "0" * 54
    assert replies == [
        {"id": 2, "result": True, "error": None},
        {"id": None, "method": "mining.set_target", "params": [target]},
        {
            "id": None,
            "method": "mining.notify",
            "params": [
                job.job_id,
                job.header_hash.hex(),
                job.seed_hash.hex(),
                target,
                True,
                7600,
                "1b0135ad",
            ],
        },
    ]
    assert client.logins == [LoggedIn(WORKER, "test/1[31m")]
    assert client.session.worker == WORKER


def test_an_unchanged_target_is_not_sent_again() -> None:
    chain = make_chain()
    client = Client(chain).login()
    chain.refresh()
    (refreshed,) = client.announced()
    assert refreshed["params"][4:6] == [False, 1000]
    chain.advance()
    (advanced,) = client.announced()
    assert advanced["params"][4:6] == [True, 1001]


def test_the_first_job_is_clean_even_after_a_refresh() -> None:
    chain = make_chain()
    chain.refresh()
    client = Client(chain)
    client.call("mining.subscribe")
    assert client.call("mining.authorize", WORKER, "x")[-1]["params"][4] is True


def test_no_job_is_sent_before_the_login() -> None:
    client = Client(make_chain())
    client.session.side.announce()
    client.call("mining.subscribe")
    assert client.announced() == []


def test_lines_may_share_a_packet_or_come_in_pieces() -> None:
    client = Client(make_chain())
    data = (
        b'{"id":1,"method":"mining.subscribe","params":["m"]}\n'
        b'{"id":2,"method":"mining.authorize","params":["w","x"]}\n'
    )
    assert [m["id"] for m in client.feed(data)] == [1, 2, None, None]
    pieces = Client(make_chain())
    replies = [m for i in range(len(data)) for m in pieces.feed(data[i : i + 1])]
    assert [m["id"] for m in replies] == [1, 2, None, None]


def test_subscribing_twice_keeps_the_prefix() -> None:
    pool = OnePrefix(make_chain(), ResumableSessions(lambda: 0.0), SPACE)
    client = Client()
    client.session = ClientSession(pool)
    for request_id in (1, 2):
        (reply,) = client.call("mining.subscribe")
        assert reply == {"id": request_id, "result": [None, "beef"], "error": None}
    assert pool.taken == 1


def test_an_empty_prefix_is_an_empty_string() -> None:
    client = Client(make_chain(), prefix=NonceSpace())
    assert client.call("mining.subscribe")[0]["result"] == [None, ""]


def test_no_prefix_left() -> None:
    client = Client(make_chain(), prefix=None)
    assert client.call("mining.subscribe")[0]["error"] == [20, "no extranonce is left"]


def test_authorize_before_subscribe() -> None:
    client = Client(make_chain())
    assert client.call("mining.authorize", WORKER, "x")[0]["error"] == [25, "not subscribed"]


@pytest.mark.parametrize("name", ["", "a b", "é", "\ud800", "x" * 129, 5, None, ["w"], True])
def test_invalid_worker_names_are_refused(name: object) -> None:
    client = Client(make_chain())
    client.call("mining.subscribe")
    assert client.call("mining.authorize", name)[0]["error"][0] == 24
    assert client.logins == []


def test_several_workers_on_one_connection() -> None:
    chain = make_chain()
    client = Client(chain).login()
    assert client.call("mining.authorize", "other", "x") == [
        {"id": 3, "result": True, "error": None}
    ]
    assert client.submit(chain.template, FIRST, worker="other") is True
    assert client.judged[-1].worker == "other"
    assert len(client.logins) == 1
    for i in range(14):
        assert client.call("mining.authorize", f"w{i}")[0]["result"] is True
    assert client.call("mining.authorize", "w14")[0]["error"][0] == 24
    assert client.call("mining.authorize", "w13")[0]["result"] is True


def test_unsupported_methods() -> None:
    client = Client(make_chain())
    for method in ("mining.extranonce.subscribe", "mining.configure", "mining.ping", ""):
        assert client.call(method)[0]["error"] == [20, "Not supported."]
    assert client.call("eth_submitHashrate", "0x10", "0xab") == []
    assert client.feed(b'{"id":5,"result":true,"error":null}\n') == []
    assert client.session.close_reason == ""


def test_request_ids_are_echoed() -> None:
    client = Client(make_chain())
    for text, back in (("7", 7), ('"a"', "a"), ("null", None), ("0", 0)):
        line = f'{{"id":{text},"method":"mining.subscribe"}}\r\n'.encode()
        assert client.feed(line)[0]["id"] == back
    assert client.feed(b'{"method":"mining.subscribe"}\n')[0]["id"] is None


def test_shares_before_the_login_are_refused() -> None:
    chain = make_chain()
    client = Client(chain)
    assert client.submit(chain.template, FIRST) == [25, "not subscribed"]
    client.call("mining.subscribe")
    assert client.submit(chain.template, FIRST) == [24, "unauthorized worker"]
    client.call("mining.authorize", WORKER)
    assert client.submit(chain.template, FIRST, worker="nobody") == [24, "unauthorized worker"]
    assert [j.worker for j in client.judged] == ["", "", ""]
    assert client.submit(chain.template, FIRST) is True


def test_an_accepted_share() -> None:
    chain = make_chain()
    client = Client(chain).login()
    assert client.submit(chain.template, FIRST + 5) is True
    (judged,) = client.judged
    value = int.from_bytes(final_of(chain.template.header_hash, FIRST + 5), "big")
    assert (judged.worker, judged.height, judged.accepted) == (WORKER, 1000, True)
    assert (judged.code, judged.text) == (0, "")
    assert judged.difficulty == pytest.approx((0xFF << 216) / value)
    assert client.blocks == []


def test_hex_digits_of_either_case() -> None:
    chain = make_chain()
    client = Client(chain).login()
    header = "0x" + chain.template.header_hash.hex().upper()
    assert client.submit(chain.template, FIRST + 10, nonce="0xBEEF00000000000A", header=header)


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"nonce": "0x1234"}, [20, "incorrect size of nonce, must be 8 bytes"]),
        ({"nonce": "beef000000000000"}, [20, "incorrect size of nonce, must be 8 bytes"]),
        ({"nonce": "0xbeef00000000000g"}, [20, "incorrect size of nonce, must be 8 bytes"]),
        ({"nonce": "0xbeef000000000000\n"}, [20, "incorrect size of nonce, must be 8 bytes"]),
        ({"header": "0x12"}, [20, "incorrect size of header hash, must be 32 bytes"]),
        ({"mix": "12" * 32}, [20, "incorrect size of mix hash, must be 32 bytes"]),
        ({"nonce": 5}, [20, "a share is [worker, job, nonce, header hash, mix hash]"]),
        ({"job": "deadbeef"}, [21, "job not found"]),
        ({"nonce": "0xbef0000000000000"}, [24, "nonce out of worker range"]),
        ({"nonce": "0xbeeeffffffffffff"}, [24, "nonce out of worker range"]),
        ({"header": "0x" + "00" * 32}, [20, "invalid header hash"]),
        ({"mix": "0x" + "00" * 32}, [20, "invalid mix hash"]),
    ],
)
def test_invalid_shares_are_refused(other: dict[str, object], error: list[object]) -> None:
    chain = make_chain()
    client = Client(chain).login()
    assert client.submit(chain.template, FIRST, **other) == error
    (judged,) = client.judged
    assert (judged.worker, judged.height, judged.accepted) == (WORKER, 1000, False)
    assert [judged.code, judged.text] == error
    assert judged.difficulty == 0


def test_shares_with_missing_parts_are_refused() -> None:
    client = Client(make_chain()).login()
    assert client.call("mining.submit", WORKER, "1")[0]["error"][0] == 20
    assert client.call("mining.submit")[0]["error"][0] == 24


def test_the_order_of_the_checks() -> None:
    chain = make_chain()
    client = Client(chain).login()
    nothing = "0x" + "00" * 32
    outside = "0x" + "00" * 8
    job = chain.template
    wrong: dict[str, object] = {"header": nothing, "mix": nothing}
    assert client.submit(job, 0, nonce="0x0", job="?", **wrong)[0] == 20
    assert client.submit(job, 0, nonce=outside, job="?", **wrong) == [21, "job not found"]
    assert client.submit(job, 0, nonce=outside, **wrong) == [24, "nonce out of worker range"]
    assert client.submit(job, FIRST, **wrong) == [20, "invalid header hash"]
    chain.advance()
    assert client.submit(job, FIRST, **wrong) == [20, "invalid header hash"]
    error = client.submit(job, FIRST, mix=nothing)
    assert error == [21, "stale share: height 1000 is over, the chain is at 1001"]


def test_a_nonce_is_accepted_once_per_header() -> None:
    chain = make_chain()
    client = Client(chain).login()
    assert client.submit(chain.template, FIRST, header="0x" + "00" * 32)[0] == 20
    assert client.submit(chain.template, FIRST) is True
    assert client.submit(chain.template, FIRST) == [22, "duplicate share"]
    assert client.submit(chain.template, FIRST + 1) is True
    old = chain.template
    chain.refresh()
    client.announced()
    assert client.submit(chain.template, FIRST) is True
    assert client.submit(old, FIRST) == [22, "duplicate share"]
    chain.advance()
    assert client.submit(old, FIRST) == [22, "duplicate share"]


def test_a_nonce_is_a_duplicate_while_it_is_being_proved() -> None:
    chain = make_chain()
    session = Client(chain).login().session
    job = chain.template
    mix, header = "0x" + "00" * 32, "0x" + job.header_hash.hex()
    params = [WORKER, job.job_id, f"0x{FIRST:016x}", header, mix]
    line = json.dumps({"id": 3, "method": "mining.submit", "params": params}).encode() + b"\n"
    first, second = session.receive(line * 2)
    assert isinstance(first, ShareToProve)
    assert isinstance(second, ShareJudged)
    assert second.code == 22


def test_clients_with_different_prefixes() -> None:
    chain = make_chain()
    other = NonceSpace(0xBEF0, 16)
    one, two = Client(chain).login(), Client(chain, prefix=other).login()
    assert one.submit(chain.template, FIRST + 3) is True
    assert two.submit(chain.template, other.first + 3) is True
    assert two.submit(chain.template, FIRST + 3) == [24, "nonce out of worker range"]


def test_a_late_share_of_the_same_height_is_accepted() -> None:
    chain = make_chain()
    client = Client(chain).login()
    late = chain.template
    chain.refresh()
    assert client.submit(late, FIRST) is True
    chain.advance()
    error = client.submit(late, FIRST + 1)
    assert error == [21, "stale share: height 1000 is over, the chain is at 1001"]
    assert client.judged[-1].height == 1000
    for _ in range(20):
        chain.refresh()
    assert client.submit(late, FIRST + 2) == [21, "job not found"]


def test_nonces_of_dropped_headers_are_dropped() -> None:
    chain = make_chain(kept=1)
    client = Client(chain).login()
    old = chain.template
    client.submit(old, FIRST)
    chain.refresh()
    client.announced()
    assert client.submit(chain.template, FIRST, header="0x" + old.header_hash.hex()) == [
        20,
        "invalid header hash",
    ]


def test_low_difficulty() -> None:
    chain = make_chain(share_target=2**252, block_target=2**240)
    client = Client(chain).login()
    header = chain.template.header_hash
    low = nonce_between(header, FIRST, 2**252, ANY_HASH)
    code, text = client.submit(chain.template, low)
    assert code == 23
    assert text.startswith("low difficulty share of ")
    assert client.judged[-1].difficulty > 0
    enough = nonce_between(header, FIRST, 2**240, 2**252)
    assert client.submit(chain.template, enough) is True
    assert client.blocks == []


def test_a_hash_equal_to_the_target_is_accepted() -> None:
    header = make_chain().template.header_hash
    value = int.from_bytes(final_of(header, FIRST), "big")
    exact, short = make_chain(share_target=value), make_chain(share_target=value - 1)
    assert Client(exact).login().submit(exact.template, FIRST) is True
    assert Client(short).login().submit(short.template, FIRST)[0] == 23


def test_a_hash_of_zero_has_the_greatest_difficulty() -> None:
    chain = make_chain(share_target=1)
    share = SubmittedShare(WORKER, chain.template, 1, FIRST, None)
    result = ShareRules(chain).evaluate(share, Digest(bytes(32), bytes(32)))
    assert result == ShareResult(None, DIFF1_KAWPOW, is_block=True)


def test_a_block_above_the_share_target_is_accepted() -> None:
    chain = make_chain(share_target=1, block_target=2**252)
    client = Client(chain).login()
    job = chain.template
    nonce = nonce_between(job.header_hash, FIRST, 1, job.block_target)
    assert client.submit(job, nonce) is True
    assert client.blocks == [BlockFound(WORKER, 1000, nonce, final_of(job.header_hash, nonce))]


def test_a_block_of_a_late_job_of_the_current_height_counts() -> None:
    chain = make_chain(block_target=ANY_HASH)
    client = Client(chain).login()
    late = chain.template
    chain.refresh()
    assert client.submit(late, nonce_between(late.header_hash, FIRST, 0, late.block_target))
    assert len(client.blocks) == 1


def test_a_share_proved_after_its_height_is_not_a_block() -> None:
    chain = make_chain(block_target=ANY_HASH)
    session = Client(chain).login().session
    job = chain.template
    nonce = nonce_between(job.header_hash, FIRST, 0, job.block_target)
    mix = mix_of(job.height, job.header_hash, nonce)
    params = [WORKER, job.job_id, f"0x{nonce:016x}", "0x" + job.header_hash.hex(), "0x" + mix.hex()]
    line = json.dumps({"id": 3, "method": "mining.submit", "params": params}).encode() + b"\n"
    (pending,) = session.receive(line)
    assert isinstance(pending, ShareToProve)
    chain.advance()
    digest = digest_of(job.height, job.header_hash, nonce)
    judged, block = session.side.answer_share(pending, digest)
    assert judged.accepted
    assert block is None


BROKEN_LINES = [
    b"GET / HTTP/1.1",
    b"[]",
    b"5",
    b'"mining.subscribe"',
    b"null",
    b"\xff\xfe{}",
    b"{",
    b"[" * 9000,
    b'{"id":' + b"9" * 5000 + b',"method":"mining.subscribe"}',
    b'{"id":9223372036854775808,"method":"mining.subscribe"}',
    b'{"id":NaN,"method":"mining.subscribe"}',
    b'{"id":1e999,"method":"mining.subscribe"}',
    b'{"id":true,"method":"mining.subscribe"}',
    b'{"id":[1],"method":"mining.subscribe"}',
    b'{"id":"' + b"x" * 65 + b'","method":"mining.subscribe"}',
    b'{"id":1}',
    b'{"id":1,"method":7}',
    b'{"id":1,"method":"mining.subscribe","params":{}}',
    b'{"id":1,"method":"mining.subscribe","params":null}',
    b"x" * 10241,
]


@pytest.mark.parametrize("line", BROKEN_LINES, ids=lambda line: line[:24].decode("latin-1"))
def test_malformed_lines_end_the_session(line: bytes) -> None:
    client = Client(make_chain())
    (reply,) = client.feed(line + b"\n")
    assert reply["id"] is None
    assert reply["error"] == [20, client.session.close_reason]
    assert client.call("mining.subscribe") == []
    assert client.announced() == []


def test_requests_before_a_malformed_line_are_answered() -> None:
    client = Client(make_chain())
    replies = client.feed(b'{"id":1,"method":"mining.subscribe"}\n{\n{"id":2}\n')
    assert [reply["id"] for reply in replies] == [1, None]


def test_an_endless_line_ends_the_session() -> None:
    client = Client(make_chain())
    assert client.feed(b"x" * 10240) == []
    assert client.feed(b"x")[0]["error"][0] == 20


METHODS = st.sampled_from(
    ["mining.subscribe", "mining.authorize", "mining.submit", "eth_submitHashrate", "x", ""]
)
VALUES = st.one_of(
    st.sampled_from(
        [WORKER, "JOB", f"0x{FIRST:016x}", "0x" + "00" * 8, "HEADER", "0x" + "ab" * 32, "\ud800"]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet='a0x \n"\\\0é\u2028\ud800', max_size=8),
    st.lists(st.integers(), max_size=2),
)
MESSAGES = st.fixed_dictionaries(
    {"method": METHODS, "params": st.lists(VALUES, max_size=6)},
    optional={"id": st.none() | st.integers(0, 9) | VALUES, "result": VALUES},
)
GOOD_SHARE = st.just({"id": 4, "method": "mining.submit", "params": ["GOOD"]})
STEPS = st.lists(
    st.one_of(
        MESSAGES, GOOD_SHARE, st.binary(max_size=40), st.sampled_from(["refresh", "advance"])
    ),
    max_size=12,
)


@given(login=st.booleans(), steps=STEPS, cut=st.integers(1, 50))
def test_no_client_message_breaks_the_session(
    login: bool, steps: list[dict[str, Any] | bytes | str], cut: int
) -> None:
    chain = make_chain(kept=2)
    client = Client(chain)
    if login:
        client.login()
    for step in steps:
        job = chain.template
        header = "0x" + job.header_hash.hex()
        if isinstance(step, str):
            chain.refresh() if step == "refresh" else chain.advance()
            client.session.side.announce()
            continue
        if isinstance(step, bytes):
            data = step
        else:
            places = {"JOB": job.job_id, "HEADER": header}
            params = [places.get(p, p) if isinstance(p, str) else p for p in step["params"]]
            if params == ["GOOD"]:
                mix = "0x" + mix_of(job.height, job.header_hash, FIRST).hex()
                params = [WORKER, job.job_id, f"0x{FIRST:016x}", header, mix]
            data = json.dumps(step | {"params": params}).encode() + b"\n"
        for start in range(0, len(data), cut):
            for message in client.feed(data[start : start + cut]):
                assert "id" in message
                assert "method" in message or ("result" in message and "error" in message)
    for judged in client.judged:
        assert judged.accepted == (judged.code == 0)
        assert judged.worker in ("", WORKER) or client.logins

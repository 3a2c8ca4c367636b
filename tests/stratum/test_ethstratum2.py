from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.client_side import ClientSide
from miner.stratum.difficulty import parse_target
from miner.stratum.ethstratum2 import ETHSTRATUM2, LONGEST_KEEPALIVE_SECONDS
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    HashrateRefused,
    LoginRefused,
    Reconnect,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.work import NonceSpace, Outcome
from tests.stratum import dialogue
from tests.stratum.dialogue import (
    HEADER,
    answer,
    any_json,
    call,
    jobs,
    line,
    messages,
    one_job,
    parsed,
    receive_quietly,
    solution,
)

VERSION = "EthereumStratum/2.0.0"
TARGET = "112e0be826d694b2e62d01511f12a6061fbaec8bc02357593e70e52ba"
HEIGHT = 0x11DFC8
EPOCH = "9c"


POOL = {"user": "wallet.rig", "password": "secret", "host": "pool.example", "port": 3338}
client = partial(dialogue.client, ETHSTRATUM2, **POOL)
connected = partial(dialogue.connected, ETHSTRATUM2, **POOL)


def hello(**changes: Any) -> bytes:
    greeting = {
        "proto": VERSION,
        "encoding": "plain",
        "resume": "1",
        "timeout": "b4",
        "maxerrors": "5",
        "node": "example/1",
    }
    return line({"id": 1, "result": {**greeting, **changes}})


def values(**changed: Any) -> bytes:
    return line({"method": "mining.set", "params": changed})


def a_job(name: str = "6", height: Any = "11dfc8", header: Any = HEADER, clean: Any = "1") -> bytes:
    return call("mining.notify", name, height, header, clean)


def sent(opened: ClientSide) -> list[dict[str, Any]]:
    return parsed(opened.data_to_send())


def greeted(changes: dict[str, Any] | None = None, **opening: Any) -> ClientSide:
    opened = connected(**opening)
    assert opened.receive(hello(**(changes or {}))) == []
    return opened


def started(extranonce: str = "af4c", **opening: Any) -> ClientSide:
    opened = greeted(**opening)
    opened.receive(answer(2, "s-12345") + answer(3, "w-123"))
    opened.receive(values(epoch=EPOCH, target=TARGET, algo="progpow", extranonce=extranonce))
    opened.data_to_send()
    return opened


# Opening


def test_hello_is_the_only_first_request() -> None:
    assert json.loads(client().start()) == {
        "id": 1,
        "method": "mining.hello",
        "params": {
            "agent": "progpow-miner/0",
            "host": "pool.example",
            "port": "d0a",
            "proto": VERSION,
        },
    }


def test_each_request_waits_for_the_answer_before_it() -> None:
    opened = connected()
    assert opened.receive(hello()) == []
    assert sent(opened) == [{"id": 2, "method": "mining.subscribe"}]
    assert opened.receive(answer(2, "s-12345")) == [Subscribed(NonceSpace())]
    login = {"id": 3, "method": "mining.authorize", "params": ["wallet.rig", "secret"]}
    assert sent(opened) == [login]
    assert opened.receive(answer(3, "w-123")) == [Authorized()]
    assert sent(opened) == []


@pytest.mark.parametrize(
    ("result", "error", "text"),
    [
        (None, [20, "Method not found"], "Method not found"),
        (None, {"code": -32601, "message": "no such method"}, "no such method"),
        (False, None, "refused without a reason"),
        (True, None, f"its answer to mining.hello does not name {VERSION}"),
        (None, None, f"its answer to mining.hello does not name {VERSION}"),
        ({"status": "OK"}, None, f"its answer to mining.hello does not name {VERSION}"),
        (
            {"proto": "EthereumStratum/3"},
            None,
            f"its answer to mining.hello does not name {VERSION}",
        ),
    ],
)
def test_refused_hello_is_the_wrong_protocol(result: Any, error: Any, text: str) -> None:
    opened = connected()
    assert opened.receive(answer(1, result, error)) == [WrongProtocol(text)]
    assert sent(opened) == []


def test_compression_ends_the_connection() -> None:
    opened = connected()
    with pytest.raises(ProtocolError, match="compression"):
        opened.receive(hello(encoding="gzip"))


def test_refused_subscription_or_login_is_final() -> None:
    opened = greeted()
    assert opened.receive(answer(2, None, {"code": 300, "message": "Denied"})) == [
        LoginRefused("Denied")
    ]
    opened = greeted()
    opened.receive(answer(2, "s-1"))
    assert opened.receive(answer(3, False)) == [LoginRefused("refused without a reason")]


# Resumed sessions


@pytest.mark.parametrize("resume", ["1", 1, "0x1"])
def test_earlier_session_is_resumed(resume: Any) -> None:
    opened = greeted({"resume": resume}, resume="s-1")
    assert sent(opened) == [{"id": 2, "method": "mining.subscribe", "params": "s-1"}]
    assert opened.receive(answer(2, "s-1")) == [Subscribed(NonceSpace(), resumed=True)]
    assert opened.resumable == "s-1"


def test_other_session_than_asked_for_is_new() -> None:
    opened = greeted(resume="s-1")
    assert opened.receive(answer(2, "s-2")) == [Subscribed(NonceSpace(), resumed=False)]
    assert opened.resumable == "s-2"


def test_refused_session_is_followed_by_a_new_one() -> None:
    opened = greeted(resume="s-1")
    opened.data_to_send()
    assert opened.receive(answer(2, None, {"code": 404, "message": "No session"})) == []
    assert sent(opened) == [{"id": 3, "method": "mining.subscribe"}]
    assert opened.receive(answer(3, "s-1")) == [Subscribed(NonceSpace(), resumed=False)]


@pytest.mark.parametrize("resume", ["0", 0, None, "", "no", [], False])
def test_pool_that_cannot_resume_is_not_asked_to(resume: Any) -> None:
    opened = greeted({"resume": resume}, resume="s-1")
    assert sent(opened) == [{"id": 2, "method": "mining.subscribe"}]
    opened.receive(answer(2, "s-2"))
    assert opened.resumable is None


@pytest.mark.parametrize("result", [None, True, 5, "", "s" * 129, []])
def test_session_without_a_usable_name_cannot_be_resumed(result: Any) -> None:
    opened = greeted(resume="s-1")
    assert opened.receive(answer(2, result)) == [Subscribed(NonceSpace())]
    assert opened.resumable is None


def test_resumed_session_without_target_is_given_up() -> None:
    opened = greeted(resume="s-1")
    opened.receive(answer(2, "s-1"))
    with pytest.raises(ProtocolError, match="without its target"):
        opened.receive(a_job())
    assert opened.resumable is None


def test_resumed_session_without_extranonce_is_given_up() -> None:
    opened = greeted(resume="s-1")
    opened.receive(answer(2, "s-1") + values(target=TARGET))
    with pytest.raises(ProtocolError, match="extranonce"):
        opened.receive(a_job())
    assert opened.resumable is None


def test_resumed_session_with_its_values_continues() -> None:
    opened = greeted(resume="s-1")
    opened.receive(answer(2, "s-1") + values(target=TARGET, extranonce="af4c"))
    assert one_job(opened, a_job()).nonces == NonceSpace(0xAF4C, 16)
    assert opened.resumable == "s-1"


# Keepalives, reports, reconnects


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("b4", 90),
        (30, 15),
        ("1e", 15),
        ("f" * 16, LONGEST_KEEPALIVE_SECONDS),
        ("0", None),
        (None, None),
        ("x", None),
        (-1, None),
        (True, None),
    ],
)
def test_timeout_is_hex_digits_or_a_number(timeout: Any, seconds: float | None) -> None:
    assert client().keepalive_after is None
    assert greeted({"timeout": timeout}).keepalive_after == seconds


def test_noop_needs_no_answer() -> None:
    opened = started()
    waiting = dict(opened._requests)
    assert json.loads(opened.keepalive()) == {"id": 4, "method": "mining.noop"}
    assert json.loads(opened.keepalive()) == {"id": 5, "method": "mining.noop"}
    assert opened._requests == waiting
    assert opened.receive(answer(4, True) + answer(5, None, [20, "no such method"])) == []


def test_hashrate_is_reported_in_hex_with_the_token() -> None:
    opened = started()
    report = {"id": 4, "method": "mining.hashrate", "params": ["500000", "w-123"]}
    assert json.loads(opened.report_hashrate(0x500000, bytes(32))) == report
    assert opened.receive(answer(4, None, {"code": 400, "message": "Bad method"})) == [
        HashrateRefused("Bad method")
    ]


def test_bye_is_a_reconnect_request() -> None:
    assert started().receive(line({"method": "mining.bye"})) == [Reconnect(None, None, 0.0)]


@pytest.mark.parametrize("port", ["d05", 3333])
def test_reconnect_names_the_port_in_hex(port: Any) -> None:
    opened = started()
    params = {"host": "other.example", "port": port, "resume": "1"}
    got = opened.receive(line({"method": "mining.reconnect", "params": params}))
    assert got == [Reconnect("other.example", 3333, 0.0)]
    assert opened.resumable == "s-12345"


@pytest.mark.parametrize("resume", ["0", 0])
def test_reconnect_may_end_the_session(resume: Any) -> None:
    opened = started()
    opened.receive(line({"method": "mining.reconnect", "params": {"resume": resume}}))
    assert opened.resumable is None


# Values and jobs


def test_job() -> None:
    job = one_job(started(), a_job())
    assert (job.id, job.session, job.header_hash.hex()) == ("6", 7, HEADER)
    assert (job.height, job.epoch.number) == (HEIGHT, int(EPOCH, 16))
    assert job.share_target == parse_target(TARGET.rjust(64, "0"))
    assert (job.nonces, job.clean) == (NonceSpace(0xAF4C, 16), True)


def test_short_target_is_padded_on_the_left() -> None:
    assert started().receive(values(target="ff")) == [DifficultyNotice(0xFF)]


@pytest.mark.parametrize("height", [HEIGHT, "11dfc8", "0x11DFC8", "000000000011dfc8"])
def test_height_is_hex_digits_or_a_number(height: Any) -> None:
    assert one_job(started(), a_job(height=height)).height == HEIGHT


def test_digits_are_hex_even_if_they_look_decimal() -> None:
    assert one_job(started(), a_job(height="950000")).height == 0x950000


@pytest.mark.parametrize(
    ("flag", "clean"), [("1", True), ("0", False), (1, True), (0, False), (True, True)]
)
def test_1_makes_older_jobs_stale(flag: Any, clean: bool) -> None:
    assert one_job(started(), a_job(clean=flag)).clean is clean


def test_job_without_the_flag_keeps_older_jobs() -> None:
    assert not one_job(started(), call("mining.notify", "6", "11dfc8", HEADER)).clean


def test_changed_members_apply_to_the_next_job() -> None:
    opened = started()
    one = one_job(opened, a_job())
    opened.receive(values(target="ffff"))
    two = one_job(opened, a_job())
    opened.receive(values(extranonce="a1b2c3"))
    three = one_job(opened, a_job())
    assert [job.share_target for job in (one, two, three)] == [int(TARGET, 16), 0xFFFF, 0xFFFF]
    assert one.search_key == two.search_key
    assert [job.nonces.prefix for job in (one, two, three)] == [0xAF4C, 0xAF4C, 0xA1B2C3]


def test_empty_extranonce_cancels_it() -> None:
    opened = started()
    opened.receive(values(extranonce=""))
    assert one_job(opened, a_job()).nonces == NonceSpace()


def test_absent_or_null_extranonce_changes_nothing() -> None:
    opened = started()
    opened.receive(values(extranonce=None) + values())
    assert one_job(opened, a_job()).nonces == NonceSpace(0xAF4C, 16)


def test_values_may_be_repeated_and_precede_the_login() -> None:
    opened = greeted()
    opened.receive(values(target=TARGET, extranonce="af4c") + answer(2, "s-1") + answer(3, "w-1"))
    opened.receive(values(target=TARGET, extranonce="af4c"))
    assert one_job(opened, a_job()).nonces == NonceSpace(0xAF4C, 16)


def test_job_without_a_target_is_warned_about() -> None:
    opened = greeted()
    opened.receive(answer(2, "s-1") + answer(3, "w-1"))
    got = opened.receive(a_job())
    assert jobs(got) == []
    assert "the pool sent no target" in messages(got)[0]
    assert opened.receive(a_job()) == []


@pytest.mark.parametrize("target", ["", "zz", 5, None, "f" * 65])
def test_bad_target_is_warned_about_and_the_last_one_stays(target: Any) -> None:
    opened = started()
    assert len(messages(opened.receive(values(target=target)))) == 1
    assert one_job(opened, a_job()).share_target == int(TARGET, 16)


@pytest.mark.parametrize("params", [None, [], "x", 5, [5]])
def test_set_without_values_is_warned_about_and_ignored(params: Any) -> None:
    opened = started()
    got = opened.receive(line({"method": "mining.set", "params": params}))
    assert len(messages(got)) == 1
    assert one_job(opened, a_job()).share_target == int(TARGET, 16)


def test_set_may_wrap_its_values_in_a_list() -> None:
    assert started().receive(call("mining.set", {"target": "ff"})) == [DifficultyNotice(0xFF)]


@pytest.mark.parametrize("extranonce", ["zz", "00" * 8, 5, [], False])
def test_unusable_extranonce_ends_the_connection(extranonce: Any) -> None:
    with pytest.raises(ProtocolError, match="extranonce"):
        started().receive(values(extranonce=extranonce))


def test_tiny_nonce_range_is_warned_about() -> None:
    assert "2^16 nonces" in messages(started().receive(values(extranonce="010203040506")))[0]


@pytest.mark.parametrize("algorithm", ["progpow", "ProgPoWZ", "kawpow", "firopow", "", None])
def test_algorithm_of_the_family_is_not_warned_about(algorithm: Any) -> None:
    assert started().receive(values(algo=algorithm)) == []


def test_other_algorithm_is_warned_about_once() -> None:
    opened = started()
    (text,) = messages(opened.receive(values(algo="ethash")))
    assert "algorithm is ethash" in text
    assert opened.receive(values(algo="ethash")) == []
    assert len(jobs(opened.receive(a_job()))) == 1


@pytest.mark.parametrize("epoch", ["3", 3])
def test_other_epoch_is_warned_about_once_and_the_height_used(epoch: Any) -> None:
    opened = started()
    opened.receive(values(epoch=epoch))
    got = opened.receive(a_job())
    assert jobs(got)[0].epoch.number == 156
    assert "epoch is 3, but height 1171400 belongs to epoch 156" in messages(got)[0]
    assert messages(opened.receive(a_job())) == []


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["6", "11dfc8"],
        ["6", "x", HEADER, "0"],
        ["6", None, HEADER, "0"],
        ["6", "f" * 17, HEADER, "0"],
        ["6", "f" * 16, HEADER, "0"],
        ["6", -1, HEADER, "0"],
        ["6", "11dfc8", HEADER[1:], "0"],
        [None, "11dfc8", HEADER, "0"],
    ],
)
def test_job_that_cannot_be_mined_is_warned_about(params: list[Any]) -> None:
    got = started().receive(call("mining.notify", *params))
    assert jobs(got) == []
    assert len(messages(got)) == 1


# Shares


@given(st.binary(max_size=6), st.integers(0, 2**64 - 1))
def test_prefix_and_suffix_make_up_the_nonce(prefix: bytes, free: int) -> None:
    opened = started(prefix.hex())
    job = one_job(opened, a_job())
    nonce = job.nonces.first + free % job.nonces.size
    message = json.loads(opened.submit(solution(job, nonce)))
    name, suffix, token = message["params"]
    assert (message["method"], name, token) == ("mining.submit", "6", "w-123")
    assert len(suffix) == 16 - 2 * len(prefix)
    assert int(prefix.hex() + suffix, 16) == nonce


def test_share_keeps_the_prefix_of_its_own_job() -> None:
    opened = started("af4c")
    old = one_job(opened, a_job())
    opened.receive(values(extranonce="a1b2c3") + a_job("7"))
    data = opened.submit(solution(old, 0xAF4C00005819FFA1))
    assert json.loads(data)["params"] == ["6", "00005819ffa1", "w-123"]


@pytest.mark.parametrize("result", [None, True, "w" * 129])
def test_user_replaces_an_unusable_token(result: Any) -> None:
    opened = greeted()
    opened.receive(answer(2, "s-1") + answer(3, result) + values(target=TARGET))
    data = opened.submit(solution(one_job(opened, a_job())))
    assert json.loads(data)["params"][2] == "wallet.rig"


@pytest.mark.parametrize(
    ("reply", "outcome", "text"),
    [
        ({}, Outcome.ACCEPTED, ""),
        ({"result": None, "error": None}, Outcome.ACCEPTED, ""),
        ({"result": True}, Outcome.ACCEPTED, ""),
        ({"error": {"code": 202, "message": "Stale"}}, Outcome.ACCEPTED, "Stale"),
        ({"result": False, "error": {"code": "202"}}, Outcome.ACCEPTED, "remark 202"),
        ({"error": {"code": 200, "message": ""}}, Outcome.ACCEPTED, "remark 200"),
        ({"error": {"code": 301, "message": "No token"}}, Outcome.UNAUTHORIZED, "No token"),
        ({"error": {"code": 404, "message": "Job not found"}}, Outcome.STALE, "Job not found"),
        ({"error": {"code": 405, "message": "Invalid nonce"}}, Outcome.INVALID, "Invalid nonce"),
        ({"error": {"code": 406, "message": "Bad nonce"}}, Outcome.INVALID, "Bad nonce"),
        ({"error": {"code": 500, "message": "Bad job id"}}, Outcome.STALE, "Bad job id"),
        ({"result": False}, Outcome.INVALID, "refused without a reason"),
    ],
)
def test_answers_to_a_share(reply: dict[str, Any], outcome: Outcome, text: str) -> None:
    opened = started()
    opened.submit(solution(one_job(opened, a_job())))
    assert opened.receive(line({"id": 4, **reply})) == [ShareAnswer(4, outcome, text)]


def test_remark_belongs_to_its_own_answer() -> None:
    opened = started()
    job = one_job(opened, a_job())
    opened.submit(solution(job))
    opened.submit(solution(job))
    remarked = line({"id": 4, "error": {"code": 202, "message": "Stale"}})
    assert opened.receive(remarked + line({"id": 5})) == [
        ShareAnswer(4, Outcome.ACCEPTED, "Stale"),
        ShareAnswer(5, Outcome.ACCEPTED, ""),
    ]


def test_login_with_a_remark_keeps_its_token() -> None:
    opened = greeted()
    opened.receive(answer(2, "s-1"))
    assert opened.receive(answer(3, "w-9", {"code": 201, "message": "new"})) == [Authorized()]
    opened.receive(values(target=TARGET))
    assert json.loads(opened.submit(solution(one_job(opened, a_job()))))["params"][2] == "w-9"


def test_line_stays_under_1024_bytes_with_the_longest_names() -> None:
    opened = greeted()
    opened.receive(answer(2, "s-1") + answer(3, "w" * 128) + values(target=TARGET))
    assert len(opened.submit(solution(one_job(opened, a_job("x" * 254))))) < 1024


def test_go_quai_sends_numbers_and_its_values_twice() -> None:
    """The message forms of go-quai-stratum 2cd77ba, with other values."""
    opened = greeted({"resume": 0, "timeout": 30, "maxerrors": 999})
    assert opened.keepalive_after == 15
    opened.receive(answer(2, "s-12345") + answer(3, "s-12345"))
    setting = values(epoch=EPOCH, target=TARGET, algo="progpow", extranonce="af4c")
    assert messages(opened.receive(setting + setting)) == []
    job = one_job(opened, a_job())
    data = opened.submit(solution(job, 0xAF4C000000000001))
    assert json.loads(data)["params"] == ["6", "000000000001", "s-12345"]


# Properties

VALUES = any_json(HEADER, TARGET, "11dfc8", HEIGHT)
MEMBERS = st.sampled_from(
    ["epoch", "target", "algo", "extranonce", "proto", "resume", "timeout", "encoding", "port"]
)


@given(
    st.sampled_from(["mining.set", "mining.notify", "mining.reconnect", "mining.bye"]),
    VALUES | st.lists(VALUES, max_size=5) | st.dictionaries(MEMBERS, VALUES),
)
def test_arbitrary_calls_raise_only_protocol_errors(method: str, params: Any) -> None:
    receive_quietly(started(), line({"method": method, "params": params}))


@given(st.integers(1, 3), VALUES | st.dictionaries(MEMBERS, VALUES), VALUES)
def test_arbitrary_answers_raise_only_protocol_errors(number: int, result: Any, error: Any) -> None:
    opened = connected()
    receive_quietly(opened, hello() if number > 1 else b"")
    receive_quietly(opened, answer(2, "s-1") if number > 2 else b"")
    receive_quietly(opened, answer(number, result, error))


@given(st.dictionaries(MEMBERS, VALUES))
def test_arbitrary_greetings_raise_only_protocol_errors(changes: dict[str, Any]) -> None:
    opened = connected(resume="s-1")
    receive_quietly(opened, hello(**changes))
    assert opened.keepalive_after is None or 0 < opened.keepalive_after <= LONGEST_KEEPALIVE_SECONDS

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.client_side import CHECKED_EPOCHS, MALFORMED_LINES
from miner.stratum.difficulty import DIFF1_FFFF, DIFF1_KAWPOW, parse_target
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    LoginRefused,
    Message,
    Reconnect,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.work import NonceSpace, Outcome
from tests.stratum.dialogue import (
    HEADER,
    JOB,
    SEED,
    TARGET,
    answer,
    any_json,
    call,
    client,
    connected,
    jobs,
    line,
    messages,
    notify,
    one_job,
    parsed,
    receive_quietly,
    solution,
    started,
)

# Opening


def test_subscribe_is_first_with_id_1() -> None:
    assert parsed(client().start()) == [
        {"id": 1, "method": "mining.subscribe", "params": ["progpow-miner/0"]},
        {"id": 2, "method": "mining.authorize", "params": ["RWallet.rig1", "x"]},
        {"id": 3, "method": "mining.extranonce.subscribe", "params": []},
    ]


@pytest.mark.parametrize(
    ("result", "prefix", "bits"),
    [
        ([None, "eb07"], 0xEB07, 16),
        ([None, "97ad5e"], 0x97AD5E, 24),
        (["00000001", "00000001"], 1, 32),
        (["RANDOM13", "b52a"], 0xB52A, 16),
        ([[["mining.set_target", "1"], ["mining.notify", "1"]], "ab12"], 0xAB12, 16),
        ([["mining.notify", "1", "EthereumStratum/1.0.0"], "fe05", 6], 0xFE05, 16),
        ([None, "0x0B8E5B"], 0x0B8E5B, 24),
        ([None, "010203040506"], 0x010203040506, 48),
        ([None, "01020304050607"], 0x01020304050607, 56),
        pytest.param([None, "abc"], 0xABC, 12, id="odd, by digits as in ethminer"),
        pytest.param([None, "0102030405060"], 0x0102030405060, 52, id="odd, the longest"),
        ({"id": "5818463", "algo": "kawpow", "extra_nonce": "fe05"}, 0xFE05, 16),
        ({"session": "1", "extranonce1": "aabb"}, 0xAABB, 16),
    ],
)
def test_forms_of_the_subscribe_answer(result: Any, prefix: int, bits: int) -> None:
    opened = connected()
    assert opened.receive(answer(1, result))[0] == Subscribed(NonceSpace(prefix, bits))


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(["00000001", ""], id="empty, damominer's test pool"),
        pytest.param([None, None], id="null, kawpowminer takes it for empty"),
        pytest.param([None], id="absent, kawpowminer reads it from lists of two"),
        pytest.param([], id="an empty list"),
        pytest.param({}, id="an object, kawpowminer reads lists only"),
        pytest.param({"extranonce1": None}, id="null in an object"),
        pytest.param(True, id="no list, kawpowminer continues"),
        pytest.param(None, id="no result, kawpowminer looks at the error only"),
    ],
)
def test_all_64_bits_are_searched_without_an_extranonce(result: Any) -> None:
    opened = connected()
    assert opened.receive(answer(1, result)) == [Subscribed(NonceSpace(0, 0))]


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        ([None, "010203040506070"], "has 15 hex digits"),
        ([None, "0102030405060708"], "has 16 hex digits"),
        ([None, "wxyz"], "no usable extranonce"),
        ([None, 7], "no usable extranonce"),
        ([None, 1], "no usable extranonce"),
        ("s-12345", "no usable extranonce"),
        ("08", "no usable extranonce"),
        (7, "no usable extranonce"),
    ],
)
def test_unusable_extranonce_is_explained(result: Any, sentence: str) -> None:
    opened = connected()
    with pytest.raises(ProtocolError, match=sentence):
        opened.receive(answer(1, result))


def test_tiny_nonce_range_is_warned_about() -> None:
    opened = connected()
    assert "2^24 nonces" in messages(opened.receive(answer(1, [None, "0102030405"])))[0]


def test_authorized() -> None:
    opened = connected()
    assert opened.receive(answer(2)) == [Authorized()]


@pytest.mark.parametrize(
    ("result", "error", "text"),
    [
        (False, None, "refused without a reason"),
        (None, [24, "unauthorized worker"], "unauthorized worker"),
        (None, {"code": 24, "message": "Invalid address"}, "Invalid address"),
    ],
)
def test_refused_login(result: Any, error: Any, text: str) -> None:
    opened = connected()
    assert opened.receive(answer(2, result, error)) == [LoginRefused(text)]


def test_refused_subscription() -> None:
    opened = connected()
    got = opened.receive(answer(1, None, "unsupported stratum version"))
    assert got == [WrongProtocol("unsupported stratum version")]


def test_answers_may_come_out_of_order() -> None:
    opened = connected()
    got = opened.receive(answer(3, True) + answer(2) + answer(1, [None, "0b8e5b"]))
    assert got == [Authorized(), Subscribed(NonceSpace(0x0B8E5B, 24))]


@pytest.mark.parametrize(
    ("result", "error"), [(False, [20, "Not supported.", None]), (None, None), (False, None)]
)
def test_refused_extranonce_subscribe_is_ignored(result: Any, error: Any) -> None:
    assert started().receive(answer(3, result, error)) == []


def test_missing_error_or_id_key() -> None:
    opened = connected()
    assert opened.receive(line({"result": [None, "0002"], "id": 1, "jsonrpc": "2.0"})) == [
        Subscribed(NonceSpace(2, 16))
    ]
    assert opened.receive(line({"result": True, "id": "2"})) == [Authorized()]
    assert opened.receive(line({"result": True})) == []
    assert opened.receive(line({})) == []
    assert len(jobs(opened.receive(line({"method": "mining.notify", "params": JOB})))) == 1


def test_unknown_answer_id_is_ignored() -> None:
    opened = started()
    for number in (999, 0, -1, 1, True, 1.0, [1], "x", None):
        assert opened.receive(answer(number)) == []


def test_error_without_id_is_shown() -> None:
    assert started().receive(answer(None, None, [20, "banned"])) == [Message("banned")]


def test_error_under_an_id_that_was_never_sent_is_about_the_login() -> None:
    """Ethermine's pools send 999."""
    refusal = answer(999, None, [24, "bad wallet"])
    opened = connected()
    assert opened.receive(refusal) == [WrongProtocol("bad wallet")]
    opened = connected()
    assert opened.receive(answer(1, [None, "ab"]) + refusal)[-1] == LoginRefused("bad wallet")
    opened = started()
    job = one_job(opened, notify())
    opened.submit(solution(job))
    assert opened.receive(refusal) == []
    assert opened.receive(answer(4)) == [ShareAnswer(4, Outcome.ACCEPTED, "")]


# Jobs


def test_job() -> None:
    job = one_job(started(), notify())
    assert job.session == 7
    assert job.id == JOB[0]
    assert job.header_hash.hex() == HEADER
    assert (job.height, job.epoch.number, job.period) == (1866617, 248, 622205)
    assert job.share_target == parse_target(TARGET)
    assert job.block_target == 0x0135AD << 192
    assert job.target == job.share_target
    assert job.clean
    assert job.nonces == NonceSpace(0x0B8E5B, 24)


def test_target_and_job_before_the_authorize_reply() -> None:
    opened = connected()
    stream = answer(1, [None, "eb07"]) + call("mining.set_target", TARGET) + notify() + answer(2)
    kinds = [type(event) for event in opened.receive(stream)]
    assert kinds == [Subscribed, DifficultyNotice, JobReceived, Authorized]


def test_job_without_any_set_target() -> None:
    assert len(jobs(started().receive(notify()))) == 1


def test_job_before_the_subscribe_answer_is_held_until_it() -> None:
    opened = connected()
    assert jobs(opened.receive(notify((0, "old")) + notify((0, "new")))) == []
    job = one_job(opened, answer(1, [None, "eb07"]))
    assert (job.id, job.nonces) == ("new", NonceSpace(0xEB07, 16))


def test_target_of_notify_has_precedence() -> None:
    job = one_job(started(), call("mining.set_target", "ff") + notify())
    assert job.share_target == parse_target(TARGET)


@pytest.mark.parametrize("absent", ["", None])
def test_job_without_a_target_uses_the_last_set_target(absent: Any) -> None:
    opened = started()
    opened.receive(call("mining.set_target", "0x" + "1" * 60))
    job = one_job(opened, notify((3, absent)))
    assert job.share_target == int("1" * 60, 16)


@pytest.mark.parametrize("diff1", [DIFF1_KAWPOW, DIFF1_FFFF])
def test_set_difficulty_follows_diff1(diff1: int) -> None:
    opened = started(diff1=diff1)
    assert opened.receive(call("mining.set_difficulty", 0.5)) == [DifficultyNotice(2 * diff1)]
    job = one_job(opened, notify((3, "")))
    assert job.share_target == 2 * diff1


def test_job_without_any_target_is_warned_about() -> None:
    got = started().receive(notify((3, "")))
    assert jobs(got) == []
    assert "the pool sent no target" in messages(got)[0]


@pytest.mark.parametrize("value", ["zz", "", None, 5, "f" * 65, "0" * 64, "0x0"])
def test_bad_set_target_is_warned_about_and_ignored(value: Any) -> None:
    opened = started()
    opened.receive(call("mining.set_target", TARGET))
    assert len(messages(opened.receive(call("mining.set_target", value)))) == 1
    assert jobs(opened.receive(notify((3, ""))))[0].share_target == parse_target(TARGET)


@pytest.mark.parametrize(
    "value",
    [0, -1, "-1", "", "0", "1_0", "0x1", None, True, float("nan"), float("inf"), 1e308, "9e999",
     10**400],
)  # fmt: skip
def test_bad_set_difficulty_is_warned_about_and_ignored(value: Any) -> None:
    assert len(messages(started().receive(call("mining.set_difficulty", value)))) == 1


@pytest.mark.parametrize("value", ["0.5", "5e-1", "0.50", 0.5])
def test_difficulty_as_number_or_text(value: Any) -> None:
    got = started().receive(call("mining.set_difficulty", value))
    assert got == [DifficultyNotice(2 * DIFF1_KAWPOW)]


def test_job_with_a_target_that_no_hash_meets_is_warned_about() -> None:
    got = started().receive(notify((3, "0" * 64)))
    assert jobs(got) == []
    assert messages(got) == ["a job of the pool cannot be mined: target is 0, which no hash meets"]


def test_job_id_that_comes_again_with_another_header_voids_the_earlier_job() -> None:
    opened = started()
    opened.receive(notify((4, False)))
    again = one_job(opened, notify((4, False)))
    assert not again.clean
    other = one_job(opened, notify((1, "5e" * 32), (4, False)))
    assert other.clean
    later = one_job(opened, notify((0, "next"), (1, "5f" * 32), (4, False)))
    assert not later.clean


def test_job_ids_that_come_in_turn_void_no_jobs() -> None:
    opened = started()
    found = []
    for number in range(16):
        changes = (0, str(number % 8)), (1, f"{number:064x}"), (4, False)
        found += jobs(opened.receive(notify(*changes)))
    assert len(found) == 16
    assert not any(job.clean for job in found)


def test_job_without_height_is_warned_about_once() -> None:
    opened = started()
    first = opened.receive(call("mining.notify", *JOB[:5]))
    assert jobs(first) == []
    assert len(messages(first)) == 1
    assert "no block height" in messages(first)[0]
    assert opened.receive(call("mining.notify", *JOB[:5])) == []


@pytest.mark.parametrize("height", [1866617, 1866617.0, "1866617", "0x1c7b79", "0X1C7B79"])
def test_height_as_number_decimal_or_hex(height: Any) -> None:
    job = one_job(started(), notify((5, height)))
    assert job.height == 1866617


@pytest.mark.parametrize("height", [None, "", "x", True, -1, 1.5, [], "9" * 5000, 2**63, 2**62])
def test_impossible_height_is_warned_about(height: Any) -> None:
    got = started().receive(notify((5, height)))
    assert jobs(got) == []
    assert len(messages(got)) == 1


def test_impossible_heights_are_warned_about_once() -> None:
    opened = started()
    got = [opened.receive(notify((5, 2**40 + 7500 * number))) for number in range(30)]
    assert [len(messages(events)) for events in got] == [1] + [0] * 29


@pytest.mark.parametrize(
    ("flag", "clean"),
    [(True, True), (False, False), (1, True), (0, False), ("1", True), ("0", False), (None, False),
     (0.0, False), ("False", False), ("FALSE", False), ("True", True)],
)  # fmt: skip
def test_clean_as_boolean_or_number(flag: Any, clean: bool) -> None:
    job = one_job(started(), notify((4, flag)))
    assert job.clean is clean


def test_extra_elements_are_ignored() -> None:
    job = one_job(started(), call("mining.notify", *JOB, 0, 1, 5525))
    assert job.height == 1866617


def test_bits_are_optional() -> None:
    job = one_job(started(), call("mining.notify", *JOB[:6]))
    assert job.block_target == 0


@pytest.mark.parametrize("bits", ["", "zz", None, "ff123456", "04923456", [], True, 1.5])
def test_bad_bits_give_no_block_target(bits: Any) -> None:
    job = one_job(started(), notify((6, bits)))
    assert job.block_target == 0


def test_easier_of_share_and_block_target_counts() -> None:
    job = one_job(started(), notify((6, "207fffff")))
    assert job.target == job.block_target > job.share_target


@pytest.mark.parametrize("header", ["", "0x", HEADER[:-1], HEADER + "00", "g" * 64, None, 5])
def test_header_of_another_size_is_discarded(header: Any) -> None:
    assert jobs(started().receive(notify((1, header)))) == []


def test_header_with_0x() -> None:
    job = one_job(started(), notify((1, "0x" + HEADER.upper())))
    assert job.header_hash.hex() == HEADER


def test_numeric_job_id_is_text() -> None:
    assert jobs(started().receive(notify((0, 5))))[0].id == "5"
    assert jobs(started().receive(notify((0, 5.0))))[0].id == "5"


@pytest.mark.parametrize("name", [None, [], {}, True, 1.5, -1, "x" * 300, "é" * 60])
def test_unusable_job_id_is_discarded(name: Any) -> None:
    assert jobs(started().receive(notify((0, name)))) == []


@pytest.mark.parametrize("params", [[], None, {}, "x", 5])
def test_notify_without_params(params: Any) -> None:
    got = started().receive(line({"method": "mining.notify", "params": params}))
    assert len(messages(got)) == 1


# Extranonce


@pytest.mark.parametrize("params", [["ab"], ["ab", 7], ["0xAB"]])
def test_set_extranonce_applies_to_the_next_job(params: list[Any]) -> None:
    opened = started("eb07")
    old = one_job(opened, notify())
    assert opened.receive(call("mining.set_extranonce", *params)) == []
    assert old.nonces == NonceSpace(0xEB07, 16)
    new = one_job(opened, notify())
    assert new.nonces == NonceSpace(0xAB, 8)
    assert new.id == old.id
    assert new.search_key != old.search_key


def test_a_range_of_few_nonces_is_warned_about_once_also_if_it_comes_later() -> None:
    opened = started("eb07")
    (warning,) = messages(opened.receive(call("mining.set_extranonce", "aabbccddee")))
    assert "assigns only 2^24 nonces" in warning
    assert opened.receive(call("mining.set_extranonce", "aabbccddef")) == []


@pytest.mark.parametrize("result", [True, None, [None], [None, ""]])
def test_set_extranonce_may_come_before_a_subscribe_answer_without_one(result: Any) -> None:
    opened = connected()
    opened.receive(call("mining.set_extranonce", "cc01"))
    assert opened.receive(answer(1, result)) == [Subscribed(NonceSpace(0xCC01, 16))]
    job = one_job(opened, notify())
    assert job.nonces == NonceSpace(0xCC01, 16)


@pytest.mark.parametrize("params", [[], [None], ["zz"], ["00" * 8]])
def test_unusable_set_extranonce_ends_the_connection(params: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="extranonce"):
        started().receive(call("mining.set_extranonce", *params))


# Seed hash


def test_seed_hashes_of_many_epochs_are_not_computed() -> None:
    asked: list[int] = []

    def record(epoch: int) -> bytes:
        asked.append(epoch)
        return bytes(32)

    opened = started(seed_of=record)
    for _ in range(3):
        for epoch in range(100):
            opened.receive(notify((2, "00" * 32), (5, 7500 * epoch)))
    assert asked == list(range(CHECKED_EPOCHS))


def seed_of(epoch: int) -> bytes:
    assert epoch == 248
    return bytes.fromhex(SEED)


@pytest.mark.parametrize("seed", [SEED, "0x" + SEED.upper(), "", None, 0])
def test_right_or_empty_seed_is_not_warned_about(seed: Any) -> None:
    assert messages(started(seed_of=seed_of).receive(notify((2, seed)))) == []


def test_wrong_seed_is_warned_about_once_and_the_height_used() -> None:
    opened = started(seed_of=seed_of)
    first = opened.receive(notify((2, "00" * 32)))
    assert jobs(first)[0].epoch.number == 248
    assert len(messages(first)) == 1
    assert "epoch 248" in messages(first)[0]
    assert messages(opened.receive(notify((2, "11" * 32)))) == []


# Shares


def test_share_is_complete_and_in_lower_case() -> None:
    opened = started()
    job = one_job(opened, notify())
    data = opened.submit(solution(job, 0x0B8E5B00102F3EAB, bytes.fromhex("AB" * 32)))
    assert parsed(data) == [
        {
            "id": 4,
            "method": "mining.submit",
            "params": [
                "RWallet.rig1",
                JOB[0],
                "0x0b8e5b00102f3eab",
                "0x" + HEADER,
                "0x" + "ab" * 32,
            ],
        }
    ]
    assert opened.last_id == 4
    assert len(data) < 1024
    assert opened.receive(answer(4)) == [ShareAnswer(4, Outcome.ACCEPTED, "")]


def test_ids_are_never_used_again() -> None:
    opened = started()
    job = one_job(opened, notify())
    numbers = [parsed(opened.submit(solution(job)))[0]["id"] for _ in range(5)]
    assert numbers == [4, 5, 6, 7, 8]
    assert opened.receive(answer(5, None, [22, "duplicate share"])) == [
        ShareAnswer(5, Outcome.DUPLICATE, "duplicate share")
    ]
    assert opened.receive(answer(5)) == []


def test_line_stays_under_1024_bytes_with_the_longest_job_id() -> None:
    opened = started(user="u" * 256)
    job = one_job(opened, notify((0, "x" * 254)))
    assert len(opened.submit(solution(job))) < 1024


# Requests of the pool


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("client.get_version", {"id": 5, "result": "progpow-miner/0", "error": None}),
        ("mining.ping", {"id": 5, "result": "pong", "error": None}),
        ("client.ping", {"id": 5, "result": "pong", "error": None}),
    ],
)
def test_requests_of_the_server_are_answered(method: str, reply: dict[str, Any]) -> None:
    opened = started()
    assert opened.receive(line({"id": 5, "method": method, "params": []})) == []
    assert parsed(opened.data_to_send()) == [reply]
    assert opened.data_to_send() == b""


def test_unknown_method_with_id_is_answered_by_an_error() -> None:
    opened = started()
    opened.receive(line({"id": "a", "method": "mining.dance", "params": []}))
    (reply,) = parsed(opened.data_to_send())
    assert reply["id"] == "a"
    assert reply["error"]["code"] == -32601


@pytest.mark.parametrize("number", [None, [], {}, 1.5, True, "x" * 100, 2**70])
def test_unknown_method_without_a_usable_id_is_ignored(number: Any) -> None:
    opened = started()
    assert opened.receive(line({"id": number, "method": "mining.dance"})) == []
    assert opened.data_to_send() == b""


def test_shown_message_is_made_safe() -> None:
    got = started().receive(call("client.show_message", "Found\x1b[2J block\n" + "!" * 9999))
    (text,) = messages(got)
    assert text.startswith("Found[2J block !!!")
    assert len(text) <= 200
    assert started().receive(call("client.show_message")) == []
    plain = {"id": None, "method": "client.show_message", "params": "hello"}
    assert messages(started().receive(line(plain))) == ["hello"]


@pytest.mark.parametrize(
    ("params", "event"),
    [
        ([], Reconnect(None, None, 0)),
        (["pool.example", 3333, 5], Reconnect("pool.example", 3333, 5)),
        (["pool.example", "3333", "5"], Reconnect("pool.example", 3333, 5)),
        (["pool.example.", 3333.0, 5.0], Reconnect("pool.example", 3333, 5)),
        ([".", float("nan"), float("inf")], Reconnect(None, None, 0)),
        (["pool.example:3334"], Reconnect("pool.example", 3334, 0)),
        (["stratum+tcp://pool.example:3334/", 3333], Reconnect("pool.example", 3333, 0)),
        (["[2001:db8::1]:3334", None, 5], Reconnect("2001:db8::1", 3334, 5)),
        (["2001:db8::1", 3333], Reconnect("2001:db8::1", 3333, 0)),
        (["user@pool.example:3334:x", 3333], Reconnect("user@pool.example:3334:x", 3333, 0)),
        (["", None, -1], Reconnect(None, None, 0)),
        ([7, 99999, 10**9], Reconnect(None, None, 3600)),
    ],
)
def test_reconnect(params: list[Any], event: Reconnect) -> None:
    assert started().receive(call("client.reconnect", *params)) == [event]


# Malformed lines


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 400 Bad Request",
        b"{",
        b"[]",
        b"5",
        b"null",
        b"\xff\xfe",
        b"[" * 60000,
        b"9" * 9999,
    ],
)
def test_line_that_is_not_a_json_object_is_warned_about_once(odd: bytes) -> None:
    opened = started()
    assert len(messages(opened.receive(odd + b"\n"))) == 1
    for _ in range(MALFORMED_LINES - 1):
        assert opened.receive(odd + b"\n") == []
    with pytest.raises(ProtocolError, match="more than 20 lines"):
        opened.receive(odd + b"\n")


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad\r\n", b"<html>\n", b"<!doctype html>\n"])
def test_a_web_server_in_place_of_a_pool_ends_the_connection(line: bytes) -> None:
    opened = connected()
    with pytest.raises(ProtocolError, match="a web server answers there, not a pool; check the po"):
        opened.receive(line)


def test_oversized_line_ends_the_connection() -> None:
    with pytest.raises(ProtocolError, match="longer than"):
        started().receive(b"x" * 70_000)


# Properties

STREAM = (
    notify((0, "early"))
    + answer(1, [None, "0b8e5b"])
    + call("mining.set_target", TARGET)
    + b"odd\r\n\n"
    + answer(2)
    + notify()
    + call("mining.set_difficulty", 2)
    + call("mining.set_extranonce", "aa")
    + notify((3, ""))
    + call("client.show_message", "hello")
    + call("client.reconnect")
    + line({"id": 9, "method": "mining.ping"})
    + answer(3, False, [20, "Not supported."])
)


@given(st.lists(st.binary(max_size=80)))
def test_arbitrary_bytes_raise_only_protocol_errors(pieces: list[bytes]) -> None:
    opened = connected()
    for piece in pieces:
        receive_quietly(opened, piece + b"\n")


VALUES = any_json(HEADER, TARGET, "ab", 1866617, "1b0135ad")
METHODS = st.sampled_from(
    [
        "mining.notify",
        "mining.set_target",
        "mining.set_difficulty",
        "mining.set_extranonce",
        "client.show_message",
        "client.reconnect",
        "client.get_version",
        "mining.ping",
        "other",
    ]
)


@settings(max_examples=300)
@given(METHODS, VALUES | st.lists(VALUES, min_size=5, max_size=9), VALUES)
def test_arbitrary_calls_raise_only_protocol_errors(method: str, params: Any, number: Any) -> None:
    receive_quietly(started(), line({"id": number, "method": method, "params": params}))


@given(st.lists(st.tuples(st.integers(0, 8), VALUES), max_size=3))
def test_mutated_jobs_raise_only_protocol_errors(changes: list[tuple[int, Any]]) -> None:
    params = [*JOB, 0, 1]
    for index, value in changes:
        params[index] = value
    receive_quietly(started(seed_of=lambda epoch: bytes(32)), call("mining.notify", *params))


@given(st.integers(1, 4), VALUES, VALUES)
def test_arbitrary_answers_raise_only_protocol_errors(number: int, result: Any, error: Any) -> None:
    opened = connected()
    receive_quietly(opened, answer(number, result, error))


@given(st.integers(0, len(STREAM) - 1), st.binary(max_size=4))
def test_mutated_streams_raise_only_protocol_errors(at: int, other: bytes) -> None:
    opened = connected()
    receive_quietly(opened, STREAM[:at] + other + STREAM[at + len(other) :])

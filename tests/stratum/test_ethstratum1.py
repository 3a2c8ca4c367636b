from __future__ import annotations

import json
from fractions import Fraction
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.client_side import ClientSide
from miner.stratum.difficulty import DIFF1_FFFF, MAX_TARGET, parse_target
from miner.stratum.ethstratum1 import ETHSTRATUM1, KEPT_JOBS
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    LoginRefused,
    Message,
    ShareAnswer,
    Subscribed,
    WrongProtocol,
)
from miner.work import Job, NonceSpace, Outcome
from tests.stratum import dialogue
from tests.stratum.dialogue import (
    HEADER,
    JOB,
    SEED,
    TARGET,
    answer,
    any_json,
    call,
    jobs,
    line,
    messages,
    notify,
    one_job,
    parsed,
    solution,
)
from tests.stratum.dialogue import client as kawpow_client

HEIGHT = 1866617
VERSION = "EthereumStratum/1.0.0"
OTHER_HEADER = "ab" * 32


client = partial(dialogue.client, ETHSTRATUM1, "wallet.rig", "secret")
connected = partial(dialogue.connected, ETHSTRATUM1, user="wallet.rig", password="secret")


def subscribed(extranonce: str = "080c") -> bytes:
    return answer(1, [["mining.notify", "ae68", VERSION], extranonce]) + answer(2)


def started(extranonce: str = "080c", **changes: Any) -> ClientSide:
    opened = connected(**changes)
    opened.receive(subscribed(extranonce))
    return opened


def announced(*params: Any, **beside: Any) -> bytes:
    return line({"id": None, "method": "mining.notify", "params": list(params), **beside})


def a_job(name: str = "bf0488aa", header: str = HEADER, clean: bool = True) -> bytes:
    return announced(name, SEED, header, clean, HEIGHT)


def submission(opened: ClientSide, job: Job, nonce: int) -> list[Any]:
    message = json.loads(opened.submit(solution(job, nonce, bytes(32))))
    assert message["method"] == "mining.submit"
    params = message["params"]
    assert isinstance(params, list)
    return params


# Opening


def test_dialect_is_named_in_the_subscription() -> None:
    assert parsed(client().start()) == [
        {"id": 1, "method": "mining.subscribe", "params": ["progpow-miner/0", VERSION]},
        {"id": 2, "method": "mining.authorize", "params": ["wallet.rig", "secret"]},
        {"id": 3, "method": "mining.extranonce.subscribe", "params": []},
    ]


def test_login() -> None:
    opened = connected()
    assert opened.receive(subscribed()) == [Subscribed(NonceSpace(0x080C, 16)), Authorized()]


def test_unsupported_version_is_the_wrong_protocol() -> None:
    opened = connected()
    got = opened.receive(answer(1, None, "unsupported stratum version"))
    assert got == [WrongProtocol("unsupported stratum version")]


def test_refused_login() -> None:
    opened = connected()
    assert opened.receive(answer(2, False)) == [LoginRefused("refused without a reason")]


def test_refused_extranonce_subscribe_is_ignored() -> None:
    assert started().receive(answer(3, None, [20, "Not supported."])) == []


# Height


def test_seed_comes_before_header() -> None:
    job = one_job(started(seed_of=lambda epoch: bytes.fromhex(SEED)), a_job())
    assert job.header_hash.hex() == HEADER
    assert (job.id, job.height, job.epoch.number, job.session) == ("bf0488aa", HEIGHT, 248, 7)


def test_header_in_place_of_the_seed_is_warned_about() -> None:
    opened = started(seed_of=lambda epoch: bytes.fromhex(SEED))
    got = opened.receive(announced("1", HEADER, SEED, True, HEIGHT))
    assert len(jobs(got)) == 1
    assert "epoch 248" in messages(got)[0]


@pytest.mark.parametrize(
    ("height", "number"),
    [
        ("0x1c7b79", HEIGHT),
        ("0X1C7B79", HEIGHT),
        ("1c7b79", HEIGHT),
        ("1866617", HEIGHT),
        (HEIGHT, HEIGHT),
        ("51395a", 0x51395A),
        ("513951", 513951),
        ("0", 0),
    ],
)
@pytest.mark.parametrize("place", ["4th element", "5th element", "beside the params"])
def test_height_in_every_place_and_form(height: Any, number: int, place: str) -> None:
    match place:
        case "4th element":
            data = announced("1", SEED, HEADER, height, False)
        case "5th element":
            data = announced("1", SEED, HEADER, False, height)
        case _:
            data = announced("1", SEED, HEADER, False, height=height, algo="progpow")
    job = one_job(started(), data)
    assert (job.height, job.clean) == (number, False)


@pytest.mark.parametrize("clean", [True, False])
@pytest.mark.parametrize("flags", [(1, 0), ("1", "0"), ("true", "false")])
def test_clean_flag_that_is_not_a_boolean(flags: tuple[Any, Any], clean: bool) -> None:
    flag = flags[0] if clean else flags[1]
    for values in ([flag], [flag, "0x1c7b79"], [HEIGHT, flag]):
        job = one_job(started(), announced("1", SEED, HEADER, *values, height="1866617"))
        assert (job.height, job.clean) == (HEIGHT, clean)


def test_height_in_the_params_has_precedence() -> None:
    job = one_job(started(), announced("1", SEED, HEADER, True, HEIGHT, height="5"))
    assert job.height == HEIGHT


def test_empty_height_beside_other_calls_is_ignored() -> None:
    opened = started()
    for method, params in (("mining.set_difficulty", [1]), ("mining.set_extranonce", ["080c"])):
        message = {"id": None, "method": method, "params": params, "height": "", "algo": ""}
        assert messages(opened.receive(line(message))) == []
    assert len(jobs(opened.receive(a_job()))) == 1


@pytest.mark.parametrize("beside", [{}, {"height": ""}, {"height": None}])
def test_job_without_height_is_warned_about_once(beside: dict[str, Any]) -> None:
    opened = started()
    got = opened.receive(announced("1", SEED, HEADER, True, **beside))
    assert jobs(got) == []
    (text,) = messages(got)
    assert "no block height, which ProgPoW needs" in text
    assert opened.receive(announced("2", SEED, OTHER_HEADER, False, **beside)) == []


@pytest.mark.parametrize(
    "height", ["x", "-1", "1.5", "0x", "f" * 17, HEADER, [], {}, True, -1, 1.5, "٣", "9" * 5000]
)
def test_impossible_height_is_warned_about(height: Any) -> None:
    got = started().receive(announced("1", SEED, HEADER, False, height))
    assert jobs(got) == []
    assert len(messages(got)) == 1


@pytest.mark.parametrize("params", [[], ["1"], ["1", SEED], ["1", SEED, HEADER], None, {}, "x"])
def test_job_with_too_few_params_is_warned_about(params: Any) -> None:
    got = started().receive(line({"method": "mining.notify", "params": params, "height": "5"}))
    assert jobs(got) == []
    assert len(messages(got)) == 1


# Difficulty


def test_difficulty_is_1_until_another_is_set() -> None:
    assert (
        one_job(started(), a_job()).share_target
        == DIFF1_FFFF
        == parse_target("00000000ffff" + "0" * 52)
    )


def test_set_difficulty_applies_to_the_next_job() -> None:
    opened = started()
    old = one_job(opened, a_job())
    assert opened.receive(call("mining.set_difficulty", 0.5)) == [DifficultyNotice(2 * DIFF1_FFFF)]
    new = one_job(opened, a_job())
    assert (old.share_target, new.share_target) == (DIFF1_FFFF, 2 * DIFF1_FFFF)
    assert new.search_key == old.search_key


@given(st.floats(min_value=0, exclude_min=True, max_value=2.0**223) | st.integers(1, 2**70))
def test_set_difficulty_is_exact_and_not_clamped(difficulty: float) -> None:
    opened = started()
    opened.receive(call("mining.set_difficulty", difficulty))
    exact = DIFF1_FFFF / Fraction(difficulty)
    assert one_job(opened, a_job()).share_target == min(exact.__floor__(), MAX_TARGET)


def test_difficulty_1_is_that_of_the_dialect_not_of_the_coin() -> None:
    opened = started(diff1=0xFF << 216)
    assert one_job(opened, a_job()).share_target == DIFF1_FFFF
    opened.receive(call("mining.set_difficulty", 2))
    assert one_job(opened, a_job()).share_target == DIFF1_FFFF // 2


@pytest.mark.parametrize("value", [0, -1, "x", None, True, float("nan"), float("inf"), 1e308])
def test_bad_difficulty_is_warned_about_and_ignored(value: Any) -> None:
    opened = started()
    opened.receive(call("mining.set_difficulty", 2))
    assert len(messages(opened.receive(call("mining.set_difficulty", value)))) == 1
    assert one_job(opened, a_job()).share_target == DIFF1_FFFF // 2


# Extranonce and shares


@pytest.mark.parametrize("digits", range(15))
def test_nonce_is_submitted_without_its_prefix(digits: int) -> None:
    prefix = "a1b2c3d4e5f607"[:digits]
    opened = started(prefix)
    job = one_job(opened, a_job())
    suffix = "0" * (15 - digits) + "b"
    assert job.nonces == NonceSpace(int(prefix or "0", 16), 4 * digits)
    assert submission(opened, job, int(prefix + suffix, 16)) == ["wallet.rig", "bf0488aa", suffix]


@given(st.binary(max_size=6), st.integers(0, 2**64 - 1))
def test_prefix_and_suffix_make_up_the_nonce(prefix: bytes, free: int) -> None:
    opened = started(prefix.hex())
    job = one_job(opened, a_job())
    nonce = job.nonces.first + free % job.nonces.size
    suffix = submission(opened, job, nonce)[2]
    assert len(suffix) == 16 - 2 * len(prefix)
    assert int(prefix.hex() + suffix, 16) == nonce


def test_set_extranonce_applies_to_the_next_job_only() -> None:
    opened = started("080c")
    old = one_job(opened, a_job())
    assert opened.receive(call("mining.set_extranonce", "a1b2c3")) == []
    new = one_job(opened, a_job())
    assert new.search_key != old.search_key
    assert submission(opened, old, 0x080C000000000001)[2] == "000000000001"
    assert submission(opened, new, 0xA1B2C30000000001)[2] == "0000000001"


@pytest.mark.parametrize("params", [[], [None], ["zz"], ["00" * 8]])
def test_unusable_set_extranonce_ends_the_connection(params: list[Any]) -> None:
    with pytest.raises(ProtocolError, match="extranonce"):
        started().receive(call("mining.set_extranonce", *params))


def test_block_announced_twice_is_one_search_under_the_newest_id() -> None:
    opened = started()
    old, new = jobs(opened.receive(a_job("6aefaa85") + a_job("e04c527d")))
    assert new.search_key == old.search_key
    assert submission(opened, new, new.nonces.first)[1] == "e04c527d"


def test_share_is_answered() -> None:
    opened = started()
    job = one_job(opened, a_job())
    for error, outcome in (
        (None, Outcome.ACCEPTED),
        (["21", "Stale share."], Outcome.STALE),
        ([22, "Duplicate share"], Outcome.DUPLICATE),
    ):
        opened.submit(solution(job))
        (got,) = opened.receive(answer(opened.last_id, None, error))
        assert isinstance(got, ShareAnswer)
        assert (got.id, got.outcome) == (opened.last_id, outcome)


def test_line_stays_under_1024_bytes_with_the_longest_job_id() -> None:
    opened = started("", user="u" * 256)
    assert len(opened.submit(solution(one_job(opened, a_job("x" * 254))))) < 1024


def test_job_before_the_subscribe_answer_is_held_until_it() -> None:
    opened = connected()
    assert opened.receive(a_job()) == []
    assert one_job(opened, subscribed()).nonces == NonceSpace(0x080C, 16)


# KawPow's jobs under this dialect's name


def test_moneroocean_names_this_dialect_and_sends_kawpow_jobs() -> None:
    opened = connected(seed_of=lambda epoch: bytes.fromhex(SEED))
    opened.receive(answer(1, [["mining.notify", "1", VERSION], "fe05", 6]))
    events = opened.receive(notify())
    (job,) = jobs(events)
    assert messages(events) == []
    assert (job.header_hash.hex(), job.height) == (HEADER, HEIGHT)
    assert job.share_target == parse_target(TARGET)
    assert job.block_target == 0x0135AD << 192
    assert submission(opened, job, 0xFE05000000000001) == [
        "wallet.rig",
        JOB[0],
        "0xfe05000000000001",
        f"0x{HEADER}",
        "0x" + "00" * 32,
    ]


def test_share_has_the_form_of_its_job() -> None:
    opened = started("fe05")
    whole, part = jobs(
        opened.receive(notify((0, "1")) + announced("1", SEED, OTHER_HEADER, True, 5))
    )
    assert len(submission(opened, whole, 0xFE05000000000001)) == 5
    assert submission(opened, part, 0xFE05000000000001)[2] == "000000000001"


def test_share_of_a_held_job_has_the_form_of_its_job() -> None:
    opened = connected()
    opened.receive(notify())
    job = one_job(opened, subscribed("fe05"))
    assert submission(opened, job, 0xFE05000000000001)[2] == "0xfe05000000000001"


def test_empty_target_in_a_kawpow_job_is_the_announced_one() -> None:
    opened = started()
    opened.receive(call("mining.set_target", TARGET))
    assert one_job(opened, notify((3, ""))).share_target == parse_target(TARGET)


def test_newest_kawpow_jobs_are_remembered() -> None:
    opened = started("fe05")
    got = [one_job(opened, notify((0, str(number)))) for number in range(KEPT_JOBS + 5)]
    assert len(opened._kawpow_jobs) == KEPT_JOBS
    assert len(submission(opened, got[-KEPT_JOBS], 0xFE05000000000001)) == 5


@pytest.mark.parametrize("uncertain", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_kawpows_job_shows_the_dialect_of_a_pool_that_did_not_name_one(
    uncertain: bool, named: bool
) -> None:
    opened = connected(is_uncertain=uncertain)
    opened.receive(subscribed() if named else answer(1, [None, "080c"]) + answer(2))
    events = opened.receive(notify())
    title = "KawPow Stratum"
    foreign = WrongProtocol(f"its jobs are those of {title}", title) in events
    assert foreign == (uncertain and not named)
    assert bool(jobs(events)) != foreign


# This dialect's jobs under KawPow's


def named(dialect: str) -> ClientSide:
    opened = kawpow_client()
    opened.start()
    opened.receive(answer(1, [["mining.notify", "1", dialect], "fe05"]))
    return opened


@pytest.mark.parametrize(
    "values",
    [[True], [False, HEIGHT], ["51395a", True], [HEIGHT, False]],
)
def test_kawpow_client_reports_this_dialect_once(values: list[Any]) -> None:
    opened = named(VERSION)
    data = announced("1", SEED, HEADER, *values)
    title = "EthereumStratum/1.0.0"
    assert opened.receive(data) == [WrongProtocol(f"its jobs are those of {title}", title)]
    assert [type(event) for event in opened.receive(data)] == [Message]


def test_kawpow_client_finds_the_name_among_several_subscriptions() -> None:
    opened = kawpow_client()
    opened.start()
    result = [[["mining.set_difficulty", "1"], ["mining.notify", "1", VERSION]], "fe05"]
    opened.receive(answer(1, result))
    (event,) = opened.receive(announced("1", SEED, HEADER, True))
    assert isinstance(event, WrongProtocol)


@pytest.mark.parametrize(
    ("dialect", "values"),
    [
        ("other", [True]),
        (VERSION, [TARGET, True]),
        (VERSION, ["1"]),
        (VERSION, ["1", "2"]),
        (VERSION, [True, HEIGHT, 1]),
    ],
)
def test_kawpow_client_warns_about_other_short_jobs(dialect: str, values: list[Any]) -> None:
    (event,) = named(dialect).receive(announced("1", HEADER, SEED, *values))
    assert isinstance(event, Message)


def test_kawpow_client_accepts_kawpow_jobs_under_this_dialects_name() -> None:
    (event,) = named(VERSION).receive(notify())
    assert isinstance(event, JobReceived)


# Properties

VALUES = any_json(HEADER, TARGET, "51395a", HEIGHT, "1b0135ad")


@given(st.lists(VALUES, max_size=8), VALUES)
def test_arbitrary_jobs_raise_nothing(params: list[Any], height: Any) -> None:
    for opened in (started(seed_of=lambda epoch: bytes(32)), named(VERSION)):
        opened.receive(line({"method": "mining.notify", "params": params, "height": height}))


@given(st.lists(st.tuples(st.integers(0, 4), VALUES), max_size=3), VALUES)
def test_mutated_jobs_raise_nothing(changes: list[tuple[int, Any]], height: Any) -> None:
    params: list[Any] = ["1", SEED, HEADER, True, HEIGHT]
    for index, value in changes:
        params[index] = value
    for opened in (started(seed_of=lambda epoch: bytes(32)), named(VERSION)):
        opened.receive(line({"method": "mining.notify", "params": params, "height": height}))

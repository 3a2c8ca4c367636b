"""Properties of every dialect's client side."""

from __future__ import annotations

import json
import tracemalloc
from collections import Counter
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.errors import ProtocolError
from miner.stratum.client_side import ClientSide
from miner.stratum.dialect import Dialect
from miner.stratum.dialects import DIALECTS, recognise
from miner.stratum.opening import Opening
from miner.stratum.pool_events import Authorized, PoolEvent, ShareAnswer, Subscribed
from miner.stratum.wire_format import LINE_LIMIT, whole
from miner.work import Outcome
from tests.fakes.device import job_at
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import answer, line, parsed, solution
from tests.stratum.transcripts import TRANSCRIPTS, sent_by_pool

EVERY_DIALECT = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=list(DIALECTS))
MUTATIONS = 10_000
OPENING = Opening("wallet.rig", "secret", "agent/0", KAWPOW, 1, "pool.example", 3333)


def started(dialect: Dialect) -> ClientSide:
    client = dialect.connect(
        Opening("wallet.rig", "secret", "agent/0", KAWPOW, 1, "pool.example", 3333)
    )
    client.start()
    return client


def recorded_lines() -> list[bytes]:
    names = sorted(path.stem for path in TRANSCRIPTS.glob("*.jsonl"))
    return [entry.rstrip() for name in names for entry in sent_by_pool(name)]


RECORDED = recorded_lines()


def test_each_scheme_belongs_to_one_dialect() -> None:
    schemes = Counter(s for dialect in DIALECTS.values() for s in (dialect.name, *dialect.schemes))
    assert set(schemes.values()) == {1}


@EVERY_DIALECT
def test_first_request_is_recognised(dialect: Dialect) -> None:
    first = json.loads(dialect.connect(OPENING).start().splitlines()[0])
    if dialect.first_method is not None:
        assert recognise(first["method"], first["params"]) is dialect


@EVERY_DIALECT
def test_opening_requests_are_numbered_from_1(
    dialect: Dialect,
) -> None:
    client = dialect.connect(
        Opening("wallet.rig", "secret", "agent/0", KAWPOW, 1, "pool.example", 3333)
    )
    requests = parsed(client.start())
    numbers = [whole(request["id"]) for request in requests]
    assert numbers == list(range(1, len(numbers) + 1))


LOGIN_RESULTS: dict[str, list[Any]] = {
    "kawpow": [[None, "0b8e"], True],
    "ethstratum": [[["mining.notify", "ae68", "EthereumStratum/1.0.0"], "08"], True],
    "ethstratum2": [{"proto": "EthereumStratum/2.0.0"}, "s-1", "w-1"],
}


@EVERY_DIALECT
@pytest.mark.parametrize("error", [None, [], {}, False, 0, ""], ids=repr)
def test_login_and_shares_are_accepted_with_an_empty_error(dialect: Dialect, error: Any) -> None:
    client = started(dialect)
    events: list[PoolEvent] = []
    for number, result in enumerate(LOGIN_RESULTS.get(dialect.name, [True]), 1):
        events += client.receive(answer(number, result, error))
    assert [type(event) for event in events] == [Subscribed, Authorized]
    client.submit(solution(job_at()))
    (event,) = client.receive(answer(client.last_id, True, error))
    assert event == ShareAnswer(client.last_id, Outcome.ACCEPTED, "")


@EVERY_DIALECT
@pytest.mark.parametrize("form", [int, float, str])
@pytest.mark.parametrize("params", [{}, {"params": None}, {"params": []}, {"params": {}}], ids=str)
@pytest.mark.parametrize("names_method", [False, True])
def test_the_form_of_the_id_and_empty_members_do_not_matter_in_an_answer(
    dialect: Dialect, form: type, params: dict[str, Any], names_method: bool
) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    message = {"id": form(client.last_id), "result": True, "error": None, **params}
    message["method"] = next(iter(dialect.shares)) if names_method else None
    (event,) = client.receive(line(message))
    assert event == ShareAnswer(client.last_id, Outcome.ACCEPTED, "")


@EVERY_DIALECT
@pytest.mark.parametrize("number", [None, True, -1, 2.5, 0, 99, "x", [], {}, 1e308, 2**70])
def test_answers_under_other_ids_belong_to_no_share(dialect: Dialect, number: Any) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    assert client.receive(answer(number)) == []


@EVERY_DIALECT
@pytest.mark.parametrize(
    "edges", [(b"", b"\0"), (b"\0", b""), (b"\xef\xbb\xbf", b"\r"), (b" ", b"\t")]
)
def test_what_surrounds_a_line_is_ignored(dialect: Dialect, edges: tuple[bytes, bytes]) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    text = answer(client.last_id).strip()
    (event,) = client.receive(edges[0] + text + edges[1] + b"\n" + edges[0])
    assert event == ShareAnswer(client.last_id, Outcome.ACCEPTED, "")


@EVERY_DIALECT
@pytest.mark.parametrize("between", [b"", b" ", b"\r", b"\t"], ids=repr)
def test_messages_on_one_line_are_read(dialect: Dialect, between: bytes) -> None:
    client = started(dialect)
    numbers = []
    for nonce in range(3):
        client.submit(solution(job_at(), nonce))
        numbers.append(client.last_id)
    text = between.join(answer(number).strip() for number in numbers)
    accepted = [ShareAnswer(number, Outcome.ACCEPTED, "") for number in numbers]
    assert client.receive(text + b"\n") == accepted
    assert client.malformed_lines == 0


@EVERY_DIALECT
@pytest.mark.parametrize("rest", [b"x", b"{", b"[]", b"5", b"}", b", {}", b"{}" * 20])
def test_a_line_with_something_else_than_messages_is_malformed(
    dialect: Dialect, rest: bytes
) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    events = client.receive(answer(client.last_id).strip() + rest + b"\n")
    assert not any(isinstance(event, ShareAnswer) for event in events)
    assert client.malformed_lines == 1


@EVERY_DIALECT
@pytest.mark.parametrize("member", ["reject-reason", "reject_reason", "reason", "message", "msg"])
def test_the_reason_of_a_refused_share_may_be_in_another_member(
    dialect: Dialect, member: str
) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    refusal = {"id": client.last_id, "result": False, "error": None, member: "Duplicate"}
    (event,) = client.receive(line(refusal))
    assert event == ShareAnswer(client.last_id, Outcome.DUPLICATE, "Duplicate")


@EVERY_DIALECT
@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "big5", "shift_jis", "cp1251", "latin-1"])
def test_answers_to_shares_are_read_in_any_encoding(dialect: Dialect, encoding: str) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    text = {"cp1251": "доля не найдена", "latin-1": "trop tôt, refusé"}.get(encoding, "任務功能")
    refusal = f'{{"id":{client.last_id},"result":null,"error":[21,"{text}",null]}}\n'
    (event,) = client.receive(refusal.encode(encoding))
    assert isinstance(event, ShareAnswer)
    assert event.outcome is Outcome.STALE


@EVERY_DIALECT
def test_answers_with_control_characters_in_their_text_are_read(dialect: Dialect) -> None:
    client = started(dialect)
    client.submit(solution(job_at()))
    refusal = f'{{"id":{client.last_id},"result":null,"error":[21,"not\tthere\x01",null]}}\n'
    (event,) = client.receive(refusal.encode())
    assert event == ShareAnswer(client.last_id, Outcome.STALE, "not there")


@EVERY_DIALECT
def test_line_of_a_mebibyte_ends_the_connection_and_is_not_kept(dialect: Dialect) -> None:
    client = started(dialect)
    tracemalloc.start()
    try:
        client.receive(b"x" * LINE_LIMIT)
        for _ in range(15):
            with pytest.raises(ProtocolError, match="longer than"):
                client.receive(b"x" * LINE_LIMIT)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 4 * LINE_LIMIT


@EVERY_DIALECT
def test_ten_thousand_mutated_lines_cause_no_crash_and_no_leak(dialect: Dialect) -> None:
    random = Random(5)
    client = started(dialect)
    kept = []
    for number in range(MUTATIONS):
        line = bytearray(random.choice(RECORDED))
        for _ in range(random.randrange(1, 6)):
            at = random.randrange(len(line))
            if random.random() < 0.3:
                del line[at : at + random.randrange(1, 20)]
            else:
                line[at : at + 1] = bytes([random.choice(b'0123456789abcdefx"[]{},:-. \\tnule')])
            if not line:
                break
        try:
            client.receive(bytes(line).replace(b"\n", b" ") + b"\n")
            client.data_to_send()
        except ProtocolError:
            client = started(dialect)
        if number % 1000 == 0:
            kept.append(len(client._requests) + len(client._warned) + len(client._unsent))
    assert max(kept) < 1000


@EVERY_DIALECT
def test_unanswered_requests_do_not_accumulate(dialect: Dialect) -> None:
    client = started(dialect)
    for _ in range(3000):
        client.report_hashrate(10**6, bytes(32))
        client.keepalive()
    assert len(client._requests) < 1000


@EVERY_DIALECT
def test_newest_share_is_known_after_many_unanswered_requests(dialect: Dialect) -> None:
    client = started(dialect)
    for _ in range(3000):
        client.report_hashrate(10**6, bytes(32))
    share = solution(job_at())
    client.submit(share)
    number = client.last_id
    (event,) = client.receive(answer(number))
    assert event == ShareAnswer(number, Outcome.ACCEPTED, "")


@EVERY_DIALECT
@settings(max_examples=50)
@given(cuts=st.lists(st.integers(1, 400), min_size=1, max_size=40), seed=st.integers(0, 10**6))
def test_any_split_of_the_stream_gives_the_same_events(
    dialect: Dialect, cuts: list[int], seed: int
) -> None:
    random = Random(seed)
    data = b"\n".join(random.choice(RECORDED) for _ in range(12)) + b"\n"

    def outcome(pieces: list[bytes]) -> tuple[list[object], str, bytes]:
        client = started(dialect)
        events: list[object] = []
        sent = b""
        for piece in pieces:
            try:
                events += client.receive(piece)
            except ProtocolError as error:
                return [], str(error), b""
            sent += client.data_to_send()
        return events, "", sent

    pieces, at = [], 0
    while at < len(data):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(data[at : at + size])
        at += size
    whole, cut = outcome([data]), outcome(pieces)
    assert whole == cut

"""ETHPROXY, SERO and Zano against transcripts: the pool's side is replayed, ours is compared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.progpow.variant import Span
from miner.stratum.dialect import Dialect
from miner.stratum.ethproxy import ETHPROXY, SERO, ZANO
from miner.stratum.pool_events import (
    Authorized,
    HashrateRefused,
    PoolEvent,
    ShareAnswer,
    Subscribed,
)
from miner.work import NonceSpace, Outcome, Solution
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import jobs, line, messages, solution
from tests.stratum.transcripts import (
    HASHRATE,
    RIG,
    Replay,
    opening,
    parsed,
    sent_by_pool,
    transcript,
)

LIKE_PROGPOW = replace(KAWPOW, name="progpow", period=50, spans=(Span(0, 30000),))
"""A variant with the heights and epochs of the chains in these transcripts."""

A, S, X = Outcome.ACCEPTED, Outcome.STALE, Outcome.INVALID


class EthProxyReplay(Replay):
    """Shares are [nonce, header hash, mix hash]."""

    def solution(self, params: list[Any]) -> Solution:
        header = bytes.fromhex(params[1][2:])
        known = [job for job in self.jobs() if job.header_hash == header]
        job = known[-1] if known else replace(self.jobs()[-1], header_hash=header)
        return solution(job, int(params[0], 16), bytes.fromhex(params[2][2:]))


def replay(dialect: Dialect, name: str) -> Replay:
    return EthProxyReplay(dialect, LIKE_PROGPOW).run(name)


def test_open_etc_pool() -> None:
    seen = replay(ETHPROXY, "loopback-ethproxy-openetcpool")
    assert seen.differing == []
    assert seen.outcomes()[:2] == [X, X]
    assert set(seen.outcomes()[2:]) == {A}
    assert {job.height for job in seen.jobs()} >= {0x0E7EF1}
    assert seen.events[:2] == [Subscribed(NonceSpace()), Authorized()]


def test_sero_writes_heights_in_decimal() -> None:
    seen = replay(SERO, "loopback-sero-ethproxy")
    assert seen.differing == []
    assert seen.jobs()[0].height == 950000
    assert len(seen.outcomes()) == seen.submitted
    assert seen.outcomes().count(A) >= 40
    assert set(seen.outcomes()) == {A, X}


def test_zano_pool_writes_heights_in_sixteen_digits_and_accepts_with_a_status() -> None:
    seen = replay(ZANO, "loopback-zano-ethproxy")
    assert seen.differing == []
    assert seen.jobs()[0].height == 1000
    assert seen.outcomes()[:2] == [X, S]
    assert set(seen.outcomes()[2:]) == {A}
    (refused,) = [event for event in seen.events if isinstance(event, HashrateRefused)]
    assert refused.text == "Invalid method"
    assert messages(seen.events) == []


def test_zanod_self_test_has_work_without_height_and_a_duplicate() -> None:
    client = ZANO.connect(opening(LIKE_PROGPOW, "miner"))
    client.start()
    events: list[PoolEvent] = client.receive(line({"id": 1, "result": True}))
    for direction, message in transcript("recorded-ethproxy-zanod-selftest"):
        if direction == "s2c" and isinstance(message.get("result"), list):
            events += client.receive(line(message))
    assert jobs(events) == []
    (text,) = messages(events)
    assert "no block height" in text
    (job,) = jobs(client.receive(line({"id": 0, "result": [f"0x{'ab' * 32}", "", "0x1", "1"]})))
    client.submit(solution(job))
    error = {"code": 22, "message": "Duplicate share"}
    (answer,) = client.receive(line({"id": client.last_id, "result": None, "error": error}))
    assert isinstance(answer, ShareAnswer)
    assert answer.outcome is Outcome.DUPLICATE


@pytest.mark.parametrize(
    "name", ["recorded-ethproxy-claymore-proxy", "recorded-submithashrate-trex-srbminer"]
)
def test_other_miners_requests_have_our_form(name: str) -> None:
    client = ETHPROXY.connect(opening(LIKE_PROGPOW, "wallet"))
    client.start()
    for direction, message in transcript(name):
        assert direction == "c2s"
        if message["method"] == "eth_getWork":
            (ours,) = parsed(client.keepalive())
        else:
            rate, rig = message["params"]
            (ours,) = parsed(client.report_hashrate(int(rate, 16), bytes.fromhex(rig[2:])))
        assert (ours["method"], ours["params"]) == (message["method"], message["params"])


@pytest.mark.parametrize(
    ("dialect", "name"),
    [
        (ETHPROXY, "loopback-ethproxy-openetcpool"),
        (SERO, "loopback-sero-ethproxy"),
        (ZANO, "loopback-zano-ethproxy"),
        (ZANO, "recorded-ethproxy-zanod-selftest"),
    ],
)
@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_any_split_of_a_recorded_stream_gives_the_same_events(
    dialect: Dialect, name: str, sizes: list[int]
) -> None:
    data = b"".join(sent_by_pool(name))

    def outcome(pieces: list[bytes]) -> tuple[list[PoolEvent], bytes]:
        client = dialect.connect(opening(LIKE_PROGPOW))
        client.start()
        work = [f"0x{'ab' * 32}", "", "0x1", "1"]
        (job,) = jobs(client.receive(line({"id": 0, "result": work})))
        # As in the recordings: 2 asks for work, 3 reports the hashrate, the others submit shares.
        client.keepalive()
        client.report_hashrate(HASHRATE, RIG)
        for nonce in range(40):
            client.submit(solution(job, nonce))
        events: list[PoolEvent] = []
        sent = b""
        for piece in pieces:
            events += client.receive(piece)
            sent += client.data_to_send()
        return events, sent

    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        pieces.append(data[at : at + sizes[len(pieces) % len(sizes)]])
        at += len(pieces[-1])
    whole = outcome([data])
    assert outcome(pieces) == whole
    assert any(isinstance(event, ShareAnswer) for event in whole[0]) == ("loopback" in name)

"""ETHPROXY, SERO and Zano against transcripts: the pool's side is replayed, ours is compared."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Span
from miner.stratum.client_side import Opening
from miner.stratum.dialect import Dialect
from miner.stratum.ethproxy import ETHPROXY, SERO, ZANO
from miner.stratum.pool_events import (
    Authorized,
    HashrateRefused,
    PoolEvent,
    ShareAnswer,
    Subscribed,
)
from miner.work import Job, NonceSpace, Outcome
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import jobs, line, messages, solution, transcript

LIKE_PROGPOW = replace(KAWPOW, name="progpow", period=50, spans=(Span(0, 30000),))
"""A variant with the heights and epochs of the chains in these transcripts."""

A, S, X = Outcome.ACCEPTED, Outcome.STALE, Outcome.INVALID
HASHRATE = 20_000_000
RIG = bytes.fromhex("ab" * 32)


@dataclass
class Replay:
    """Transcripts replayed with our client in place of the recorded one."""

    dialect: Dialect
    events: list[PoolEvent] = field(default_factory=list)
    differing: list[dict[str, Any]] = field(default_factory=list)
    """Recorded requests that ours differ from."""
    submitted: int = 0
    unknown: int = 0
    """Recorded submissions for headers that the pool never sent."""

    def run(self, name: str) -> Replay:
        client = self.dialect.connect(opening())
        pending: list[dict[str, Any]] = []
        numbers: dict[Any, Any] = {}
        for direction, message in transcript(name):
            if direction == "s2c":
                number = message.get("id")
                renumbered = (
                    message if number is None else {**message, "id": numbers.get(number, number)}
                )
                self.events += client.receive(line(renumbered))
                pending += parsed(client.data_to_send())
                continue
            method, params = message["method"], message["params"]
            if method.endswith("_submitLogin"):
                client = self.dialect.connect(opening(params[0], message.get("worker", "")))
                pending, numbers = parsed(client.start()), {}
            elif method.endswith("_submitHashrate"):
                pending += parsed(client.report_hashrate(HASHRATE, RIG))
            elif method.endswith("_submitWork"):
                pending += parsed(client.submit(self.share(params)))
                self.submitted += 1
            ours = next(m for m in pending if m["method"] == method)
            pending.remove(ours)
            numbers[message["id"]] = ours["id"]
            if normalised(ours) != normalised(message):
                self.differing.append(message)
        return self

    def share(self, params: list[str]) -> Any:
        header = bytes.fromhex(params[1][2:])
        known = [job for job in self.jobs() if job.header_hash == header]
        self.unknown += not known
        job = known[-1] if known else replace(self.jobs()[-1], header_hash=header)
        return solution(job, int(params[0], 16), bytes.fromhex(params[2][2:]))

    def jobs(self) -> list[Job]:
        return jobs(self.events)

    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, ShareAnswer)]


def opening(user: str = "user", worker: str = "") -> Opening:
    name = f"{user}.{worker}" if worker else user
    return Opening(name, "x", "ours/0", LIKE_PROGPOW, 7, "pool.example", 3333, seed_of=seed_hash)


def normalised(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message without id, a login also without account, since ours adds the worker."""
    kept = {key: value for key, value in message.items() if key != "id"}
    if message["method"].endswith("_submitLogin"):
        kept["params"] = message["params"][1:]
    return kept


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in data.splitlines()]


def test_open_etc_pool() -> None:
    seen = Replay(ETHPROXY).run("loopback-ethproxy-openetcpool")
    assert seen.differing == []
    assert seen.outcomes()[:2] == [X, X]
    assert set(seen.outcomes()[2:]) == {A}
    assert seen.unknown == 1
    assert {job.height for job in seen.jobs()} >= {0x0E7EF1}
    assert seen.events[:2] == [Subscribed(NonceSpace()), Authorized()]


def test_sero_writes_heights_in_decimal() -> None:
    seen = Replay(SERO).run("loopback-sero-ethproxy")
    assert seen.differing == []
    assert seen.jobs()[0].height == 950000
    assert len(seen.outcomes()) == seen.submitted
    assert seen.outcomes().count(A) >= 40
    assert set(seen.outcomes()) == {A, X}


def test_zano_pool_writes_heights_in_sixteen_digits_and_accepts_with_a_status() -> None:
    seen = Replay(ZANO).run("loopback-zano-ethproxy")
    assert seen.differing == []
    assert seen.jobs()[0].height == 1000
    assert seen.outcomes()[:2] == [X, S]
    assert set(seen.outcomes()[2:]) == {A}
    (refused,) = [event for event in seen.events if isinstance(event, HashrateRefused)]
    assert refused.text == "Invalid method"
    assert messages(seen.events) == []


def test_zanod_self_test_has_work_without_height_and_a_duplicate() -> None:
    client = ZANO.connect(opening("miner", ""))
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
    client = ETHPROXY.connect(opening("wallet", ""))
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
    data = b"".join(line(message) for side, message in transcript(name) if side == "s2c")

    def outcome(pieces: list[bytes]) -> tuple[list[PoolEvent], bytes]:
        client = dialect.connect(opening())
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

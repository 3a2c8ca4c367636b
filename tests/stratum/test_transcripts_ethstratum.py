from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Span, Variant
from miner.stratum.client_side import Opening
from miner.stratum.dialect import Dialect
from miner.stratum.difficulty import DIFF1_FFFF, target_from_difficulty
from miner.stratum.ethstratum1 import ETHSTRATUM1
from miner.stratum.ethstratum2 import ETHSTRATUM2
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    PoolEvent,
    Reconnect,
    ShareAnswer,
    Subscribed,
)
from miner.work import Job, NonceSpace, Outcome
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import jobs, line, messages, solution, transcript

LIKE_PROGPOW = replace(KAWPOW, name="progpow", spans=(Span(0, 30000),))
"""A variant with the epochs of the chains in these transcripts."""

A, S, X, U = Outcome.ACCEPTED, Outcome.STALE, Outcome.INVALID, Outcome.UNAUTHORIZED


@dataclass
class Replay:
    """A transcript replayed with our client in place of the recorded one."""

    dialect: Dialect
    name: str
    variant: Variant
    events: list[PoolEvent] = field(default_factory=list)
    submitted: int = 0
    differing: list[str] = field(default_factory=list)
    """Methods of the recorded requests that ours differ from."""

    def run(self) -> Replay:
        entries = transcript(self.name)
        requests = [message for direction, message in entries if direction == "c2s"]
        user = next((m["params"][0] for m in requests if m["method"] == "mining.authorize"), "user")
        client = self.dialect.connect(
            Opening(user, "x", "ours/0", self.variant, 7, "pool.example", 3338, seed_of=seed_hash)
        )
        pending = parsed(client.start())
        numbers: dict[Any, int] = {}
        for direction, message in entries:
            if direction == "s2c":
                number = message.get("id")
                if number is not None:
                    message = {**message, "id": numbers[number]}
                self.events += client.receive(line(message))
                pending += parsed(client.data_to_send())
                continue
            if message["method"] == "mining.submit":
                pending += parsed(client.submit(self.share(message["params"])))
                self.submitted += 1
            elif message["method"] == "mining.noop":
                pending += parsed(client.keepalive())
            ours = next(m for m in pending if m["method"] == message["method"])
            pending.remove(ours)
            numbers[message["id"]] = ours["id"]
            if normalised(ours) != normalised(message):
                self.differing.append(message["method"])
        return self

    def share(self, params: list[Any]) -> Any:
        """Return the solution of recorded `params`, or a similar one if its job is unknown."""
        job_id, suffix = (params[1], params[2]) if "." in params[0] else params[:2]
        known = [job for job in self.jobs() if job.id == job_id] or self.jobs()
        return solution(known[-1], known[-1].nonces.first + int(suffix, 16))

    def jobs(self) -> list[Job]:
        return jobs(self.events)

    def outcomes(self) -> list[Outcome]:
        return [event.outcome for event in self.events if isinstance(event, ShareAnswer)]


def parsed(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in data.splitlines()]


def normalised(message: dict[str, Any]) -> dict[str, Any]:
    """Return the message without id and agent."""
    kept = {k: v for k, v in message.items() if k != "id"}
    if message["method"] == "mining.subscribe" and "params" in message:
        kept["params"] = message["params"][1:]
    if message["method"] == "mining.hello":
        kept["params"] = {k: v for k, v in message["params"].items() if k != "agent"}
    return kept


# EthereumStratum/1.0.0


def test_open_etc_pool_sends_the_height_beside_the_params() -> None:
    seen = Replay(ETHSTRATUM1, "loopback-es1-openetcpool", LIKE_PROGPOW).run()
    assert messages(seen.events) == []
    assert [(job.id, job.height, job.clean) for job in seen.jobs()] == [
        ("7bb773da", 950000, True),
        ("7bb773da", 950000, True),
        ("6aefaa85", 950001, False),
        ("e04c527d", 950001, False),
    ]
    assert {job.nonces for job in seen.jobs()} == {NonceSpace(0x31E7, 16)}
    assert {job.epoch.number for job in seen.jobs()} == {31}
    kinds = [type(event) for event in seen.events[:4]]
    assert kinds == [Subscribed, Authorized, DifficultyNotice, JobReceived]


def test_open_etc_pool_all_submits_of_known_jobs_are_reproduced() -> None:
    seen = Replay(ETHSTRATUM1, "loopback-es1-openetcpool", LIKE_PROGPOW).run()
    assert seen.submitted == 7
    assert seen.differing == ["mining.submit"]  # the one for the unknown job ffffffff
    assert seen.outcomes() == [X, S, A, X, A, A, X]


def test_open_etc_pool_sends_a_difficulty_of_many_digits() -> None:
    seen = Replay(ETHSTRATUM1, "loopback-es1-openetcpool", LIKE_PROGPOW).run()
    target = target_from_difficulty(2.3282709094019083e-08, DIFF1_FFFF)
    assert {job.share_target for job in seen.jobs()} == {target}
    assert target.bit_length() == 250


def test_open_etc_pool_sends_the_current_job_again_after_a_stale_share() -> None:
    one, again, *_ = Replay(ETHSTRATUM1, "loopback-es1-openetcpool", LIKE_PROGPOW).run().jobs()
    assert again.search_key == one.search_key


def test_open_etc_pool_announces_a_block_under_two_ids() -> None:
    *_, one, two = Replay(ETHSTRATUM1, "loopback-es1-openetcpool", LIKE_PROGPOW).run().jobs()
    assert one.id != two.id
    assert one.search_key == two.search_key


def test_comining_sends_no_height() -> None:
    seen = Replay(ETHSTRATUM1, "recorded-es1-comining", LIKE_PROGPOW).run()
    assert seen.differing == []
    assert seen.events[:3] == [
        Subscribed(NonceSpace(1, 16)),
        Authorized(),
        DifficultyNotice(DIFF1_FFFF),
    ]
    assert seen.jobs() == []
    assert "no block height" in messages(seen.events)[0]


def server_side(name: str) -> list[PoolEvent]:
    client = ETHSTRATUM1.connect(
        Opening("wallet.rig", "x", "ours/0", LIKE_PROGPOW, 7, "pool.example", 3338)
    )
    client.start()
    client.receive(line({"id": 1, "result": [None, "080c"]}) + line({"id": 2, "result": True}))
    return [
        event
        for direction, message in transcript(name)
        if direction == "s2c"
        for event in client.receive(line(message))
    ]


def test_poolin_sends_no_height_which_is_warned_about_once() -> None:
    events = server_side("recorded-es1-poolin")
    assert len(events) == 1
    assert "no block height" in messages(events)[0]


def test_proposal_for_progpow_has_the_height_in_hex_before_the_boolean() -> None:
    events = server_side("recorded-es1-progpow-height-proposal")
    (job,) = jobs(events)
    assert (job.id, job.height, job.clean) == ("bf0488aa", 0x51395A, True)
    assert job.header_hash.hex().startswith("645cf201")
    assert messages(events) == []


# EthereumStratum/2.0.0


def test_eip_1571_whole_session() -> None:
    seen = Replay(ETHSTRATUM2, "synthetic-es2-eip1571", KAWPOW).run()
    assert seen.differing == []
    assert messages(seen.events) == []
    assert seen.submitted == 5
    assert seen.outcomes() == [A, A, X, A, U]
    assert [event.text for event in seen.events if isinstance(event, ShareAnswer)] == [
        "",
        "",
        "Bad nonce",
        "Stale",
        "Worker is not known",
    ]
    assert [type(event) for event in seen.events[:4]] == [
        Subscribed,
        Authorized,
        DifficultyNotice,
        JobReceived,
    ]
    assert seen.events[-2:] == [
        Reconnect("pool.example", 3333, 0.0),
        Reconnect(None, None, 0.0),
    ]


def test_eip_1571_jobs() -> None:
    seen = Replay(ETHSTRATUM2, "synthetic-es2-eip1571", KAWPOW).run()
    assert [(job.id, job.height, job.clean, job.nonces) for job in seen.jobs()] == [
        ("6", 0x11DFC8, True, NonceSpace(0xAF4C, 16)),
        ("7", 0x11DFC9, False, NonceSpace(0xAF4C, 16)),
        ("8", 0x11DFC9, False, NonceSpace()),
    ]
    assert {job.share_target for job in seen.jobs()} == {
        int("112e0be826d694b2e62d01511f12a6061fbaec8bc02357593e70e52ba", 16)
    }

from __future__ import annotations

from dataclasses import replace
from typing import Any

from miner.progpow.variant import Span
from miner.stratum.difficulty import DIFF1_FFFF, target_from_difficulty
from miner.stratum.ethstratum1 import ETHSTRATUM1
from miner.stratum.ethstratum2 import ETHSTRATUM2
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    PoolEvent,
    Reconnect,
    Subscribed,
)
from miner.work import NonceSpace, Outcome, Solution
from tests.fakes.variants import KAWPOW
from tests.stratum.dialogue import answer, jobs, messages, solution
from tests.stratum.transcripts import Replay, opening, sent_by_pool

LIKE_PROGPOW = replace(KAWPOW, name="progpow", spans=(Span(0, 30000),))
"""A variant with the epochs of the chains in these transcripts."""

A, S, X, U = Outcome.ACCEPTED, Outcome.STALE, Outcome.INVALID, Outcome.UNAUTHORIZED


class EthStratumReplay(Replay):
    """Shares are [user, job id, nonce suffix] or [job id, nonce suffix, worker token]."""

    def solution(self, params: list[Any]) -> Solution:
        job_id, suffix = params[1:3] if self.dialect is ETHSTRATUM1 else params[:2]
        known = [job for job in self.jobs() if job.id == job_id] or self.jobs()
        return solution(known[-1], known[-1].nonces.first + int(suffix, 16))


def replay(name: str) -> Replay:
    if "-es1-" in name:
        return EthStratumReplay(ETHSTRATUM1, LIKE_PROGPOW).run(name)
    return EthStratumReplay(ETHSTRATUM2, KAWPOW).run(name)


# EthereumStratum/1.0.0


def test_open_etc_pool_sends_the_height_beside_the_params() -> None:
    seen = replay("loopback-es1-openetcpool")
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
    seen = replay("loopback-es1-openetcpool")
    assert seen.submitted == 7
    (different,) = seen.differing
    assert different["params"][1] == "ffffffff"  # an unknown job
    assert seen.outcomes() == [X, S, A, X, A, A, X]


def test_open_etc_pool_sends_a_difficulty_of_many_digits() -> None:
    seen = replay("loopback-es1-openetcpool")
    target = target_from_difficulty(2.3282709094019083e-08, DIFF1_FFFF)
    assert {job.share_target for job in seen.jobs()} == {target}
    assert target.bit_length() == 250


def test_open_etc_pool_sends_the_current_job_again_after_a_stale_share() -> None:
    one, again, *_ = replay("loopback-es1-openetcpool").jobs()
    assert again.search_key == one.search_key


def test_open_etc_pool_announces_a_block_under_two_ids() -> None:
    *_, one, two = replay("loopback-es1-openetcpool").jobs()
    assert one.id != two.id
    assert one.search_key == two.search_key


def test_comining_sends_no_height() -> None:
    seen = replay("recorded-es1-comining")
    assert seen.differing == []
    assert seen.events[:3] == [
        Subscribed(NonceSpace(1, 16)),
        Authorized(),
        DifficultyNotice(DIFF1_FFFF),
    ]
    assert seen.jobs() == []
    assert "no block height" in messages(seen.events)[0]


def server_side(name: str) -> list[PoolEvent]:
    client = ETHSTRATUM1.connect(replace(opening(LIKE_PROGPOW), seed_of=None))
    client.start()
    client.receive(answer(1, [None, "080c"]) + answer(2))
    return [event for entry in sent_by_pool(name) for event in client.receive(entry)]


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
    seen = replay("synthetic-es2-eip1571")
    assert seen.differing == []
    assert messages(seen.events) == []
    assert seen.submitted == 5
    assert seen.outcomes() == [A, A, X, A, U]
    assert seen.texts() == [
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
    seen = replay("synthetic-es2-eip1571")
    assert [(job.id, job.height, job.clean, job.nonces) for job in seen.jobs()] == [
        ("6", 0x11DFC8, True, NonceSpace(0xAF4C, 16)),
        ("7", 0x11DFC9, False, NonceSpace(0xAF4C, 16)),
        ("8", 0x11DFC9, False, NonceSpace()),
    ]
    assert {job.share_target for job in seen.jobs()} == {
        int("112e0be826d694b2e62d01511f12a6061fbaec8bc02357593e70e52ba", 16)
    }

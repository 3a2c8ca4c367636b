from __future__ import annotations

import json
from typing import Any

import pytest

from miner.progpow.keccak import seed_hash
from miner.progpow.variant import Variant
from miner.stratum.kawpow import KAWPOW as KAWPOW_DIALECT
from miner.stratum.pool_events import (
    Authorized,
    DifficultyNotice,
    JobReceived,
    Message,
    PoolEvent,
    ShareAnswer,
    Subscribed,
)
from miner.work import NonceSpace, Outcome, Solution
from tests.fakes.variants import FIROPOW, KAWPOW
from tests.stratum.dialogue import answer, connected, jobs, line, messages, solution
from tests.stratum.transcripts import Replay, sent_by_pool, transcript

A, S, D, L, X = (
    Outcome.ACCEPTED,
    Outcome.STALE,
    Outcome.DUPLICATE,
    Outcome.LOW_DIFFICULTY,
    Outcome.INVALID,
)


class KawPowReplay(Replay):
    """Shares are [user, job id, nonce, header hash, mix hash]."""

    def solution(self, params: list[Any]) -> Solution:
        known = [job for job in self.jobs() if job.id == params[1]] or self.jobs()
        return solution(known[-1], int(params[2], 16), bytes.fromhex(params[4].removeprefix("0x")))


def replay(name: str) -> Replay:
    return KawPowReplay(KAWPOW_DIALECT, KAWPOW).run(name)


def test_flypool_all_55_submits_are_reproduced() -> None:
    seen = replay("recorded-flypool-rvn-alphagruis")
    assert seen.reproduced == seen.submitted == 55
    assert seen.outcomes() == [A] * 55
    assert len(seen.jobs()) == 13
    assert messages(seen.events) == []
    assert {job.nonces for job in seen.jobs()} == {NonceSpace(0x0B8E5B, 24)}
    kinds = [type(event) for event in seen.events[:4]]
    assert kinds == [Subscribed, Authorized, DifficultyNotice, JobReceived]
    assert {job.epoch.number for job in seen.jobs()} == {248}


def test_flypool_every_nonce_has_the_prefix() -> None:
    seen = replay("recorded-flypool-rvn-alphagruis")
    (nonces,) = {job.nonces for job in seen.jobs()}
    submits = [m for d, m in transcript("recorded-flypool-rvn-alphagruis") if d == "c2s"][3:]
    assert all(int(m["params"][2], 16) in nonces for m in submits)


def test_flypool_refreshes_a_job_at_the_same_height_without_clean() -> None:
    seen = replay("recorded-flypool-rvn-alphagruis")
    pairs = zip(seen.jobs(), seen.jobs()[1:], strict=False)
    assert all(new.clean == (new.height != old.height) for old, new in pairs)


def test_nomp_answers_with_code_20_for_nearly_everything() -> None:
    seen = replay("loopback-nomp-kawpow")
    assert seen.outcomes() == [X, X, X, S, X, X, A, D, A, A, A, A, A, A, A]
    assert seen.texts()[:6] == [
        "kawpow validation failed",
        "kawpow validation failed",
        "invalid header hash",
        "job not found",
        "nonce out of worker range",
        "incorrect size of nonce, must be 8 bytes",
    ]
    assert seen.submitted - seen.reproduced == 3
    assert len(seen.jobs()) == 3


def test_nomp_sends_target_and_job_before_the_authorize_reply() -> None:
    kinds = [type(event) for event in replay("loopback-nomp-kawpow").events[:5]]
    assert kinds == [Subscribed, DifficultyNotice, JobReceived, Authorized, JobReceived]


def test_kralverde_has_no_error_key_and_objects_as_messages() -> None:
    seen = replay("loopback-kralverde-rvnproxy")
    assert seen.outcomes() == [L, X, X, S, X, X, A]
    assert seen.texts()[5] == "Block decode failed"
    assert [job.id for job in seen.jobs()] == ["3", "4", "5", "6", "7"]
    assert {job.nonces for job in seen.jobs()} == {NonceSpace(2, 16), NonceSpace(3, 16)}
    assert all(job.target == job.share_target == job.block_target for job in seen.jobs())
    assert messages(seen.events) == [
        "Estimated time to find: 0.0 days",
        "Found block (may or may not be accepted by the chain): 1003",
    ]


@pytest.mark.parametrize("name", ["loopback-mewcproxy", "loopback-evrproxy"])
def test_solo_proxies_answer_after_the_next_job(name: str) -> None:
    seen = replay(name)
    assert seen.outcomes() == [A]
    assert seen.reproduced == seen.submitted == 1
    assert isinstance(seen.events[-1], ShareAnswer)
    assert len(seen.jobs()) == 2


def test_veil_names_a_job_by_its_header_and_sends_an_empty_seed() -> None:
    seen = replay("loopback-veilproxy")
    assert seen.outcomes() == [A]
    assert seen.reproduced == 1
    assert all(job.id == job.header_hash.hex() and not job.clean for job in seen.jobs())
    assert messages(seen.events) == []


def test_nomp_testnet_announces_a_target() -> None:
    seen = replay("recorded-nomp-rvn-testnet")
    assert seen.events == [
        Subscribed(NonceSpace(0x97AD5E, 24)),
        DifficultyNotice(0x7F8 << 208),
    ]


def test_damominer_assigns_all_nonces() -> None:
    assert replay("recorded-damominer-empty-extranonce").events == [Subscribed(NonceSpace(0, 0))]


def test_nicehash_captured_a_three_byte_prefix() -> None:
    seen = replay("recorded-nicehash-kawpow-spec")
    assert seen.events == [Subscribed(NonceSpace(0x64290B, 24))]


def server_side(name: str, variant: Variant) -> list[PoolEvent]:
    opened = connected(variant=variant, seed_of=seed_hash)
    events = opened.receive(answer(1, [None, "fe05"]) + answer(2))
    for entry in sent_by_pool(name):
        events += opened.receive(entry)
    return events


def test_bci_sends_no_height() -> None:
    events = server_side("recorded-bci-progpow-suprnova", KAWPOW)
    assert jobs(events) == []
    assert len(messages(events)) == 1
    assert "no block height" in messages(events)[0]


def test_herominers_quai_is_kawpow() -> None:
    events = server_side("recorded-herominers-quai-notify", KAWPOW)
    (job,) = jobs(events)
    assert (job.id, job.height, job.epoch.number) == ("0", 4401536, 586)
    assert messages(events) == []


def test_woolypooly_firo_clamps_the_epoch() -> None:
    events = server_side("recorded-woolypooly-firo-notify", FIROPOW)
    (job,) = jobs(events)
    assert (job.height, job.epoch.number) == (1319805, 650)
    assert messages(events) == []


def test_wrong_algorithm_shows_in_the_seed() -> None:
    events = server_side("recorded-woolypooly-firo-notify", KAWPOW)
    (event,) = [event for event in events if isinstance(event, Message)]
    assert "check the algorithm" in event.text


def test_moneroocean_names_the_algorithm_beside_the_params() -> None:
    events = server_side("recorded-moneroocean-kawpow-login", KAWPOW)
    (job,) = jobs(events)
    assert (job.id, job.height, job.nonces) == ("2abc", 3750905, NonceSpace(0xFE05, 16))
    assert job.share_target == 0x10346A102FF34B << 172
    assert messages(events) == []


def test_moneroocean_login_answer_opens_a_session_too() -> None:
    opened = connected()
    for entry in sent_by_pool("recorded-moneroocean-kawpow-login"):
        events = opened.receive(entry)
    (job,) = jobs(events)
    assert job.nonces == NonceSpace(0xFE05, 16)


def test_recorded_duplicate_is_the_same_header_with_the_same_nonce() -> None:
    submits = [
        message["params"]
        for direction, message in transcript("recorded-rvn-duplicate-teamredminer")
        if direction == "c2s"
    ]
    opened = connected(user=submits[0][0])
    opened.receive(answer(1, [None, "00007545"]))
    for params in submits:
        notify = [params[1], params[3][2:], "", "f" * 64, False, 2400000, "1b0135ad"]
        (job,) = jobs(opened.receive(line({"method": "mining.notify", "params": notify})))
        data = opened.submit(solution(job, int(params[2], 16), bytes.fromhex(params[4][2:])))
        assert json.loads(data)["params"] == params
        assert opened.receive(answer(opened.last_id)) == [ShareAnswer(opened.last_id, A, "")]
    assert submits[0] == submits[2]

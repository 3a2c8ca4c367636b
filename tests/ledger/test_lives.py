"""Whole lives of shares, of every class, from the event to what a reader is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from miner import __version__
from miner.ledger import Filter, LedgerReader
from miner.telemetry import CandidateRefuted, NewJob, ShareAnswered, ShareFound
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.ledger.living import POOL, Life, hash_reaching

WALL = 1_800_000_000.0
BEGUN = WALL + 1000.0
"""UNIX seconds at which the clock of a `Life` starts."""


def test_an_accepted_share_is_kept_with_everything_that_is_known_of_it(life: Life) -> None:
    life.lived(difficulty=2500.0)
    share = life.one()
    assert (share.run, share.number) == (life.ledger.run_id, 1)
    assert (share.device, share.pci, share.uuid) == ("cuda:0", "0000:01:00.0", "GPU-1234")
    assert (share.pool, share.algorithm, share.job) == (POOL, "kawpow", "7501-1")
    assert (share.height, share.epoch, share.period) == (7501, 1, 2500)
    assert (share.nonce, share.header) == ("abcd000000000001", "00" * 31 + "01")
    assert share.difficulty_asked == pytest.approx(1000.0)
    assert share.difficulty_reached == pytest.approx(2500.0)
    assert not share.is_block
    assert (share.found_at, share.verified_at) == (BEGUN, BEGUN + 0.25)
    assert (share.sent_at, share.answered_at) == (BEGUN + 0.5, BEGUN + 1.0)
    assert share.answer_seconds == 0.5
    assert (share.outcome, share.text) == ("accepted", "")


@pytest.mark.parametrize("outcome", Outcome)
def test_every_verdict_is_kept_in_its_own_words(life: Life, outcome: Outcome) -> None:
    life.lived(outcome, "as the pool says")
    share = life.one()
    assert (share.outcome, share.text) == (outcome.value, "as the pool says")
    assert (share.answer_seconds is None) == (outcome is Outcome.LOST)


def test_what_was_not_sent_has_no_time_of_sending(life: Life) -> None:
    life.answered(life.found(), Outcome.NOT_SENT)
    share = life.one()
    assert (share.outcome, share.sent_at, share.answer_seconds) == ("not_sent", None, None)
    assert share.answered_at == BEGUN + 0.75


def test_a_refuted_claim_is_the_hardwares(life: Life) -> None:
    life.refuted()
    share = life.one()
    assert (share.outcome, share.is_block) == ("hardware", False)
    assert share.difficulty_reached == pytest.approx(3.0)
    assert (share.verified_at, share.sent_at, share.answered_at) == (BEGUN + 0.25, None, None)
    assert hash_reaching(3.0).hex() in share.text


def test_a_share_is_seen_in_each_stage_of_its_life(life: Life) -> None:
    solution = life.found()
    share = life.one()
    assert (share.outcome, share.sent_at, share.answered_at) == ("unanswered", None, None)
    life.sent(solution)
    assert life.one().sent_at == BEGUN + 0.5
    assert life.one().outcome == "unanswered"
    life.answered(solution, seconds=0.5)
    assert life.one().outcome == "accepted"


def test_of_two_sendings_the_newest_counts(life: Life) -> None:
    solution = life.found()
    life.sent(solution)
    life.sent(solution)
    life.answered(solution, seconds=0.5)
    assert life.one().sent_at == BEGUN + 0.75


def test_the_answers_own_seconds_tell_when_it_was_sent_where_nobody_else_did(life: Life) -> None:
    life.answered(life.found(), seconds=0.125)
    share = life.one()
    assert (share.sent_at, share.answer_seconds) == (BEGUN + 0.625, 0.125)


def test_a_verdict_on_a_share_that_nobody_spoke_of_is_kept_too(life: Life) -> None:
    life.answered(life.claim(), Outcome.NOT_SENT)
    share = life.one()
    assert (share.outcome, share.verified_at) == ("not_sent", None)


def test_the_same_nonce_found_twice_at_a_time_is_two_shares(life: Life) -> None:
    first = life.claim()
    second = replace(first)
    for solution in (first, second):
        life.tell(ShareFound(solution))
    life.tell(ShareAnswered(Verdict(second, Outcome.DUPLICATE)))
    life.tell(ShareAnswered(Verdict(first, Outcome.ACCEPTED, seconds=0.1)))
    assert [share.outcome for share in life.shares()] == ["accepted", "duplicate"]


def test_an_equal_solution_is_as_good_as_the_same(life: Life) -> None:
    solution = life.found()
    life.answered(replace(solution))
    assert life.one().outcome == "accepted"


def test_blocks_are_marked(life: Life) -> None:
    job = life.job(block_target=2**256 // 5000 - 1, target=2**256 // 1000 - 1)
    life.lived(job=job, difficulty=4000.0)
    life.lived(job=job, difficulty=6000.0)
    assert [share.is_block for share in life.shares()] == [False, True]
    assert [share.number for share in life.shares(Filter(blocks=True))] == [2]


@pytest.mark.parametrize("nonce", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_nonce_survives(life: Life, nonce: int) -> None:
    life.found(replace(life.claim(), nonce=nonce))
    assert int(life.one().nonce, 16) == nonce


def test_nothing_that_a_pool_says_spoils_the_file(life: Life) -> None:
    job = life.job(id="half \ud800 of a character" + "x" * 5000, height=7501)
    life.lived(Outcome.INVALID, "nul \0, '; DROP TABLE shares; --, \udcff", job=job)
    high = replace(life.job(), height=2**63 - 1, id="high")
    life.found(Solution(high, 1, "cuda:0", 0.0, bytes(32), bytes(32)))
    life.ledger.flush()
    assert life.reports == []
    low, top = life.shares()
    assert low.job.startswith("half ? of")
    assert len(low.job) == 1000
    assert low.text == "nul \0, '; DROP TABLE shares; --, ?"
    assert top.height == 2**63 - 1


def test_devices_that_nobody_described_have_no_address(life: Life) -> None:
    life.lived(device="opencl:0.0")
    assert (life.one().pci, life.one().uuid) == (None, None)


def test_other_events_leave_no_trace(life: Life) -> None:
    life.tell(NewJob(life.job()))
    assert life.ledger.waiting == 0
    life.ledger.flush()
    assert not life.path.exists()


def test_runs_are_known_by_name_rig_and_version(begin: Callable[..., Life]) -> None:
    for rig in ("one", "two"):
        life = begin(rig=rig)
        life.clock.seconds += 60.0 if rig == "two" else 0.0
        life.lived()
        life.ledger.flush()
    runs = LedgerReader(life.path).runs()
    assert {(run.rig, run.version, run.shares) for run in runs} == {
        ("one", __version__, 1),
        ("two", __version__, 1),
    }
    assert len({run.id for run in runs}) == 2


def test_a_candidate_of_the_past_is_dated_back(life: Life) -> None:
    candidate = Candidate(life.job(), 1, "cuda:0", life.clock.now() - 30.0)
    life.tell(CandidateRefuted(candidate, bytes(32)))
    assert life.one().found_at == BEGUN - 30.0

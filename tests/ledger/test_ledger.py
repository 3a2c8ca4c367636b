"""The record of a share, from its events to the reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from miner import __version__
from miner.ledger import Filter, LedgerReader
from miner.telemetry.events import CandidateRefuted, NewJob, ShareAnswered, ShareFound
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.ledger.ledger_rig import POOL, LedgerRig, hash_reaching

WALL = 1_800_000_000.0
BEGUN = WALL + 1000.0
"""UNIX seconds at which the clock of a `LedgerRig` starts."""


def test_the_record_of_an_accepted_share(rig: LedgerRig) -> None:
    rig.finished(difficulty=2500.0)
    share = rig.one()
    assert (share.run, share.number) == (rig.ledger.run_id, 1)
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
def test_every_outcome_is_recorded(rig: LedgerRig, outcome: Outcome) -> None:
    rig.finished(outcome, "text of the pool")
    share = rig.one()
    assert (share.outcome, share.text) == (outcome.value, "text of the pool")
    assert (share.answer_seconds is None) == (outcome is Outcome.LOST)


def test_a_share_that_was_not_sent_has_no_sent_at(rig: LedgerRig) -> None:
    rig.answered(rig.found(), Outcome.NOT_SENT)
    share = rig.one()
    assert (share.outcome, share.sent_at, share.answer_seconds) == ("not_sent", None, None)
    assert share.answered_at == BEGUN + 0.75


def test_a_refuted_candidate_is_a_hardware_error(rig: LedgerRig) -> None:
    rig.refuted()
    share = rig.one()
    assert (share.outcome, share.is_block) == ("hardware", False)
    assert share.difficulty_reached == pytest.approx(3.0)
    assert (share.verified_at, share.sent_at, share.answered_at) == (BEGUN + 0.25, None, None)
    assert hash_reaching(3.0).hex() in share.text


def test_each_step_of_a_share_is_recorded(rig: LedgerRig) -> None:
    solution = rig.found()
    share = rig.one()
    assert (share.outcome, share.sent_at, share.answered_at) == ("unanswered", None, None)
    rig.sent(solution)
    assert rig.one().sent_at == BEGUN + 0.5
    assert rig.one().outcome == "unanswered"
    rig.answered(solution, seconds=0.5)
    assert rig.one().outcome == "accepted"


def test_a_share_sent_twice_has_the_later_time(rig: LedgerRig) -> None:
    solution = rig.found()
    rig.sent(solution)
    rig.sent(solution)
    rig.answered(solution, seconds=0.5)
    assert rig.one().sent_at == BEGUN + 0.75


def test_the_steps_of_a_share_keep_their_durations_when_the_clock_is_set(rig: LedgerRig) -> None:
    solution = rig.found()
    rig.clock.ahead = -86_400.0
    rig.sent(solution)
    rig.clock.ahead = 31_536_000.0
    rig.answered(solution)
    share = rig.one()
    assert (share.found_at, share.sent_at, share.answered_at) == (BEGUN, BEGUN + 0.5, BEGUN + 1.0)
    assert share.answer_seconds == 0.5


def test_sent_at_is_derived_from_the_answer_if_unknown(rig: LedgerRig) -> None:
    rig.answered(rig.found(), seconds=0.125)
    share = rig.one()
    assert (share.sent_at, share.answer_seconds) == (BEGUN + 0.625, 0.125)


def test_a_verdict_without_an_earlier_event_is_recorded(rig: LedgerRig) -> None:
    rig.answered(rig.solution(), Outcome.NOT_SENT)
    share = rig.one()
    assert (share.outcome, share.verified_at) == ("not_sent", None)


def test_the_same_nonce_found_twice_is_two_shares(rig: LedgerRig) -> None:
    first = rig.solution()
    second = replace(first)
    for solution in (first, second):
        rig.emit(ShareFound(solution))
    rig.emit(ShareAnswered(Verdict(second, Outcome.DUPLICATE)))
    rig.emit(ShareAnswered(Verdict(first, Outcome.ACCEPTED, seconds=0.1)))
    assert [share.outcome for share in rig.shares()] == ["accepted", "duplicate"]


def test_solutions_are_matched_by_equality(rig: LedgerRig) -> None:
    solution = rig.found()
    rig.answered(replace(solution))
    assert rig.one().outcome == "accepted"


def test_blocks_are_recorded(rig: LedgerRig) -> None:
    job = rig.job(block_target=2**256 // 5000 - 1, target=2**256 // 1000 - 1)
    rig.finished(job=job, difficulty=4000.0)
    rig.finished(job=job, difficulty=6000.0)
    assert [share.is_block for share in rig.shares()] == [False, True]
    assert [share.number for share in rig.shares(Filter(blocks=True))] == [2]


@pytest.mark.parametrize("nonce", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_any_nonce_is_recorded(rig: LedgerRig, nonce: int) -> None:
    rig.found(replace(rig.solution(), nonce=nonce))
    assert int(rig.one().nonce, 16) == nonce


def test_any_text_of_a_pool_is_recorded_safely(rig: LedgerRig) -> None:
    job = rig.job(id="half \ud800 of a character" + "x" * 5000, height=7501)
    rig.finished(Outcome.INVALID, "nul \0, '; DROP TABLE shares; --, \udcff", job=job)
    high = replace(rig.job(), height=2**63 - 1, id="high")
    rig.found(Solution(high, 1, "cuda:0", 0.0, bytes(32), bytes(32)))
    rig.ledger.flush()
    assert rig.reports == []
    low, top = rig.shares()
    assert low.job.startswith("half ? of")
    assert len(low.job) == 1000
    assert low.text == "nul \0, '; DROP TABLE shares; --, ?"
    assert top.height == 2**63 - 1


def test_an_unknown_device_has_no_address(rig: LedgerRig) -> None:
    rig.finished(device="opencl:0.0")
    assert (rig.one().pci, rig.one().uuid) == (None, None)


def test_other_events_are_ignored(rig: LedgerRig) -> None:
    rig.emit(NewJob(rig.job()))
    assert rig.ledger.waiting == 0
    rig.ledger.flush()
    assert not rig.path.exists()


def test_runs_are_recorded(start: Callable[..., LedgerRig]) -> None:
    for rig in ("one", "two"):
        rig = start(rig=rig)
        rig.clock.seconds += 60.0 if rig == "two" else 0.0
        rig.write()
    runs = LedgerReader(rig.path).runs()
    assert {(run.rig, run.version, run.shares) for run in runs} == {
        ("one", __version__, 1),
        ("two", __version__, 1),
    }
    assert len({run.id for run in runs}) == 2


def test_found_at_is_the_time_of_the_candidate(rig: LedgerRig) -> None:
    candidate = Candidate(rig.job(), 1, "cuda:0", rig.clock.now() - 30.0)
    rig.emit(CandidateRefuted(candidate, bytes(32)))
    assert rig.one().found_at == BEGUN - 30.0

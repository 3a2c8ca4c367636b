"""The list of what happened."""

from __future__ import annotations

import pytest

from miner.telemetry import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    Event,
    JobTaken,
    Journal,
    JournalEntry,
    Level,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolRemark,
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.telemetry.journal import KEPT
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.fakes.device import Ticks, job_at


@pytest.fixture
def clock() -> Ticks:
    return Ticks(50.0)


@pytest.fixture
def journal(clock: Ticks) -> Journal:
    return Journal(clock)


SOLUTION = Solution(job_at(), 1, "a", 0.0, bytes(32), bytes(32))


def answered(outcome: Outcome, text: str = "") -> ShareAnswered:
    return ShareAnswered(Verdict(SOLUTION, outcome, text))


@pytest.mark.parametrize(
    ("event", "topic", "text", "level"),
    [
        (DevicePaused("a", "too hot"), "a", "pauses: too hot", Level.WARNING),
        (DevicePaused("a", None), "a", "goes on", Level.INFO),
        (DeviceHanging("a", "no answer"), "a", "HUNG no answer", Level.ERROR),
        (DeviceResting("a", "broken", None), "a", "rests for this run: broken", Level.ERROR),
        (DeviceResting("a", "broken", 5.0), "a", "rests for 5 s: broken", Level.WARNING),
        (DeviceFault("a", "it lies"), "a", "FAULT it lies", Level.WARNING),
        (PoolLost("p", "gone", 2.0), "pool", "lost p: gone; next try in 2 s", Level.WARNING),
        (PoolLost("p", "gone", 0.2), "pool", "lost p: gone; next try in 1 s", Level.WARNING),
        (PoolLost("p", "others are named", 0.0), "pool", "left p: others are named", Level.INFO),
        (PoolNotice("p", "maintenance at noon"), "pool", "p: maintenance at noon", Level.INFO),
        (PoolRemark("p", "it speaks ETHPROXY"), "pool", "p: it speaks ETHPROXY", Level.INFO),
        (
            PoolConnecting("p:1", elsewhere="p:2"),
            "pool",
            "connecting to p:1 at p:2, as it asked",
            Level.INFO,
        ),
        (answered(Outcome.STALE, "late"), "share", "stale a: late", Level.WARNING),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_it_is_told(
    journal: Journal, event: Event, topic: str, text: str, level: Level
) -> None:
    journal.event(event)
    (entry,) = journal.entries
    assert (entry.topic, entry.text, entry.level) == (topic, text, level)
    assert entry.at == 1_800_000_050.0


@pytest.mark.parametrize(
    ("event", "topic", "text"),
    [
        (JobTaken("a", 0.0123), "a", "took the job in 12 ms"),
        (
            CandidateRefuted(Candidate(job_at(), 0xFF, "a", 0.0), bytes(32)),
            "a",
            f"nonce 00000000000000ff of job {job_at().id} hashes to {'00' * 32}",
        ),
        (ShareFound(SOLUTION), "share", f"found: nonce {1:016x} of job {job_at().id} by a"),
        (ShareSent(SOLUTION), "share", f"sent: nonce {1:016x} of job {job_at().id} by a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_helps_to_find_a_fault_is_entered_where_it_is_asked_for(
    journal: Journal, event: Event, topic: str, text: str
) -> None:
    journal.event(event)
    assert journal.entries == ()
    journal.detailed = True
    journal.event(event)
    (entry,) = journal.entries
    assert (entry.topic, entry.text, entry.level) == (topic, text, Level.DEBUG)


def test_accepted_shares_are_numbered(journal: Journal) -> None:
    for outcome in (Outcome.ACCEPTED, Outcome.STALE, Outcome.ACCEPTED):
        journal.event(answered(outcome))
    texts = [entry.text for entry in journal.entries]
    assert [text.split()[:2] for text in texts] == [
        ["accepted", "1"],
        ["stale", "a"],
        ["accepted", "2"],
    ]


def test_progress_is_told_in_tenths_for_each_device(journal: Journal) -> None:
    for device in ("a", "b"):
        for step in range(100):
            journal.event(DatasetBuilding(device, 1, step / 100, 1.0, 1 << 30))
    for device in ("a", "b"):
        assert len([e for e in journal.entries if e.topic == device]) == 10


def test_only_the_newest_are_kept_and_numbers_have_no_gaps(journal: Journal) -> None:
    for number in range(KEPT + 7):
        journal.say("test", str(number))
    numbers = [entry.number for entry in journal.entries]
    assert numbers == list(range(8, KEPT + 8))


def test_subscribers_hear_until_they_leave_even_while_they_are_told(journal: Journal) -> None:
    heard: list[JournalEntry] = []

    def once(entry: JournalEntry) -> None:
        heard.append(entry)
        leave()

    leave = journal.subscribe(once)
    stays: list[JournalEntry] = []
    journal.subscribe(stays.append)
    journal.say("test", "one")
    journal.say("test", "two")
    assert [e.text for e in heard] == ["one"]
    assert [e.text for e in stays] == ["one", "two"]


def test_a_flood_of_faults_that_differ_in_their_numbers_is_one_sentence_in_a_while(
    journal: Journal, clock: Ticks
) -> None:
    for nonce in range(2000):
        reason = f"nonce {nonce * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x} of job 7f was claimed"
        journal.event(DeviceFault("cuda:0", reason))
        clock.seconds += 0.01
    assert len(journal.entries) == 2
    assert len(journal._repeated) == 1
    journal.event(DeviceFault("cuda:1", "nonce 0123456789abcdef of job 7f was claimed"))
    journal.event(DeviceFault("cuda:0", "the driver reports an error"))
    assert len(journal.entries) == 4

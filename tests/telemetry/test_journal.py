"""Journal entries: the sentence of each event, and the limits of repeats and progress."""

from __future__ import annotations

from dataclasses import replace

import pytest

from miner.telemetry import Journal, JournalEntry, Level
from miner.telemetry.events import (
    CandidateRefuted,
    DatasetBuilding,
    DeviceFault,
    DeviceHanging,
    DevicePaused,
    DeviceResting,
    EpochSkipped,
    Event,
    JobTaken,
    KernelReady,
    Launched,
    LightCacheBuilding,
    LoopDelayed,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    PoolRemark,
    ResultOverflow,
    ShapeChosen,
    ShapeLeftOut,
    ShareAnswered,
    ShareFound,
    ShareSent,
)
from miner.telemetry.journal import KEPT
from miner.work import Candidate, Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock
from tests.fakes.device import Ticks, job_at


@pytest.fixture
def journal(clock: Ticks) -> Journal:
    return Journal(clock)


SOLUTION = Solution(job_at(), 1, "a", 0.0, bytes(32), bytes(32))


def answered(outcome: Outcome, text: str = "") -> ShareAnswered:
    return ShareAnswered(Verdict(SOLUTION, outcome, text))


def solution(block: bool = False, value: int = 2**240) -> Solution:
    job = job_at(7, block_target=2**250 if block else 0)
    return Solution(job, 1, "a", 0.0, bytes(32), value.to_bytes(32, "big"))


JOB = replace(job_at(4321, target=2**256 // 4_290_000_000), id="0123456789abcdef-and-more")
EPOCH_3 = "dataset (DAG) of epoch 3, 1.50 GiB"


@pytest.mark.parametrize(
    ("event", "topic", "text", "level"),
    [
        (PoolConnecting("p"), "pool", "connecting to p", Level.INFO),
        (
            PoolConnecting("p", unverified=True),
            "pool",
            "connecting to p; its certificate is not verified",
            Level.INFO,
        ),
        (
            PoolConnecting("p", elsewhere="q"),
            "pool",
            "connecting to q, where p redirects",
            Level.INFO,
        ),
        (PoolReady("p"), "pool", "logged in to p", Level.INFO),
        (PoolReady("p", "RX…9abc.rig1"), "pool", "logged in to p as RX…9abc.rig1", Level.INFO),
        (
            PoolLost("p", "timeout", 7.6),
            "pool",
            "connection to p lost (timeout); retry in 8 s",
            Level.WARNING,
        ),
        (
            PoolLost("p", "timeout", 0.2),
            "pool",
            "connection to p lost (timeout); retry in 1 s",
            Level.WARNING,
        ),
        (
            PoolLost("p", "banned", None),
            "pool",
            "connection to p lost (banned); giving up",
            Level.WARNING,
        ),
        (PoolLost("p", "others are named", 0.0), "pool", "left p: others are named", Level.INFO),
        (PoolNotice("p", "maintenance at noon"), "pool", "p: maintenance at noon", Level.INFO),
        (PoolRemark("p", "it speaks ETHPROXY"), "pool", "p: it speaks ETHPROXY", Level.INFO),
        (NewJob(None), "job", "no job: devices idle", Level.INFO),
        (
            NewJob(replace(JOB, other_algorithm="randomx")),
            "job",
            "waiting: height 4321 is for randomx",
            Level.INFO,
        ),
        (
            NewJob(JOB),
            "job",
            "height 4321, epoch 0, difficulty 4.29 GH",
            Level.INFO,
        ),
        (LightCacheBuilding(3, 0.5), "cache", "light cache of epoch 3: 50%", Level.INFO),
        (
            LightCacheBuilding(3, 1.0, 2.34),
            "cache",
            "light cache of epoch 3 built in 2.3 s",
            Level.INFO,
        ),
        (
            LightCacheBuilding(3, 1.0, 0.1, True),
            "cache",
            "light cache of epoch 3 read from disk in 0.1 s",
            Level.INFO,
        ),
        (DatasetBuilding("a", 3, 0.25, 9.0, 3 << 29), "a", f"{EPOCH_3}: 25%", Level.INFO),
        (
            DatasetBuilding("a", 3, 1.0, 9.0, 3 << 29),
            "a",
            f"{EPOCH_3}, built and verified in 9.0 s",
            Level.INFO,
        ),
        (
            DatasetBuilding("a", 3, 1.0, 0.9, 3 << 29, from_disk=True),
            "a",
            f"{EPOCH_3}, read from disk and verified in 0.9 s",
            Level.INFO,
        ),
        (KernelReady("a", 7, 0.51), "a", "kernel for period 7 ready after 0.5 s", Level.INFO),
        (
            ResultOverflow("a", 999),
            "a",
            "999 results in one launch, more than its buffer holds; searching in halves",
            Level.INFO,
        ),
        (
            NoncesExhausted("a"),
            "a",
            "every nonce of this job was searched; waiting for another job",
            Level.INFO,
        ),
        (DeviceFault("a", "wrong hash"), "a", "fault: wrong hash", Level.WARNING),
        (
            DeviceResting("a", "broken", 600.0, parked=True),
            "a",
            "parked, next try in 10 min: broken",
            Level.ERROR,
        ),
        (LoopDelayed(3.0), "miner", "nothing was answered for 3.0 s", Level.WARNING),
        (
            LoopDelayed(1.5, "build, prove"),
            "miner",
            "nothing was answered for 1.5 s, while these ran: build, prove",
            Level.WARNING,
        ),
        (EpochSkipped("a", 9, "no room"), "a", "not mining on epoch 9: no room", Level.WARNING),
        (DeviceResting("a", "broken", 30.0), "a", "retry in 30 s: broken", Level.WARNING),
        (DevicePaused("a", "too hot"), "a", "paused: too hot", Level.WARNING),
        (DevicePaused("a", None), "a", "resumed", Level.INFO),
        (DeviceHanging("a", "no answer"), "a", "hung: no answer", Level.ERROR),
        (
            ShapeChosen("a", "gpu-128", "gpu", 1.0312, 1.01, 1.05),
            "a",
            "the fastest launch shape is gpu-128: 1.031 times the hashrate of gpu (1.010 to 1.050)",
            Level.INFO,
        ),
        (
            ShapeChosen("a", "gpu", "gpu", 1.0, 1.0, 1.0),
            "a",
            "no launch shape is faster than gpu",
            Level.INFO,
        ),
        (
            ShapeLeftOut("a", "gpu-intel", "it does not compile"),
            "a",
            "launch shape gpu-intel is left out: it does not compile",
            Level.INFO,
        ),
        (
            ShareAnswered(Verdict(solution(), Outcome.ACCEPTED, seconds=0.0421)),
            "share",
            "accepted 1, 42 ms a difficulty 65.54 kH",
            Level.INFO,
        ),
        (
            ShareAnswered(Verdict(solution(block=True), Outcome.ACCEPTED, seconds=0.0421)),
            "share",
            "accepted 1, 42 ms a difficulty 65.54 kH BLOCK",
            Level.INFO,
        ),
        (
            ShareAnswered(Verdict(solution(), Outcome.STALE, "job not found", 0.1)),
            "share",
            "stale, 100 ms a: job not found",
            Level.WARNING,
        ),
        (ShareAnswered(Verdict(solution(), Outcome.LOST)), "share", "lost a", Level.WARNING),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_entry_of_an_event(
    journal: Journal, event: Event, topic: str, text: str, level: Level
) -> None:
    journal.event(event)
    (entry,) = journal.entries
    assert (entry.topic, entry.text, entry.level) == (topic, text, level)
    assert entry.at == 1_800_001_000.0


def test_launches_are_left_out(journal: Journal) -> None:
    journal.event(Launched("a", 512, 0.1))
    assert journal.entries == ()


@pytest.mark.parametrize(
    ("event", "topic", "text"),
    [
        (JobTaken("a", 0.0123), "a", "switched to the new job in 12 ms"),
        (
            CandidateRefuted(Candidate(job_at(), 0xFF, "a", 0.0), bytes(32)),
            "a",
            f"hardware error: nonce 00000000000000ff of job {job_at().id} hashes to {'00' * 32}",
        ),
        (ShareFound(SOLUTION), "share", f"found: nonce {1:016x} of job {job_at().id} by a"),
        (ShareSent(SOLUTION), "share", f"sent: nonce {1:016x} of job {job_at().id} by a"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_details_are_entered_on_request(
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


def test_progress_is_entered_in_tenths_for_each_device(journal: Journal) -> None:
    for device in ("a", "b"):
        for step in range(201):
            journal.event(DatasetBuilding(device, 1, step / 200, 1.0, 1 << 30))
        texts = [entry.text for entry in journal.entries if entry.topic == device]
        assert [text.split()[-1] for text in texts[:-1]] == [f"{p}%" for p in range(0, 100, 10)]
        assert texts[-1].endswith("built and verified in 1.0 s")
        journal.event(DatasetBuilding(device, 1, 0.0, 1.0, 1 << 30))
        assert journal.entries[-1].text.endswith(": 0%"), "a second build starts over"


def test_the_newest_entries_are_kept_and_numbered_without_gaps(journal: Journal) -> None:
    for number in range(KEPT + 7):
        journal.add("test", str(number))
    numbers = [entry.number for entry in journal.entries]
    assert numbers == list(range(8, KEPT + 8))


def test_a_subscriber_may_unsubscribe_within_its_call(journal: Journal) -> None:
    received: list[JournalEntry] = []

    def once(entry: JournalEntry) -> None:
        received.append(entry)
        unsubscribe()

    unsubscribe = journal.subscribe(once)
    others: list[JournalEntry] = []
    journal.subscribe(others.append)
    journal.add("test", "one")
    journal.add("test", "two")
    assert [e.text for e in received] == ["one"]
    assert [e.text for e in others] == ["one", "two"]


def test_faults_that_differ_in_numbers_are_entered_once_in_ten_seconds(
    journal: Journal, clock: Ticks
) -> None:
    for nonce in range(2000):
        reason = f"nonce {nonce * 0x9E3779B97F4A7C15 & (1 << 64) - 1:016x} of job 7f was claimed"
        journal.event(DeviceFault("cuda:0", reason))
        clock.seconds += 0.01
    assert len(journal.entries) == 2
    assert len(journal._recent) == 1
    journal.event(DeviceFault("cuda:1", "nonce 0123456789abcdef of job 7f was claimed"))
    journal.event(DeviceFault("cuda:0", "the driver reports an error"))
    assert len(journal.entries) == 4


def test_a_job_is_entered_when_height_or_difficulty_is_new() -> None:
    journal = Journal(FakeClock())
    first = NewJob(JOB)
    easier = NewJob(job_at(4321, target=2**257 // 4_290_000_000))
    for event in (first, NewJob(replace(JOB, id="2")), easier, NewJob(None), NewJob(None), easier):
        journal.event(event)
    texts = [entry.text for entry in journal.entries]
    assert texts == [
        "height 4321, epoch 0, difficulty 4.29 GH", "height 4321, epoch 0, difficulty 2.15 GH",
        "no job: devices idle", "no job: devices idle",
        "height 4321, epoch 0, difficulty 2.15 GH",
    ]  # fmt: skip
    journal.detailed = True
    journal.event(NewJob(replace(JOB, id="3")))
    journal.event(NewJob(replace(JOB, id="4")))
    assert journal.entries[-1].level is Level.DEBUG
    assert journal.entries[-1].text.endswith("as before; id 4")

"""Selections and sums, compared with the counters of telemetry and metrics."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from miner.api.metrics import device_labels, metrics
from miner.errors import BadValue
from miner.ledger import Filter, LedgerReader, ledger_reader
from miner.telemetry import Snapshot, Telemetry
from miner.work import Outcome
from tests.ledger.ledger_rig import GPU, POOL, LedgerRig, assert_sound

DEVICES = ("cuda:0", "opencl:0.0")
POOLS = (POOL, "stratum+tls://other.example:443")

OUTCOME_LABELS = {o.value: o.name.lower() for o in Outcome} | {"hardware": "hardware"}

ACTIONS = st.one_of(
    st.tuples(st.just("found"), st.sampled_from(DEVICES), st.sampled_from(POOLS),
              st.floats(1.0, 1e9)),
    st.tuples(st.just("refuted"), st.sampled_from(DEVICES), st.sampled_from(POOLS)),
    st.tuples(st.just("sent"), st.integers(0, 9)),
    st.tuples(st.just("answered"), st.integers(0, 9), st.sampled_from(Outcome),
              st.none() | st.floats(0.0, 10.0)),
    st.tuples(st.just("written")),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(ACTIONS, max_size=60))
def test_sums_equal_the_counters_of_telemetry_and_metrics(actions: list[tuple]) -> None:
    with TemporaryDirectory() as folder:
        rig = LedgerRig(Path(folder) / "ledger.sqlite")
        telemetry = Telemetry(rig.clock, [GPU])
        rig.also_emit = telemetry.emit
        unanswered_shares = []
        for action, *of in actions:
            match action:
                case "found":
                    device, pool, difficulty = of
                    unanswered_shares.append(rig.found(device=device, job=rig.job(pool=pool),
                                             difficulty=difficulty))  # fmt: skip
                case "refuted":
                    rig.refuted(of[0], rig.job(pool=of[1]))
                case "sent" if unanswered_shares:
                    rig.sent(unanswered_shares[of[0] % len(unanswered_shares)])
                case "answered" if unanswered_shares:
                    solution = unanswered_shares.pop(of[0] % len(unanswered_shares))
                    rig.answered(solution, of[1], seconds=of[2])
                case "written":
                    rig.ledger.flush()
        rig.ledger.close()
        assert rig.reports == []
        if rig.path.exists():
            _compare(rig, telemetry, unanswered=len(unanswered_shares))
        else:
            assert not telemetry.snapshot().by_pool


def _compare(rig: LedgerRig, telemetry: Telemetry, unanswered: int) -> None:
    snapshot, reader = telemetry.snapshot(), LedgerReader(rig.path)
    kept: Counter[tuple] = Counter()
    for one in reader.sums(by=("device", "pool", "outcome")):
        kept[one.group] += one.shares
    counted: Counter[tuple] = Counter()
    for (device, pool), tally in snapshot.by_pool.items():
        for outcome, number in tally.outcomes.items():
            counted[device, pool, outcome.value] += number
        counted[device, pool, "hardware"] += tally.hardware
    left = {group: n for group, n in kept.items() if group[2] == "unanswered"}
    assert sum(left.values()) == unanswered
    assert kept - Counter(left) == +counted
    assert _in_metrics(snapshot) == {
        (device, pool, OUTCOME_LABELS[outcome]): n
        for (device, pool, outcome), n in counted.items()
        if n
    }
    found = {one.group[0]: one.found for one in reader.sums(by=("device",))}
    assert {k: n for k, n in found.items() if n} == {
        d.name: d.found for d in snapshot.devices if d.found
    }
    (whole,) = reader.sums(by=()) or [None]
    if whole is not None:
        assert (whole.found, whole.accepted) == (snapshot.found, snapshot.shares.accepted)
        assert whole.work == pytest.approx(sum(pool.work for pool in snapshot.pools))
    best = reader.best(len(snapshot.best) or 1)
    assert [s.difficulty_reached for s in best] == pytest.approx(
        [share.difficulty for share in snapshot.best]
    )
    assert_sound(rig.path)


def _in_metrics(snapshot: Snapshot) -> dict[tuple[str, str, str], int]:
    """Return the shares in the metrics by device, pool and outcome."""
    names = {label: name for name, label in device_labels(d.info for d in snapshot.devices).items()}
    return {
        (names.get(of["device"], of["device"]), of["pool"], of["outcome"]): int(sample.value)
        for family in text_string_to_metric_families(metrics(snapshot).decode())
        for sample in family.samples
        if sample.name == "progpow_miner_shares_total" and sample.value
        for of in [sample.labels]
    }


@pytest.fixture
def reader(start: Callable[..., LedgerRig]) -> LedgerReader:
    first, second = start(), start(seconds=91_000.0)
    first.finished(difficulty=1500.0)
    first.finished(Outcome.STALE, difficulty=9000.0)
    first.finished(device="ref", job=first.job(pool=POOLS[1]), difficulty=3000.0)
    first.refuted()
    first.finished(Outcome.LOST)
    second.found(difficulty=1200.0)
    second.finished(difficulty=1100.0, job=second.job(block_target=2**256 // 1100))
    for rig in (first, second):
        rig.ledger.flush()
    return LedgerReader(first.path)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (Filter(), 7),
        (Filter(run="last"), 2),
        (Filter(run="2027"), 7),
        (Filter(run="1999"), 0),
        (Filter(device="cuda:0"), 6),
        (Filter(device="0000:01:00.0"), 6),
        (Filter(device="GPU-1234"), 6),
        (Filter(device="GPU"), 0),
        (Filter(pool="OTHER.example"), 1),
        (Filter(pool="%"), 0),
        (Filter(algorithm="kawpow"), 7),
        (Filter(algorithm="progpowz"), 0),
        (Filter(outcome=("stale",)), 1),
        (Filter(outcome=("unanswered", "hardware")), 2),
        (Filter(since=1_800_050_000.0), 2),
        (Filter(until=1_800_050_000.0), 5),
        (Filter(since=0.0, until=2e9, device="ref"), 1),
        (Filter(blocks=True), 1),
    ],
)
def test_filters(reader: LedgerReader, wanted: Filter, numbers: int) -> None:
    selected = reader.shares(wanted)
    assert len(selected) == numbers
    assert [s.id for s in reader.each(wanted)] == sorted(s.id for s in selected)
    assert sum(one.shares for one in reader.sums(wanted, by=("job",))) == numbers


def test_the_values_of_a_sum(reader: LedgerReader) -> None:
    (one,) = reader.sums(Filter(device="cuda:0"), by=())
    assert (one.group, one.shares, one.found, one.accepted, one.blocks) == ((), 6, 5, 2, 1)
    assert one.work == pytest.approx(2000.0, rel=1e-3)
    assert one.best == pytest.approx(9000.0)
    assert one.answer_seconds == pytest.approx(0.5)
    assert (one.first, one.last) == (1_800_001_000.0, 1_800_091_000.25)


def test_days_and_hours_are_utc(reader: LedgerReader) -> None:
    days = [(one.group[0], one.shares) for one in reader.sums(by=("day",))]
    assert days == [("2027-01-15", 5), ("2027-01-16", 2)]
    hours = [one.group for one in reader.sums(by=("hour", "outcome"))]
    assert hours[0] == ("2027-01-15T08", "accepted")


def test_an_unknown_grouping_raises_an_error(reader: LedgerReader) -> None:
    with pytest.raises(BadValue, match="by: 'text; DROP' is not one of run, day, hour"):
        reader.sums(by=("text; DROP",))


def test_the_sums_of_no_shares_are_empty(reader: LedgerReader) -> None:
    assert reader.sums(Filter(run="1999"), by=()) == []
    assert reader.sums(Filter(run="1999")) == []


def test_the_best_shares_come_first_without_hardware_errors(reader: LedgerReader) -> None:
    assert [round(s.difficulty_reached) for s in reader.best(3)] == [9000, 3000, 2000]
    assert len(reader.best(100)) == 6


def test_the_order_of_shares(reader: LedgerReader) -> None:
    assert [share.id for share in reader.shares(limit=3)] == [7, 6, 5]
    assert [share.id for share in reader.each()][:2] == [1, 2]


def test_shares_are_read_in_pages(reader: LedgerReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miner.ledger.ledger_reader.PAGE", 2)
    assert [share.id for share in reader.each()] == list(range(1, 8))


def test_the_newest_shares_are_found_without_sorting_all(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.write()
    statements: list[str] = []

    def traced(path: Path) -> sqlite3.Connection:
        connection = open_ledger(path)
        connection.set_trace_callback(statements.append)
        return connection

    open_ledger = ledger_reader._connect
    monkeypatch.setattr(ledger_reader, "_connect", traced)
    reader = LedgerReader(rig.path)
    assert [share.number for share in [*reader.shares(limit=1), *reader.each()]] == [1, 1]
    plans = []
    with closing(open_ledger(rig.path)) as connection:
        for statement in statements:
            if "FROM shares" in statement:
                plans += connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    details = [row[-1] for row in plans]
    assert len(details) == 2
    assert not any("TEMP B-TREE" in detail for detail in details), details

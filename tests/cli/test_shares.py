"""The command `shares`: tables and exports."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from datetime import datetime, tzinfo
from pathlib import Path
from types import SimpleNamespace

import pytest

from miner.ledger import LedgerReader
from miner.work import Outcome
from tests.cli.running import Ran, run
from tests.ledger.ledger_rig import POOL, LedgerRig

BEGUN = 1_800_001_000.0
MORE = 90_000.0
"""Seconds between the two runs of `ledger`."""


class AnHourLater(datetime):
    """A clock that is one hour after the second run."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> AnHourLater:
        return cls.fromtimestamp(BEGUN + MORE + 3600.0, tz)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROGPOW_MINER_STATE", str(tmp_path))
    return tmp_path


@pytest.fixture
def ledger(state: Path) -> Path:
    """Two runs: five shares of five classes, then two of another device."""
    path = state / "ledger.sqlite"
    first = LedgerRig(path)
    first.finished(difficulty=2500.0)
    first.finished(Outcome.STALE, "job not found")
    first.refuted()
    first.answered(first.found(), Outcome.NOT_SENT)
    first.found()
    first.ledger.close()
    second = LedgerRig(path, seconds=1000.0 + MORE)
    job = second.job(pool="stratum+tls://other.example:443", block_target=2**256 // 6000)
    second.finished(device="ref", job=job, difficulty=7e6)
    second.finished(Outcome.INVALID, "=HYPERLINK()", device="ref", job=job)
    second.ledger.close()
    return path


def rows(ran: Ran) -> list[list[str]]:
    """Return the cells of a plain table, whose columns are separated by two or more spaces."""
    assert (ran.code, ran.err) == (0, "")
    return [[c for c in line.split("  ") if c.strip()] for line in ran.out.splitlines()]


def exported(*arguments: str) -> list[dict[str, object]]:
    ran = run("shares", "--export", "json", *arguments)
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert isinstance(found, list)
    return found


def numbers(*arguments: str) -> list[tuple[str, object]]:
    return [(str(share["device"]), share["number"]) for share in exported(*arguments)]


def test_a_missing_ledger(state: Path) -> None:
    for more in ((), ("--sum",), ("--best", "3"), ("--export", "csv")):
        ran = run("shares", *more)
        path = state / "ledger.sqlite"
        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith(f"progpow-miner: share ledger {path} does not exist yet; ")
        assert ran.err.count("\n") == 1


def test_the_list_shows_the_newest_share_last(ledger: Path) -> None:
    head, *lines = run("shares").out.splitlines()
    assert head.split() == [
        "found", "device", "pool", "height", "nonce", "asked", "reached", "answer", "outcome",
        "text",
    ]  # fmt: skip
    assert len(lines) == 7
    moment = f"{datetime.fromtimestamp(BEGUN):%Y-%m-%d %H:%M:%S}"
    assert " ".join(lines[0].split()) == (
        f"{moment} cuda:0 {POOL} 7501 abcd000000000001 1.00 kH 2.50 kH 500 ms accepted"
    )
    assert re.search(r"500 ms  stale +job not found", lines[1])
    assert re.search(r"hardware +hashes to", lines[2])
    assert lines[3].endswith("not_sent")
    assert lines[4].endswith("unanswered")
    assert lines[5].endswith("accepted, block")
    assert "7.00 M" in lines[5]
    assert lines[6].endswith("=HYPERLINK()")


def test_columns_are_aligned(ledger: Path) -> None:
    lines = run("shares").out.splitlines()
    at = lines[0].index("nonce")
    assert all(line[at - 2 : at + 4] == "  abcd" for line in lines[1:])


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), 7),
        (("--limit", "3"), 3),
        (("--run", "last"), 2),
        (("--run", "all"), 7),
        (("--run", "2027011"), 7),
        (("-d", "ref"), 2),
        (("--device", "0000:01:00.0"), 5),
        (("--device", "01:00.0"), 5),
        (("-d", "gpu-1234"), 5),
        (("-d", "CUDA:0"), 5),
        (("-d", "cuda:*"), 5),
        (("-d", "REF"), 2),
        (("-d", "*"), 7),
        (("-d", "02:00.0"), 0),
        (("--pool", "OTHER"), 2),
        (("-a", "kawpow"), 7),
        (("-a", "KawPow"), 7),
        (("-a", "evrprogpow"), 0),
        (("--outcome", "stale"), 1),
        (("--outcome", "Not sent", "--outcome", "hardware"), 2),
        (("--outcome", "unanswered"), 1),
        (("--blocks",), 1),
        (("--since", "2027-01-16T00:00:00+00:00"), 2),
        (("--until", "2027-01-16 00:00:00+00:00"), 5),
        (("--since", "2h"), 2),
        (("--since", "30m"), 0),
        (("--since", "1w", "--until", "7200s"), 5),
        (("--since", "1.5d"), 7),
    ],
)
def test_filters(
    ledger: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], found: int
) -> None:
    # `miner.cli.shares` is the command, which hides the module of the same name.
    monkeypatch.setattr(sys.modules["miner.cli.shares"], "datetime", AnHourLater)
    assert len(exported(*arguments)) == found
    plain = rows(run("shares", *arguments))
    assert len(plain) - 1 == found or (plain == [["no shares"]] and not found)


def test_the_limit_keeps_the_newest(ledger: Path) -> None:
    assert numbers("--limit", "3") == [("cuda:0", 5), ("ref", 1), ("ref", 2)]


def test_the_best_shares_come_first(ledger: Path) -> None:
    assert numbers("--best", "2") == [("ref", 1), ("cuda:0", 1)]
    assert [row[-1].strip() for row in rows(run("shares", "--best", "1"))[1:]] == [
        "accepted, block"
    ]


def test_default_limits(state: Path) -> None:
    rig = LedgerRig(state / "ledger.sqlite")
    for _ in range(30):
        rig.finished()
    rig.ledger.close()
    assert len(run("shares").out.splitlines()) == 21
    assert len(run("shares", "--limit", "25").out.splitlines()) == 26
    assert [number for _, number in numbers()] == list(range(1, 31))


def test_sums_by_device_and_outcome(ledger: Path) -> None:
    table = rows(run("shares", "--sum"))
    assert [cell.strip() for cell in table[0]] == [
        "device", "outcome", "shares", "accepted", "blocks", "work", "best", "answer", "first",
        "last",
    ]  # fmt: skip
    assert [[cell.strip() for cell in row[:4]] for row in table[1:]] == [
        ["cuda:0", "accepted", "1", "1"],
        ["cuda:0", "hardware", "1", "0"],
        ["cuda:0", "not_sent", "1", "0"],
        ["cuda:0", "stale", "1", "0"],
        ["cuda:0", "unanswered", "1", "0"],
        ["ref", "accepted", "1", "1"],
        ["ref", "invalid", "1", "0"],
    ]


def test_sums_by_several_names(ledger: Path) -> None:
    found = exported("--sum", "--by", "day, device")
    assert [(one["day"], one["device"], one["shares"]) for one in found] == [
        ("2027-01-15", "cuda:0", 5),
        ("2027-01-16", "ref", 2),
    ]
    assert found[1]["blocks"] == 1
    assert found[0]["first"] == "2027-01-15T08:16:40.000000Z"
    (whole,) = exported("--sum", "--by", "")
    assert (whole["shares"], whole["found"], whole["accepted"]) == (7, 6, 2)
    assert exported("--sum", "--run", "none") == []


@pytest.mark.parametrize("by", ["hour,outcome", "pool,outcome", "device,outcome", ""])
def test_by_implies_sums(ledger: Path, by: str) -> None:
    assert run("shares", "--by", by) == run("shares", "--by", by, "--sum")
    assert exported("--by", by) == exported("--by", by, "--sum")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sum", "--by", "mood"), "by: 'mood' is not one of run, day, hour, device"),
        (("--since", "soon"), "--since: 'soon' is neither a duration such as 90s"),
        (("--until", "2027-13-01"), "--until: '2027-13-01' is neither a duration"),
        (("--since", "0001-01-01"), "--since: '0001-01-01' is neither"),
        (("--outcome", "odd"), "--outcome: 'odd' is not one of accepted, stale, low_difficulty,"),
        (("--sum", "--best", "2"), "give --sum or --best, not both"),
        (("--by", "pool", "--best", "2"), "give --by or --best, not both"),
        (("-d", "0"), "--device: 0 is an index, which the ledger does not know"),
        (("--sum", "--limit", "2"), "--limit cannot be combined"),
        (("--best", "0"), "0 must be at least 1 and at most"),
        (("--export", "xml"), "'xml' is not one of"),
        (("--file", "/nowhere/at/all"), "share ledger /nowhere/at/all does not exist yet"),
    ],
)
def test_usage_mistakes(ledger: Path, arguments: tuple[str, ...], message: str) -> None:
    ran = run("shares", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.err
    assert "Traceback" not in ran.err


def test_an_unreadable_ledger(state: Path) -> None:
    other = state / "other.sqlite"
    other.write_bytes(b"\xff" * 9000)
    ran = run("shares", "--file", other)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"progpow-miner: share ledger {other} cannot be read: file is not a database\n"
    )


def test_csv_contains_every_field(ledger: Path) -> None:
    ran = run("shares", "--export", "csv")
    assert (ran.code, ran.err) == (0, "")
    read = list(csv.DictReader(io.StringIO(ran.out)))
    kept = list(LedgerReader(ledger).each())
    assert len(read) == len(kept) == 7
    for line, share in zip(read, kept, strict=True):
        for name in ("run", "device", "pool", "algorithm", "job", "nonce", "header", "outcome"):
            assert line[name] == getattr(share, name)
        for name in ("number", "height", "epoch", "period"):
            assert int(line[name]) == getattr(share, name)
        for name in ("difficulty_asked", "difficulty_reached"):
            assert float(line[name]) == getattr(share, name)
        for name in ("found_at", "verified_at", "sent_at", "answered_at"):
            moment = getattr(share, name)
            at = datetime.fromisoformat(line[name]).timestamp() if line[name] else None
            assert at == moment
        assert line["is_block"] == str(int(share.is_block))
        assert line["pci"] == (share.pci or "")
        assert line["text"] == share.text or line["text"] == "'" + share.text


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"])
def test_csv_cells_are_never_formulas(state: Path, text: str) -> None:
    rig = LedgerRig(state / "ledger.sqlite")
    rig.finished(Outcome.INVALID, text, job=rig.job(id=text))
    rig.finished(Outcome.INVALID, f'plain, "quoted" {text}')
    rig.ledger.close()
    read = list(csv.DictReader(io.StringIO(run("shares", "--export", "csv").out, newline="")))
    assert [line["text"] for line in read] == ["'" + text, f'plain, "quoted" {text}']
    assert read[0]["job"] == "'" + text
    assert exported()[0]["text"] == text


def test_json_lines_contain_the_same_records(ledger: Path) -> None:
    lines = run("shares", "--export", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == exported()
    share = json.loads(lines[4])
    assert share["outcome"] == "unanswered"
    assert share["sent_at"] is share["answered_at"] is share["answer_seconds"] is None


def test_an_export_without_shares(ledger: Path) -> None:
    assert run("shares", "--export", "json", "-d", "none").out == "[]\n"
    assert run("shares", "--export", "jsonl", "-d", "none").out == ""
    (head,) = run("shares", "--export", "csv", "-d", "none").out.splitlines()
    assert head.startswith("run,number,device,pci,uuid,pool,")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The output is a terminal."""

    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    seen = SimpleNamespace(StringIO=Screen, BytesIO=io.BytesIO, TextIOWrapper=io.TextIOWrapper)
    monkeypatch.setattr("tests.cli.running.io", seen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "240")


@pytest.mark.parametrize("columns", [70, 100, 160, 200])
@pytest.mark.parametrize("arguments", [(), ("--sum",)])
def test_the_table_fits_the_terminal(
    ledger: Path,
    terminal: None,
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = without_styles(run("shares", *arguments).out)
    assert max(map(len, shown.splitlines())) <= columns
    for word in ("device", "outcome", "cuda:0", "accepted", "unanswered", "hardware"):
        assert word in shown
    assert ("nonce" in shown) == (columns > 100 and not arguments)


def without_styles(text: str) -> str:
    """Return `text` without the escape sequences of styles."""
    return text.replace("\x1b[1m", "").replace("\x1b[0m", "")


NASTY = "\x1b[2J\x1b]0;owned\x07 [bold]\u202e\u2028 end"


def test_control_characters_are_not_printed(state: Path, request: pytest.FixtureRequest) -> None:
    rig = LedgerRig(state / "ledger.sqlite")
    rig.finished(Outcome.INVALID, NASTY)
    rig.ledger.close()
    plain = run("shares").out
    request.getfixturevalue("terminal")
    drawn = without_styles(run("shares").out)
    assert "───" not in plain
    assert "───" in drawn
    for shown in (plain, drawn):
        assert "[bold]" in shown
        assert all(c.isprintable() or c == "\n" for c in shown)

"""The plain console: entries, statuses and the summary."""

from __future__ import annotations

import asyncio
import io
import os
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from miner.console import open_console, summary
from miner.console.plain import (
    DATE,
    TIME,
    UNDATED,
    PlainLines,
    beginning_on,
    full_status,
    status_line,
)
from miner.safe_text import Redactor
from miner.telemetry import Journal, Level, Telemetry
from miner.telemetry.events import (
    DeviceFault,
    Event,
    Launched,
    NewJob,
    PoolConnecting,
    PoolLost,
    PoolReady,
    ShareAnswered,
    ShareFound,
)
from miner.work import Outcome, Solution, Verdict
from tests.console.test_console import TerminalStream
from tests.fakes.clock import FakeClock, settle
from tests.fakes.device import job_at
from tests.fakes.rig import FIRST, Rig, busy_rig, job, rig_of

POOL = "stratum+tcp://pool.example:3333"


class Screen:
    """A plain console in a pipe, and its lines without their time."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.telemetry = Telemetry(self.clock)
        self.journal = Journal(self.clock)
        self.telemetry.subscribe(self.journal.event)
        self.stream = io.StringIO()
        self.console = open_console(
            "plain", self.telemetry, self.journal, self.clock, self.stream, Redactor()
        )

    @property
    def lines(self) -> list[str]:
        lines = self.stream.getvalue().splitlines()
        assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in lines)
        return [line[20:] for line in lines]

    def lines_of(self, *events: Event) -> list[str]:
        """Return the lines that `events` add."""
        before = len(self.lines)
        for event in events:
            self.telemetry.emit(event)
        return self.lines[before:]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def solution() -> Solution:
    job = job_at(7)
    return Solution(job, job.nonces.first, "opencl:0.0", 0.0, bytes(32), bytes(32))


async def test_the_status_comes_every_minute_once_a_device_searched(screen: Screen) -> None:
    task = asyncio.get_running_loop().create_task(screen.console.keep())
    await screen.clock.advance(25)
    assert screen.lines == []
    screen.telemetry.emit(Launched("ref", 5000, 1.0))
    await screen.clock.advance(10)
    assert [line.split()[0] for line in screen.lines] == ["status", "ref"]
    await screen.clock.advance(120)
    assert [line.split()[0] for line in screen.lines[2:]] == ["status", "status"]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await settle()


async def test_statuses_missed_during_a_suspension_are_not_made_up_for(screen: Screen) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(screen.console.keep())
        screen.telemetry.emit(Launched("ref", 5000, 1.0))
        await screen.clock.advance(10)
        before = len(screen.lines)
        await screen.clock.suspend(3600)
        await screen.clock.advance(50)
        assert [line.split()[0] for line in screen.lines[before:]] == ["status"]
        task.cancel()


async def test_the_status_line_and_the_summary(screen: Screen) -> None:
    for second in range(10):
        await screen.clock.advance(1)
        screen.telemetry.emit(Launched("opencl:0.0", 2_000_000, 1.0))
        if second >= 5:
            screen.telemetry.emit(Launched("opencl:0.1", 1000, 1.0))
    for outcome in (
        Outcome.ACCEPTED, Outcome.ACCEPTED, Outcome.STALE, Outcome.NOT_SENT, Outcome.LOST,
    ):  # fmt: skip
        screen.lines_of(ShareFound(solution()), ShareAnswered(Verdict(solution(), outcome)))
    screen.lines_of(DeviceFault("opencl:0.1", "it failed"))
    snapshot = screen.telemetry.snapshot()
    line = status_line(snapshot)
    assert line == (
        "2.00 MH/s (60 s 2.00 MH/s), accepted 2, not accepted 3, hardware errors 0, "
        "opencl:0.0 2.00 MH/s, opencl:0.1 1.00 kH/s"
    )
    assert summary(snapshot) == [
        "2 shares accepted, not accepted: 1 stale, 1 too late to send, 1 lost",
        "20,005,000 hashes in 10 s, 2.00 MH/s on average; 1 device fault",
    ]


def test_the_summary_of_an_empty_run(screen: Screen) -> None:
    assert summary(screen.telemetry.snapshot()) == [
        "0 shares accepted, not accepted: none",
        "0 hashes in 0 s, 0 H/s on average; 0 device faults",
    ]


def test_an_unverified_certificate_is_in_every_status(screen: Screen) -> None:
    (line,) = screen.lines_of(PoolConnecting(POOL, unverified=True))
    assert line.endswith("its certificate is not verified")
    assert "TLS NOT VERIFIED" in status_line(screen.telemetry.snapshot())
    screen.lines_of(PoolConnecting(POOL))
    assert "TLS" not in status_line(screen.telemetry.snapshot())


def counts(accepted: int, not_accepted: int, wrong: int) -> str:
    return f"accepted {accepted}, not accepted {not_accepted}, hardware errors {wrong}"


async def test_the_full_status_has_the_pool_and_each_device() -> None:
    rig = await busy_rig()
    job = "connected, 42 ms, height 3000000, epoch 400, difficulty 8.00 GH"
    assert full_status(rig.telemetry.snapshot()) == [
        (
            "status",
            f"80.00 MH/s (60 s 80.00 MH/s), {counts(4, 6, 1)}, effort 300%, up 16:00",
        ),
        (
            "pool",
            f"{FIRST}, {job}, best 1.10 TH",
        ),
        (
            "cuda:0",
            f"35.00 MH/s, 61 °C, fan 57%, 202 W, 174 kH/W, {counts(3, 6, 0)}",
        ),
        (
            "opencl:0.1",
            f"45.00 MH/s, 91 °C, {counts(1, 0, 1)}, paused: overheating: core 91 °C, limit 90 °C",
        ),
    ]


def test_the_full_status_of_an_idle_rig() -> None:
    lines = full_status(Rig().telemetry.snapshot())
    none = counts(0, 0, 0)
    assert lines[0] == ("status", f"0 H/s (60 s 0 H/s), {none}, effort 0%, up 0:00")
    assert lines[1:] == [(n, f"0 H/s, {none}, starting") for n in ("cuda:0", "opencl:0.1")]


async def test_a_day_of_eight_cards_in_a_pipe_is_short() -> None:
    rig = rig_of(8)
    rig.telemetry.subscribe(rig.journal.event)
    stream = io.StringIO()
    console = open_console("plain", rig.telemetry, rig.journal, rig.clock, stream, Redactor())
    hours = 2
    async with asyncio.TaskGroup() as group:
        task = group.create_task(console.keep())
        for minute in range(hours * 60):
            for number in range(4):
                rig.emit(NewJob(replace(job(3_000_001 + minute), id=f"{minute}-{number}")))
            await rig.clock.advance(60)
        task.cancel()
    lines = stream.getvalue().splitlines()
    assert sum(" job " in line for line in lines) == hours * 60
    assert 24 / hours * len(lines) < 3_500


async def test_in_a_terminal_every_third_status_is_full_and_all_are_redacted() -> None:
    rig = await busy_rig()
    stream, redactor = TerminalStream(), Redactor(["hunter22"], [FIRST])
    console = open_console("plain", rig.telemetry, rig.journal, rig.clock, stream, redactor)
    rig.journal.add("pool", "bad password hunter22")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(console.keep())
        await rig.clock.advance(60)
        task.cancel()
    console.write("stopping hunter22")
    console.close(["hunter22 is not shown"])
    lines = stream.getvalue().splitlines()
    full = ["status", "pool", "cuda:0", "opencl:0.1"]
    topics = [line.split()[1] for line in lines[1:-2]]
    assert topics == [*full, "status", "status", *full, "status", "status"]
    assert sum("(hidden)" in line for line in lines) == 3
    assert not any("hunter22" in line or "first.example" in line for line in lines)


def test_the_page_lists_every_outcome_that_is_not_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| `not accepted 6` |"))
    missing = [o.phrase for o in Outcome if o is not Outcome.ACCEPTED and o.phrase not in row]
    assert not missing


def test_entries_below_the_level_are_left_out(screen: Screen) -> None:
    screen.console.set_level(Level.WARNING)
    assert screen.lines_of(PoolReady(POOL)) == []
    assert len(screen.lines_of(PoolLost(POOL, "it is silent", 1.0))) == 1


def test_lines_in_the_journal_of_systemd_have_no_date_of_their_own(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        names = f"{status.st_dev}:{status.st_ino}"
        assert beginning_on(stream, {"JOURNAL_STREAM": names}) == ""
        # A service may redirect its output: then the variable belongs to another stream.
        assert beginning_on(stream, {"JOURNAL_STREAM": f"{names}1"}) == DATE
        assert beginning_on(stream, {}) == DATE
    assert beginning_on(stream, {"JOURNAL_STREAM": names}) == DATE, "closed"
    assert beginning_on(TerminalStream(), {"JOURNAL_STREAM": names}) == TIME
    journal = Journal(FakeClock())
    journal.add("pool", "lost", Level.WARNING)
    (entry,) = journal.entries
    assert PlainLines(Redactor(), UNDATED).entry(entry) == "pool      WARNING lost"

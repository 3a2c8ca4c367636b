"""The plain console: entries, statuses and the summary."""

from __future__ import annotations

import asyncio
import io
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from miner.console import open_console, summary
from miner.console.plain import full_status, status_line
from miner.safe_text import Redactor
from miner.telemetry import (
    DatasetBuilding,
    DeviceFault,
    DeviceResting,
    Event,
    Journal,
    KernelReady,
    Launched,
    Level,
    LightCacheBuilding,
    NewJob,
    NoncesExhausted,
    PoolConnecting,
    PoolLost,
    PoolNotice,
    PoolReady,
    ResultOverflow,
    ShareAnswered,
    ShareFound,
    Telemetry,
)
from miner.work import Outcome, Solution, Verdict
from tests.fakes.clock import FakeClock, settle
from tests.fakes.device import job_at
from tests.fakes.rig import FIRST, Rig, busy_rig

POOL = "stratum+tcp://pool.example:3333"


class Screen:
    """A plain console, and its lines without the time of day."""

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
        assert all(re.match(r"\d\d:\d\d:\d\d \S", line) for line in lines)
        return [line[9:] for line in lines]

    def lines_of(self, *events: Event) -> list[str]:
        """Return the lines that `events` add."""
        before = len(self.lines)
        for event in events:
            self.telemetry.emit(event)
        return self.lines[before:]


@pytest.fixture
def screen() -> Screen:
    return Screen()


def solution(block: bool = False, value: int = 2**240) -> Solution:
    job = job_at(7, block_target=2**250 if block else 0)
    return Solution(job, job.nonces.first, "opencl:0.0", 0.0, bytes(32), value.to_bytes(32, "big"))


JOB = replace(job_at(4321, target=2**256 // 4_290_000_000), id="0123456789abcdef-and-more")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (PoolConnecting(POOL), f"pool      connecting to {POOL}"),
        (PoolReady(POOL), f"pool      logged in at {POOL}"),
        (
            PoolLost(POOL, "it is silent", 7.6),
            f"pool      lost {POOL}: it is silent; next try in 8 s",
        ),
        (PoolLost(POOL, "banned", None), f"pool      lost {POOL}: banned; it is given up"),
        (PoolNotice(POOL, "welcome"), f"pool      {POOL}: welcome"),
        (NewJob(None), "job       none: the devices rest"),
        (
            NewJob(JOB),
            "job       0123456789abcdef height 4321 epoch 0 period 1440 difficulty 4.29 GH",
        ),
        (LightCacheBuilding(3, 0.5), "cache     light cache of epoch 3:  50%"),
        (LightCacheBuilding(3, 1.0, 2.34), "cache     light cache of epoch 3 built in 2.3 s"),
        (
            LightCacheBuilding(3, 1.0, 0.1, True),
            "cache     light cache of epoch 3 read from disk in 0.1 s",
        ),
        (
            DatasetBuilding("ref", 3, 0.25, 9.0, 3 << 29),
            "ref       dataset of epoch 3, 1.50 GiB:  25%",
        ),
        (
            DatasetBuilding("ref", 3, 1.0, 9.0, 3 << 29),
            "ref       dataset of epoch 3, 1.50 GiB, generated and proved in 9.0 s",
        ),
        (KernelReady("ref", 7, 0.51), "ref       kernel of period 7 built and proved in 0.5 s"),
        (ResultOverflow("ref", 999), "ref       999 nonces in one launch: searched in halves"),
        (
            NoncesExhausted("ref"),
            "ref       every nonce under the pool's prefix was tried; it rests",
        ),
        (DeviceFault("cuda:0", "it lies"), "cuda:0    FAULT it lies"),
        (DeviceResting("cuda:0", "it lies", 30.0), "cuda:0    rests for 30 s: it lies"),
        (DeviceResting("cuda:0", "it lies", None), "cuda:0    rests for this run: it lies"),
        (
            ShareAnswered(Verdict(solution(), Outcome.ACCEPTED, seconds=0.0421)),
            "share     accepted 1, 42 ms opencl:0.0 difficulty 65.54 kH",
        ),
        (
            ShareAnswered(Verdict(solution(block=True), Outcome.ACCEPTED, seconds=0.0421)),
            "share     accepted 1, 42 ms opencl:0.0 difficulty 65.54 kH BLOCK",
        ),
        (
            ShareAnswered(Verdict(solution(), Outcome.STALE, "job not found", 0.1)),
            "share     stale, 100 ms opencl:0.0: job not found",
        ),
        (
            ShareAnswered(Verdict(solution(), Outcome.LOST)),
            "share     lost opencl:0.0",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[10:30],
)
def test_the_sentence_of(screen: Screen, event: Event, line: str) -> None:
    assert screen.lines_of(event) == [line]


def test_what_happens_all_the_time_is_not_told(screen: Screen) -> None:
    assert screen.lines_of(Launched("ref", 512, 0.1), ShareFound(solution())) == []


async def test_progress_is_told_in_steps(screen: Screen) -> None:
    for kind in (
        lambda done: LightCacheBuilding(3, done, 1.0),
        lambda done: DatasetBuilding("ref", 3, done, 1.0, 1 << 30),
    ):
        lines = screen.lines_of(*(kind(i / 200) for i in range(201)))
        assert [line.split()[-1] for line in lines[:-1]] == [f"{p}%" for p in range(0, 100, 10)]
        assert lines[0].endswith(":   0%")
        assert " in 1.0 s" in lines[-1]
        await screen.clock.advance(10)
        assert screen.lines_of(kind(0.0))[0].endswith(":   0%"), "a second build starts over"
    two = screen.lines_of(*(DatasetBuilding(d, 4, 0.5, 1.0, 1 << 30) for d in ("a", "b")))
    assert len(two) == 2


async def test_repeated_trouble_is_told_once_in_a_while(screen: Screen) -> None:
    fault = DeviceFault("cuda:0", "wrong hash")
    assert len(screen.lines_of(*[fault] * 50)) == 1
    assert len(screen.lines_of(DeviceFault("cuda:1", "wrong hash"))) == 1
    await screen.clock.advance(9.9)
    assert screen.lines_of(fault) == []
    await screen.clock.advance(0.1)
    assert len(screen.lines_of(fault)) == 1
    assert screen.telemetry.snapshot().faults == 53


async def test_the_status_comes_every_ten_seconds_once_a_device_searched(screen: Screen) -> None:
    task = asyncio.get_running_loop().create_task(screen.console.keep())
    await screen.clock.advance(25)
    assert screen.lines == []
    screen.telemetry.emit(Launched("ref", 5000, 1.0))
    await screen.clock.advance(10)
    assert [line.split()[0] for line in screen.lines] == ["status", "ref"]
    await screen.clock.advance(20)
    assert [line.split()[0] for line in screen.lines[2:]] == ["status", "status"]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await settle()


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
    screen.lines_of(DeviceFault("opencl:0.1", "it lies"))
    snapshot = screen.telemetry.snapshot()
    line = status_line(snapshot)
    assert line == (
        "2.00 MH/s (60 s 2.00 MH/s), A2 R3 F1, opencl:0.0 2.00 MH/s, opencl:0.1 1.00 kH/s"
    )
    assert summary(snapshot) == [
        "2 shares accepted, not accepted: 1 stale, 1 too late to send, 1 lost",
        "20,005,000 hashes in 10 s, 2.00 MH/s on average; 1 device faults",
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


async def test_the_full_status_has_the_pool_and_each_device() -> None:
    rig = await busy_rig()
    job = "connected, 42 ms, epoch 400, period 1000000, height 3000000, difficulty 8.00 GH"
    assert full_status(rig.telemetry.snapshot()) == [
        ("status", "80.00 MH/s (60 s 80.00 MH/s), A4 R6 F1, effort 300%, up 16:00"),
        (
            "pool",
            f"{FIRST}, {job}, best 1.10 TH",
        ),
        ("cuda:0", "35.00 MH/s, [T:61C, P:202W, F:57%, E:174kH/W], 3/9 R:67% I:0%"),
        (
            "opencl:0.1",
            "45.00 MH/s, [T:91C], 1/1 R:0% I:50%, paused: overheating: core 91 °C, limit 90 °C",
        ),
    ]


def test_the_full_status_of_an_idle_rig() -> None:
    lines = full_status(Rig().telemetry.snapshot())
    assert lines[0] == ("status", "0 H/s (60 s 0 H/s), A0 R0 F0, effort 0%, up 0:00")
    assert lines[1:] == [(n, "0 H/s, 0/0 R:0% I:0%, starting") for n in ("cuda:0", "opencl:0.1")]


async def test_every_third_status_is_full_and_all_are_redacted() -> None:
    rig = await busy_rig()
    stream, redactor = io.StringIO(), Redactor(["hunter22"], [FIRST])
    console = open_console("plain", rig.telemetry, rig.journal, rig.clock, stream, redactor)
    rig.journal.say("pool", "bad password hunter22")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(console.keep())
        await rig.clock.advance(60)
        task.cancel()
    console.write("stopping hunter22")
    console.close(["hunter22 is not shown"])
    lines = stream.getvalue().splitlines()
    full = ["status", "pool", "cuda:0", "opencl:0.1"]
    topics = [line.split()[1] for line in lines[1:-2]]
    assert topics == ["status", "status", *full, "status", "status", *full]
    assert sum("(hidden)" in line for line in lines) == 3
    assert not any("hunter22" in line or "first.example" in line for line in lines)


def test_the_page_lists_every_outcome_that_is_not_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs" / "console.md").read_text(encoding="utf-8")
    (row,) = (line for line in page.splitlines() if line.startswith("| `R6` |"))
    missing = [o.phrase for o in Outcome if o is not Outcome.ACCEPTED and o.phrase not in row]
    assert not missing


def test_entries_below_the_level_are_left_out(screen: Screen) -> None:
    screen.console.set_level(Level.WARNING)
    assert screen.lines_of(PoolReady(POOL)) == []
    assert len(screen.lines_of(PoolLost(POOL, "it is silent", 1.0))) == 1

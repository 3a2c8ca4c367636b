"""When the ledger writes, and what it does and reports when it cannot."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from miner import clock as simulation
from miner.clock import LoopClock
from miner.engine.threads import WorkPool
from miner.ledger import LedgerReader
from miner.ledger.ledger_writer import connect
from miner.telemetry.events import ShareFound
from tests.ledger.ledger_rig import LedgerRig, assert_sound, sqlite_answer

WAITS = "mining continues, shares stay in memory until a retry succeeds"


class SameThread:
    """Calls functions at once, and counts the rows of each write."""

    def __init__(self) -> None:
        self.writes: list[int] = []

    async def offload(self, function: Callable[..., Any], /, *arguments: Any) -> Any:
        if isinstance(arguments[-1], list):
            self.writes.append(len(arguments[-1]))
        return function(*arguments)


@asynccontextmanager
async def running(rig: LedgerRig, disk: Any = None) -> AsyncIterator[None]:
    """Run the ledger of `rig` on the loop's clock for the block."""
    rig.ledger._clock = rig.clock = LoopClock()  # type: ignore[assignment]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(rig.ledger.run(disk or SameThread()))
        try:
            yield
        finally:
            task.cancel()


def kept(rig: LedgerRig) -> int:
    return sqlite_answer(rig.path, "SELECT count(*) FROM shares") if rig.path.exists() else 0


def find_share(rig: LedgerRig) -> None:
    """Emit one more share; the loop's clock advances by itself."""
    rig.emit(ShareFound(rig.solution()))


def test_a_share_is_written_within_a_second(rig: LedgerRig) -> None:
    async def run() -> list[int]:
        seen = []
        async with running(rig):
            for _ in range(5):
                find_share(rig)
                await asyncio.sleep(1.0)
                seen.append(kept(rig))
        return seen

    assert simulation.run(run()) == [1, 2, 3, 4, 5]


def test_only_changes_are_written(rig: LedgerRig) -> None:
    disk = SameThread()

    async def run() -> None:
        async with running(rig, disk):
            await asyncio.sleep(10.0)
            find_share(rig)
            find_share(rig)
            await asyncio.sleep(10.0)

    simulation.run(run())
    assert disk.writes == [2]


def test_a_cancelled_run_writes_all(rig: LedgerRig) -> None:
    async def run() -> None:
        async with running(rig):
            await asyncio.sleep(1.2)
            find_share(rig)

    simulation.run(run())
    assert kept(rig) == 1
    assert rig.ledger.waiting == 0
    assert not list(rig.path.parent.glob("*-wal"))  # closed in order


def test_a_run_cancelled_during_a_write_writes_all_once(rig: LedgerRig) -> None:
    begun = threading.Event()

    async def run() -> None:
        with WorkPool("ledger", 1) as pool:

            class SlowDisk:
                async def offload(self, function: Callable[..., Any], *arguments: Any) -> Any:
                    def write() -> Any:
                        begun.set()
                        return function(*arguments)

                    return await pool.offload(write)

            async with running(rig, SlowDisk()):
                find_share(rig)
                while not begun.is_set():
                    await asyncio.sleep(0.01)
                find_share(rig)

    asyncio.run(run())
    assert kept(rig) == 2
    assert_sound(rig.path)


def test_close_writes_later_changes(rig: LedgerRig) -> None:
    async def run() -> None:
        async with running(rig):
            await asyncio.sleep(1.0)
        find_share(rig)

    simulation.run(run())
    assert kept(rig) == 0
    rig.ledger.close()
    assert kept(rig) == 1


class Disk:
    """Opens the file, with a failure if one is set."""

    def __init__(self) -> None:
        self.break_it: Callable[[sqlite3.Connection], object] | None = None
        self.error: Exception | None = None
        self.tries = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        self.tries += 1
        if self.error is not None:
            raise self.error
        connection = connect(path)
        if self.break_it is not None:
            self.break_it(connection)
        return connection


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("miner.ledger.ledger_writer.connect", disk.connect)
    monkeypatch.setattr("miner.ledger.ledger_writer.BUSY_SECONDS", 0.01)
    return disk


def read_only(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")


def full(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1")


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [(read_only, "attempt to write a readonly database"), (full, "database or disk is full")],
)
def test_no_share_is_lost_while_the_disk_fails(
    rig: LedgerRig, disk: Disk, break_it: Callable[[sqlite3.Connection], object], reason: str
) -> None:
    rig.write()
    rig.ledger._writer.close()
    disk.break_it = break_it
    # Enough to exceed the page limit.
    solutions = [rig.found(job=rig.job(id="j" * 1000)) for _ in range(20)]
    for _ in range(3):
        rig.ledger.flush()
    rig.answered(solutions[0])
    rig.ledger.flush()
    path = rig.path
    assert rig.reports == [f"share ledger {path} cannot be written: {reason}; {WAITS}"]
    assert kept(rig) == 1
    disk.break_it = None
    rig.ledger.flush()
    assert rig.reports[1:] == [f"share ledger {path} is written again"]
    assert [share.outcome for share in rig.shares()][:3] == ["accepted", "accepted", "unanswered"]
    assert kept(rig) == 21
    assert_sound(path)


def test_a_folder_that_cannot_be_created_is_reported_and_retried(rig: LedgerRig) -> None:
    folder = rig.path.parent
    folder.write_text("a file is in the way")
    rig.write()
    reason = "Not a directory"
    assert rig.reports == [f"share ledger {rig.path} cannot be written: {reason}; {WAITS}"]
    folder.unlink()
    assert rig.one().outcome == "accepted"


def test_a_locked_file_is_retried(rig: LedgerRig, disk: Disk) -> None:
    rig.write()
    rig.ledger._writer.close()
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        rig.write()
        assert rig.reports[0].endswith(f"cannot be written: database is locked; {WAITS}")
        other.execute("ROLLBACK")
    assert len(rig.shares()) == 2
    assert rig.reports[1].endswith("is written again")


def test_retries_back_off(rig: LedgerRig, disk: Disk) -> None:
    disk.error = OSError(5, "Input/output error")

    async def run() -> None:
        async with running(rig):
            find_share(rig)
            await asyncio.sleep(3600.0)
            tries = disk.tries
            assert 50 < tries < 80
            disk.error = None
            await asyncio.sleep(60.0)
            assert kept(rig) == 1
            find_share(rig)
            await asyncio.sleep(1.0)
            assert kept(rig) == 2

    simulation.run(run())
    assert [text.removeprefix(f"share ledger {rig.path} ") for text in rig.reports] == [
        f"cannot be written: Input/output error; {WAITS}",
        "is written again",
    ]


def test_memory_is_bounded_and_dropped_shares_are_reported(
    rig: LedgerRig, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner.ledger.ledger.MOST_WAITING", 10)
    disk.error = OSError(28, "No space left on device")
    first = rig.found()
    for _ in range(14):
        rig.found()
    assert (rig.ledger.waiting, rig.ledger.dropped) == (10, 5)
    rig.ledger.flush()
    assert rig.ledger.waiting == 10
    rig.answered(first)  # dropped already
    disk.error = None
    assert [share.number for share in rig.shares()] == list(range(6, 16))
    assert rig.ledger.dropped == 5
    assert [text.removeprefix(f"share ledger {rig.path}") for text in rig.reports] == [
        ": 10 shares wait to be written; from now on the oldest are dropped",
        f" cannot be written: No space left on device; {WAITS}",
        " is written again; 5 shares are missing",
    ]


def test_shares_that_cannot_be_written_at_the_end_are_reported(rig: LedgerRig, disk: Disk) -> None:
    disk.error = OSError(28, "No space left on device")
    rig.finished()
    rig.finished()
    rig.ledger.close()
    assert rig.reports[-1] == f"share ledger {rig.path}: 2 shares could not be written"


def test_a_repeated_write_changes_nothing(rig: LedgerRig) -> None:
    rig.finished()
    rows = [entry.row(rig.ledger.run_id) for entry in rig.ledger._waiting.values()]
    for _ in range(3):
        rig.ledger._writer.write(rig.ledger._run, rows)
    assert len(LedgerReader(rig.path).shares()) == 1
    assert LedgerReader(rig.path).shares()[0].id == 1


def test_the_newest_shares_of_the_file(rig: LedgerRig) -> None:
    assert asyncio.run(rig.ledger.newest(5, SameThread())) == []
    rig.write(3)
    newest = asyncio.run(rig.ledger.newest(2, SameThread()))
    assert [row["number"] for row in newest] == [3, 2]
    assert newest[0]["outcome"] == "accepted"

"""When the ledger writes, what it does when it cannot, and what it says of that."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from miner import clock as simulation
from miner.clock import LoopClock
from miner.engine.threads import WorkPool
from miner.ledger import LedgerReader
from miner.ledger.store import connect
from miner.telemetry import ShareFound
from tests.ledger.living import Life, asked, assert_sound

WAITS = "shares wait in memory, it is tried again, and mining goes on"


async def at_once(func: Callable[..., Any], *arguments: Any) -> Any:
    return func(*arguments)


@asynccontextmanager
async def running(
    life: Life, offload: Callable[..., Awaitable[Any]] = at_once
) -> AsyncIterator[None]:
    """Run the ledger of `life` on the loop's clock for the block."""
    life.ledger._clock = life.clock = LoopClock()  # type: ignore[assignment]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(life.ledger.run(offload))
        try:
            yield
        finally:
            task.cancel()


def kept(life: Life) -> int:
    return asked(life.path, "SELECT count(*) FROM shares") if life.path.exists() else 0


def tell(life: Life) -> None:
    """Tell of one share more; the loop's clock moves by itself."""
    life.tell(ShareFound(life.claim()))


def test_each_second_finds_the_one_before_written(life: Life) -> None:
    async def lived() -> list[int]:
        seen = []
        async with running(life):
            for _ in range(5):
                tell(life)
                await asyncio.sleep(1.0)
                seen.append(kept(life))
        return seen

    assert simulation.run(lived()) == [1, 2, 3, 4, 5]


def test_nothing_new_is_nothing_written(life: Life) -> None:
    calls = []

    async def counted(func: Callable[..., Any], *arguments: Any) -> Any:
        calls.append(len(arguments[1]))
        return func(*arguments)

    async def lived() -> None:
        async with running(life, counted):
            await asyncio.sleep(10.0)
            tell(life)
            tell(life)
            await asyncio.sleep(10.0)

    simulation.run(lived())
    assert calls == [2]


def test_a_cancelled_run_has_written_all(life: Life) -> None:
    async def lived() -> None:
        async with running(life):
            await asyncio.sleep(1.2)
            tell(life)

    simulation.run(lived())
    assert kept(life) == 1
    assert life.ledger.waiting == 0
    assert not list(life.path.parent.glob("*-wal"))  # closed in order


def test_a_run_cancelled_in_the_middle_of_writing_has_written_all_once(life: Life) -> None:
    begun = threading.Event()

    async def lived() -> None:
        with WorkPool("ledger", 1) as pool:

            async def slow(func: Callable[..., Any], *arguments: Any) -> Any:
                def write() -> Any:
                    begun.set()
                    return func(*arguments)

                return await pool.offload(write)

            async with running(life, slow):
                tell(life)
                while not begun.is_set():
                    await asyncio.sleep(0.01)
                tell(life)

    asyncio.run(lived())
    assert kept(life) == 2
    assert_sound(life.path)


def test_what_comes_after_the_run_is_written_by_closing(life: Life) -> None:
    async def lived() -> None:
        async with running(life):
            await asyncio.sleep(1.0)
        tell(life)

    simulation.run(lived())
    assert kept(life) == 0
    life.ledger.close()
    assert kept(life) == 1


class Disk:
    """Opens the file, and spoils it first where it is told to."""

    def __init__(self) -> None:
        self.spoil: Callable[[sqlite3.Connection], object] | None = None
        self.error: Exception | None = None
        self.tries = 0

    def connect(self, path: Path) -> sqlite3.Connection:
        self.tries += 1
        if self.error is not None:
            raise self.error
        connection = connect(path)
        if self.spoil is not None:
            self.spoil(connection)
        return connection


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("miner.ledger.store.connect", disk.connect)
    monkeypatch.setattr("miner.ledger.store.BUSY_SECONDS", 0.01)
    return disk


def read_only(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")


def full(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [(read_only, "attempt to write a readonly database"), (full, "database or disk is full")],
)
def test_a_disk_that_takes_nothing_loses_nothing(
    life: Life, disk: Disk, spoil: Callable[[sqlite3.Connection], object], reason: str
) -> None:
    life.lived()
    life.ledger.flush()
    life.ledger._store.close()
    disk.spoil = spoil
    # Enough that a full disk is noticed.
    solutions = [life.found(job=life.job(id="j" * 1000)) for _ in range(20)]
    for _ in range(3):
        life.ledger.flush()
    life.answered(solutions[0])
    life.ledger.flush()
    path = life.path
    assert life.reports == [f"{path}: the share ledger cannot be written: {reason}; {WAITS}"]
    assert kept(life) == 1
    disk.spoil = None
    life.ledger.flush()
    assert life.reports[1:] == [f"{path}: the share ledger is written again"]
    assert [share.outcome for share in life.shares()][:3] == ["accepted", "accepted", "unanswered"]
    assert kept(life) == 21
    assert_sound(path)


def test_a_folder_that_cannot_be_made_is_said_and_tried_again(life: Life) -> None:
    folder = life.path.parent
    folder.write_text("a file is in the way")
    life.lived()
    life.ledger.flush()
    reason = "Not a directory"
    assert life.reports == [f"{life.path}: the share ledger cannot be written: {reason}; {WAITS}"]
    folder.unlink()
    assert life.one().outcome == "accepted"


def test_a_file_that_another_locks_is_waited_for(life: Life, disk: Disk) -> None:
    life.lived()
    life.ledger.flush()
    life.ledger._store.close()
    with closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        life.lived()
        life.ledger.flush()
        assert life.reports[0].endswith(f"cannot be written: database is locked; {WAITS}")
        other.execute("ROLLBACK")
    assert len(life.shares()) == 2
    assert life.reports[1].endswith("is written again")


def test_a_failing_disk_is_tried_again_ever_more_seldom(life: Life, disk: Disk) -> None:
    disk.error = OSError(5, "Input/output error")

    async def lived() -> None:
        async with running(life):
            tell(life)
            await asyncio.sleep(3600.0)
            tries = disk.tries
            assert 50 < tries < 80
            disk.error = None
            await asyncio.sleep(60.0)
            assert kept(life) == 1
            tell(life)
            await asyncio.sleep(1.0)
            assert kept(life) == 2

    simulation.run(lived())
    assert [text.partition("ledger ")[2] for text in life.reports] == [
        f"cannot be written: Input/output error; {WAITS}",
        "is written again",
    ]


def test_memory_is_bounded_and_what_it_costs_is_said(
    life: Life, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("miner.ledger.ledger.MOST_WAITING", 10)
    disk.error = OSError(28, "No space left on device")
    first = life.found()
    for _ in range(14):
        life.found()
    assert (life.ledger.waiting, life.ledger.dropped) == (10, 5)
    life.ledger.flush()
    assert life.ledger.waiting == 10
    life.answered(first)  # its beginning is gone, so its end does not count again
    disk.error = None
    assert [share.number for share in life.shares()] == list(range(6, 16))
    assert life.ledger.dropped == 5
    assert [text.partition(": ")[2] for text in life.reports] == [
        "10 shares wait for the share ledger; from now on the oldest are dropped",
        f"the share ledger cannot be written: No space left on device; {WAITS}",
        "the share ledger is written again; 5 shares are missing in it",
    ]


def test_what_cannot_be_written_at_the_end_is_said(life: Life, disk: Disk) -> None:
    disk.error = OSError(28, "No space left on device")
    life.lived()
    life.lived()
    life.ledger.close()
    assert life.reports[-1] == f"{life.path}: 2 shares could not be written"


def test_writing_what_was_written_changes_nothing(life: Life) -> None:
    life.lived()
    rows = [entry.row(life.ledger.run_id) for entry in life.ledger._waiting.values()]
    for _ in range(3):
        life.ledger._store.write(life.ledger._run, rows)
    assert len(LedgerReader(life.path).shares()) == 1
    assert LedgerReader(life.path).shares()[0].id == 1


def test_the_newest_are_told_by_name_and_none_before_there_are_any(life: Life) -> None:
    assert asyncio.run(life.ledger.newest(5, at_once)) == []
    for _ in range(3):
        life.lived()
    life.ledger.flush()
    newest = asyncio.run(life.ledger.newest(2, at_once))
    assert [row["number"] for row in newest] == [3, 2]
    assert newest[0]["outcome"] == "accepted"

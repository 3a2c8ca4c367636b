"""The file: corrupt, foreign, of another version, bounded, shared."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from miner.engine.threads import WorkPool
from miner.errors import ConfigError
from miner.ledger import Filter, LedgerReader, ledger_writer
from miner.ledger.schema import APPLICATION, COLUMNS, MIGRATIONS
from miner.ledger.share_record import ShareRecord
from tests.ledger.ledger_rig import LedgerRig, assert_sound, sqlite_answer

DAY = 86400.0
WAITS = "mining continues, shares stay in memory until a retry succeeds"
NEWER = (
    "share ledger {path} was written by a newer version of this program (ledger version 99, known "
    f"up to {len(MIGRATIONS)}); use that version or name another file"
)
FOREIGN = "{path} is an SQLite file but not a share ledger; name another file"


def change(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_the_properties_of_a_new_file(rig: LedgerRig) -> None:
    rig.write()
    assert sqlite_answer(rig.path, "PRAGMA journal_mode") == "wal"
    assert sqlite_answer(rig.path, "PRAGMA auto_vacuum") == 2
    assert sqlite_answer(rig.path, "PRAGMA application_id") == APPLICATION
    assert sqlite_answer(rig.path, "PRAGMA user_version") == len(MIGRATIONS)
    assert rig.path.stat().st_mode & 0o777 == 0o600
    assert_sound(rig.path)


def test_columns_are_the_fields_of_a_record() -> None:
    assert tuple(ShareRecord.__dataclass_fields__) == ("id", *COLUMNS)


@pytest.mark.parametrize("damage", ["not a database", "corrupt pages"])
def test_a_corrupt_file_is_renamed_and_replaced(
    start: Callable[..., LedgerRig], path: Path, damage: str
) -> None:
    for number in (1, 2):
        if damage == "not a database":
            path.parent.mkdir(exist_ok=True)
            content = b"\0this is not a database" * 100
        else:
            before = start()
            for _ in range(200):
                before.finished()
            before.ledger.close()
            whole = path.read_bytes()
            content = whole[:4096] + b"\xff" * 20_000 + whole[24_096:]
        path.write_bytes(content)
        rig = start()
        rig.finished()
        (share,) = rig.shares()
        assert share.run == rig.ledger.run_id
        aside = path.with_name(f"{path.name}.corrupt-{number}")
        assert aside.read_bytes() == content
        assert rig.reports == [
            f"share ledger {path} is corrupt; kept as {aside.name}, and a new one is created"
        ]
        rig.ledger.close()


def test_a_text_file_is_left_unchanged(start: Callable[..., LedgerRig], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    content = "my wallets \N{SNOWMAN}\n" * 1000
    path.write_text(content, encoding="utf-8")
    rig = start()
    rig.finished()
    rig.ledger.close()
    assert path.read_text(encoding="utf-8") == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert rig.reports[0].startswith(
        f"{path} is a text file, not a share ledger; name another file; {WAITS}"
    )


def test_corruption_during_a_run_loses_only_the_file(rig: LedgerRig) -> None:
    unanswered = rig.found()
    rig.ledger.flush()
    rig.ledger._writer.close()
    rig.path.write_bytes(b"\xff" * 8192)
    rig.answered(unanswered)
    assert rig.one().outcome == "accepted"
    assert len(rig.reports) == 1


def test_the_number_of_corrupt_files_is_limited(
    start: Callable[..., LedgerRig], path: Path
) -> None:
    for _ in range(12):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff" * 4096)
        rig = start()
        rig.finished()
        rig.ledger.close()
    assert len(list(path.parent.glob("*.corrupt-*"))) == 9


def test_a_file_removed_during_a_run_is_created_again(rig: LedgerRig) -> None:
    rig.write()
    rig.path.unlink()
    rig.finished()
    assert [share.number for share in rig.shares()] == [2]
    assert rig.reports == []


@pytest.mark.parametrize(
    ("statements", "complaint"),
    [
        ([f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 99"], NEWER),
        (["CREATE TABLE cookies(name)"], FOREIGN),
        (["PRAGMA user_version = 99"], FOREIGN),
    ],
)
def test_a_foreign_or_newer_file_is_left_unchanged(
    rig: LedgerRig, statements: list[str], complaint: str
) -> None:
    change(rig.path, *statements)
    content = rig.path.read_bytes()
    rig.write()
    rig.ledger.flush()
    (report,) = rig.reports
    complaint = complaint.format(path=rig.path)
    assert report == f"{complaint}; {WAITS}"
    assert rig.path.read_bytes() == content
    with pytest.raises(ConfigError) as caught:
        LedgerReader(rig.path).shares()
    assert str(caught.value) == complaint
    rig.path.unlink()
    assert rig.one().outcome == "accepted"


UNUSABLE = {
    "a folder": "share ledger {path} cannot be written: Is a directory",
    "in a file": "share ledger {path} cannot be written: Not a directory",
    "newer": NEWER,
    "a text": "{path} is a text file, not a share ledger; name another file",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_an_unusable_file_is_reported_at_the_start(
    start: Callable[..., LedgerRig], path: Path, kind: str
) -> None:
    if kind == "a folder":
        path.mkdir(parents=True)
    elif kind == "in a file":
        path.parent.write_text("a file")
    elif kind == "newer":
        change(path, f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 99")
    else:
        path.parent.mkdir()
        path.write_text("my wallets\n")
    rig = start()
    rig.ledger.open()
    (report,) = rig.reports
    problem = UNUSABLE[kind].format(path=path)
    assert report == f"{problem}; {WAITS}"
    with pytest.raises(ConfigError) as caught:
        rig.ledger.open(required=True)
    assert str(caught.value).startswith(problem)
    assert str(caught.value).endswith("name another file")
    assert len(rig.reports) == 1


def test_a_run_starts_despite_another_writer(rig: LedgerRig) -> None:
    rig.ledger.open(required=True)
    rig.ledger.close()
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        rig.ledger.open(required=True)
    assert f"database is locked; {WAITS}" in rig.reports[0]
    rig.finished()
    assert rig.one().outcome == "accepted"
    assert rig.reports[1].endswith("is written again")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_run_starts_despite_a_full_disk(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(path: Path) -> None:
        raise OSError(number, "full")

    monkeypatch.setattr(ledger_writer, "connect", full)
    rig.ledger.open(required=True)
    assert rig.reports == [f"share ledger {rig.path} cannot be written: full; {WAITS}"]


def test_a_run_without_shares_is_not_recorded(rig: LedgerRig) -> None:
    rig.ledger.open()
    assert LedgerReader(rig.path).runs() == []
    assert LedgerReader(rig.path).shares() == []


def test_an_older_file_is_migrated(
    start: Callable[..., LedgerRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = start()
    old.finished()
    old.ledger.close()
    later = (*MIGRATIONS, ("ALTER TABLE shares ADD COLUMN note TEXT DEFAULT 'calm'",))
    monkeypatch.setattr("miner.ledger.schema.MIGRATIONS", later)
    new = start()
    new.finished()
    assert len(new.shares()) == 2
    assert sqlite_answer(new.path, "SELECT group_concat(note) FROM shares") == "calm,calm"
    assert sqlite_answer(new.path, "PRAGMA user_version") == len(later)


OLD = ("accepted", "low difficulty", "stale, not sent", "too late to send", "lost in a disconnect",
       "hardware")  # fmt: skip


def test_outcomes_of_older_versions_are_translated(rig: LedgerRig) -> None:
    for _ in (*OLD, "a note"):
        rig.finished()
    rig.ledger.flush()
    # As another miner would, while this one has the file open.
    change(
        rig.path,
        *(f"UPDATE shares SET outcome = '{word}' WHERE number = {number}"
          for number, word in enumerate((*OLD, "a note"), 1)),
    )  # fmt: skip
    reader = LedgerReader(rig.path)
    assert [share.outcome for share in rig.shares()] == [
        "accepted", "low_difficulty", "not_sent", "not_sent", "lost", "hardware", "a note",
    ]  # fmt: skip
    assert [share.number for share in reader.shares(Filter(outcome=("low_difficulty",)))] == [2]
    assert [share.number for share in reader.shares(Filter(outcome=("not_sent",)))] == [4, 3]
    assert {sum_.group[0]: sum_.shares for sum_ in reader.sums(by=["outcome"])} == {
        "accepted": 1, "low_difficulty": 1, "not_sent": 2, "lost": 1, "hardware": 1, "a note": 1,
    }  # fmt: skip
    assert sum(sum_.answer_seconds is None for sum_ in reader.sums(by=["outcome"])) == 1


def test_a_failed_migration_leaves_the_old_file(
    start: Callable[..., LedgerRig], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = start()
    old.finished()
    old.ledger.close()
    later = (*MIGRATIONS, ("ALTER TABLE shares ADD COLUMN note TEXT", "no SQL at all"))
    monkeypatch.setattr("miner.ledger.schema.MIGRATIONS", later)
    new = start()
    new.write()
    assert "cannot be written" in new.reports[0]
    monkeypatch.undo()
    assert sqlite_answer(new.path, "PRAGMA user_version") == len(MIGRATIONS)
    assert len(new.shares()) == 2


def test_a_rollback_journal_where_wal_is_impossible(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        path.parent.mkdir(exist_ok=True)
        # This VFS locks by a file and cannot share memory, like some network file systems.
        return sqlite3.connect(
            f"file:{path}?vfs=unix-dotfile", uri=True, isolation_level=None, timeout=0.1,
            check_same_thread=False,
        )  # fmt: skip

    monkeypatch.setattr("miner.ledger.ledger_writer.connect", connect)
    rig.finished()
    assert rig.one().outcome == "accepted"
    connection = rig.ledger._writer._connection
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert rig.reports == []


def test_the_oldest_shares_are_deleted_by_size(start: Callable[..., LedgerRig]) -> None:
    bound = 256 << 10
    rig = start(max_bytes=bound)
    sizes = []
    for _ in range(40):
        rig.write(50)
        pages = sqlite_answer(rig.path, "PRAGMA page_count")
        sizes.append(pages * sqlite_answer(rig.path, "PRAGMA page_size"))
    assert max(sizes) <= bound
    assert max(sizes) > bound * 0.8
    numbers = [share.number for share in rig.shares()]
    assert numbers == list(range(2001 - len(numbers), 2001))
    assert len(numbers) > 300
    rig.ledger.close()
    assert rig.path.stat().st_size <= bound
    assert_sound(rig.path)


def test_a_smaller_bound_shrinks_the_file(start: Callable[..., LedgerRig]) -> None:
    rig = start()
    for _ in range(3000):
        rig.finished()
    rig.ledger.close()
    before = rig.path.stat().st_size
    bound = before // 4
    small = start(max_bytes=bound)
    small.finished()
    small.ledger.close()
    assert small.path.stat().st_size <= bound
    assert small.shares()[-1].run == small.ledger.run_id


def test_a_bound_just_below_the_size_of_the_file(start: Callable[..., LedgerRig]) -> None:
    rig = start()
    rig.write()
    pages = sqlite_answer(rig.path, "PRAGMA page_count")
    size = pages * sqlite_answer(rig.path, "PRAGMA page_size")
    small = start(max_bytes=size - 1)
    small.write()
    assert small.shares() == []


def test_old_shares_and_runs_are_deleted(start: Callable[..., LedgerRig]) -> None:
    old = start(max_days=10)
    old.finished()
    old.ledger.close()
    young = start(max_days=10, seconds=1000.0 + DAY)
    for day in range(1, 10):
        young.finished()
        assert len(young.shares()) == 1 + day
        young.clock.seconds += DAY
    young.finished()
    assert [share.run for share in young.shares()] == [young.ledger.run_id] * 10
    assert [run.id for run in LedgerReader(young.path).runs()] == [young.ledger.run_id]


def test_a_clock_that_jumps_ahead_deletes_at_most_one_day(rig: LedgerRig) -> None:
    for _ in range(91):
        rig.write()
        rig.clock.seconds += DAY
    before = len(rig.shares())
    jump = 50 * 365 * DAY
    rig.clock.seconds += jump
    for _ in range(3):
        rig.write()
    rig.clock.seconds += 3601 - jump
    rig.finished()
    assert len(rig.shares()) == before + 4 - 1


def test_shares_are_deleted_by_age_after_a_clock_was_set_back(
    start: Callable[..., LedgerRig],
) -> None:
    rig = start(max_days=1, seconds=1e9)
    rig.write()
    for day in range(3):
        rig.clock.seconds = 1000.0 + day * DAY
        rig.write()
    assert [share.number for share in rig.shares()] == [1, 4]


def test_two_miners_write_to_one_file(start: Callable[..., LedgerRig]) -> None:
    rigs = [start(), start()]

    async def write() -> None:
        with WorkPool("ledger", 2) as pool:
            async with asyncio.TaskGroup() as group:
                for rig in rigs:
                    group.create_task(many(rig, pool))

    async def many(rig: LedgerRig, pool: WorkPool) -> None:
        for _ in range(50):
            rig.finished()
            rig.refuted()
            await rig.ledger._write(pool)

    asyncio.run(write())
    shares = rigs[0].shares()
    assert len(shares) == 200
    for rig in rigs:
        mine = [share.number for share in shares if share.run == rig.ledger.run_id]
        assert mine == list(range(1, 101))
        assert rig.reports == []
    assert_sound(rigs[0].path)


def test_readers_and_writers_do_not_block_each_other(rig: LedgerRig) -> None:
    rig.write()
    reader = LedgerReader(rig.path)
    with reader._open() as reading:
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM shares").fetchone() == (1,)
        rig.write()
        assert rig.ledger.waiting == 0
        assert reading.execute("SELECT count(*) FROM shares").fetchone() == (1,)
    with closing(sqlite3.connect(rig.path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DELETE FROM shares")
        assert len(reader.shares()) == 2


def test_a_reader_cannot_write(rig: LedgerRig) -> None:
    rig.write()
    with LedgerReader(rig.path)._open() as reading, pytest.raises(sqlite3.OperationalError):
        reading.execute("DELETE FROM shares")


def test_a_closed_ledger_is_read_in_a_read_only_folder(
    rig: LedgerRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.finished()
    rig.ledger.close()
    real = sqlite3.connect
    opened = []

    def refuse(address: str, **options: object) -> sqlite3.Connection:
        opened.append(address)
        if "immutable" not in address:
            raise_on_use = real(":memory:")
            raise_on_use.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
            return raise_on_use
        return real(address, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr("miner.ledger.ledger_reader.sqlite3.connect", refuse)
    monkeypatch.setattr(
        "miner.ledger.ledger_reader.sqlite3.OperationalError", sqlite3.DatabaseError
    )
    assert len(LedgerReader(rig.path).shares(Filter())) == 1
    assert len(opened) == 2


@pytest.mark.parametrize("missing", ["no file", "a folder", "an empty file", "garbage"])
def test_a_missing_or_unreadable_ledger_raises_an_error(path: Path, missing: str) -> None:
    path.parent.mkdir()
    problem = "does not exist yet"
    if missing == "a folder":
        path.mkdir()
        problem = "is not a file; name the file"
    elif missing == "an empty file":
        path.touch()
        problem = "is still empty"
    elif missing == "garbage":
        path.write_bytes(b"\xff" * 5000)
        problem = "cannot be read: file is not a database"
    reader = LedgerReader(path)
    for read in (reader.shares, reader.sums, reader.runs, lambda: list(reader.each())):
        with pytest.raises(ConfigError) as caught:
            read()
        assert str(caught.value).startswith(f"share ledger {path} {problem}")


@pytest.mark.parametrize(
    "damage",
    ["found_at = 1e300", "found_at = 'x'", "answered_at = x'00'", "difficulty_asked = 'x'",
     "verified_at = -1e99"],
)  # fmt: skip
def test_a_row_with_an_impossible_number_is_left_out(rig: LedgerRig, damage: str) -> None:
    rig.write(2)
    change(rig.path, f"UPDATE shares SET {damage} WHERE number = 1")
    reader = LedgerReader(rig.path)
    assert [share.number for share in reader.shares()] == [2]
    assert [share.number for share in reader.each()] == [2]
    assert [share.number for share in reader.best(9)] == [2]
    assert [one.shares for one in reader.sums()] == [1]


def test_text_that_is_not_utf_8_is_shown_with_replacements(rig: LedgerRig) -> None:
    rig.write()
    change(rig.path, "UPDATE shares SET text = CAST(x'61ff62' AS TEXT)")
    assert rig.one().text == "a\ufffdb"


def test_a_host_name_that_is_not_utf_8(start: Callable[..., LedgerRig], path: Path) -> None:
    rig = start(rig="rig\udcff")
    rig.finished()
    assert rig.one().outcome == "accepted"
    assert [run.rig for run in LedgerReader(path).runs()] == ["rig?"]


def test_a_path_that_is_not_utf_8(tmp_path: Path) -> None:
    rig = LedgerRig(tmp_path / "\udcff #?%41" / "ledger.sqlite")
    rig.finished()
    assert rig.one().outcome == "accepted"
    rig.ledger.close()


@pytest.mark.parametrize("statement", ["DROP TABLE runs", "ALTER TABLE shares DROP COLUMN text"])
def test_a_ledger_without_its_tables_is_corrupt(
    start: Callable[..., LedgerRig], path: Path, statement: str
) -> None:
    before = start()
    before.finished()
    before.ledger.close()
    change(path, statement)
    rig = start()
    rig.finished()
    assert rig.one().run == rig.ledger.run_id
    assert f"{path} is corrupt; kept as" in rig.reports[0]

"""The file itself: damaged, foreign, of another version, bounded, shared."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from miner.engine.threads import WorkPool
from miner.errors import ConfigError
from miner.ledger import Filter, LedgerReader
from miner.ledger.schema import APPLICATION, COLUMNS, MIGRATIONS
from miner.ledger.share_record import ShareRecord
from tests.ledger.living import Life, asked, assert_sound

DAY = 86400.0
NEWER = (
    "was written by a newer version of this program (ledger version 99, known up to "
    f"{len(MIGRATIONS)}); use that version, or name another file"
)


def change(path: Path, *statements: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_fresh_file_is_marked_logged_ahead_and_its_owners_alone(life: Life) -> None:
    life.lived()
    life.ledger.flush()
    assert asked(life.path, "PRAGMA journal_mode") == "wal"
    assert asked(life.path, "PRAGMA auto_vacuum") == 2
    assert asked(life.path, "PRAGMA application_id") == APPLICATION
    assert asked(life.path, "PRAGMA user_version") == len(MIGRATIONS)
    assert life.path.stat().st_mode & 0o777 == 0o600
    assert_sound(life.path)


def test_columns_and_fields_are_the_same_names() -> None:
    assert tuple(ShareRecord.__dataclass_fields__) == ("id", *COLUMNS)


@pytest.mark.parametrize("damage", ["no database", "torn in the middle"])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begins(
    begin: Callable[..., Life], path: Path, damage: str
) -> None:
    for number in (1, 2):
        if damage == "no database":
            path.parent.mkdir(exist_ok=True)
            content = b"\0this is no database at all" * 100
        else:
            before = begin()
            for _ in range(200):
                before.lived()
            before.ledger.close()
            whole = path.read_bytes()
            content = whole[:4096] + b"\xff" * 20_000 + whole[24_096:]
        path.write_bytes(content)
        life = begin()
        life.lived()
        (share,) = life.shares()
        assert share.run == life.ledger.run_id
        aside = path.with_name(f"{path.name}.corrupt-{number}")
        assert aside.read_bytes() == content
        assert life.reports == [
            f"{path}: is damaged; it is kept as {aside.name}, and a new ledger begins"
        ]
        life.ledger.close()


def test_a_text_of_somebody_is_left_alone(begin: Callable[..., Life], path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    content = "my wallets \N{SNOWMAN}\n" * 1000
    path.write_text(content, encoding="utf-8")
    life = begin()
    life.lived()
    life.ledger.close()
    assert path.read_text(encoding="utf-8") == content
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert life.reports[0].startswith(
        f"{path}: is a text, no share ledger; name another file; shares wait in memory"
    )


def test_damage_during_a_run_costs_only_what_was_in_the_file(life: Life) -> None:
    unanswered = life.found()
    life.ledger.flush()
    life.ledger._store.close()
    life.path.write_bytes(b"\xff" * 8192)
    life.answered(unanswered)
    assert life.one().outcome == "accepted"
    assert len(life.reports) == 1


def test_damaged_files_do_not_pile_up(begin: Callable[..., Life], path: Path) -> None:
    for _ in range(12):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xff" * 4096)
        life = begin()
        life.lived()
        life.ledger.close()
    assert len(list(path.parent.glob("*.corrupt-*"))) == 9


def test_a_file_that_is_removed_during_a_run_begins_anew(life: Life) -> None:
    life.lived()
    life.ledger.flush()
    life.path.unlink()
    life.lived()
    assert [share.number for share in life.shares()] == [2]
    assert life.reports == []


@pytest.mark.parametrize(
    ("statements", "complaint"),
    [
        (
            [f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 99"],
            NEWER,
        ),
        (
            ["CREATE TABLE cookies(name)"],
            "is an SQLite file, but no share ledger; name another file",
        ),
    ],
)
def test_a_file_that_is_not_for_us_is_left_as_it_is(
    life: Life, statements: list[str], complaint: str
) -> None:
    change(life.path, *statements)
    content = life.path.read_bytes()
    life.lived()
    life.ledger.flush()
    life.ledger.flush()
    (report,) = life.reports
    assert report.startswith(f"{life.path}: {complaint}; shares wait in memory")
    assert life.path.read_bytes() == content
    with pytest.raises(ConfigError) as caught:
        LedgerReader(life.path).shares()
    assert str(caught.value) == f"{life.path}: {complaint}"
    life.path.unlink()
    assert life.one().outcome == "accepted"


UNUSABLE = {
    "a folder": "the share ledger cannot be written: Is a directory",
    "in no folder": "the share ledger cannot be written: Not a directory",
    "newer": NEWER,
    "a text": "is a text, no share ledger; name another file",
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_a_file_that_cannot_be_had_is_said_at_the_start(
    begin: Callable[..., Life], path: Path, kind: str
) -> None:
    if kind == "a folder":
        path.mkdir(parents=True)
    elif kind == "in no folder":
        path.parent.write_text("a file")
    elif kind == "newer":
        change(path, f"PRAGMA application_id = {APPLICATION}", "PRAGMA user_version = 99")
    else:
        path.parent.mkdir()
        path.write_text("my wallets\n")
    life = begin()
    life.ledger.open()
    (report,) = life.reports
    said = f"{path}: {UNUSABLE[kind]}"
    assert report == f"{said}; shares wait in memory, it is tried again, and mining goes on"
    with pytest.raises(ConfigError) as caught:
        life.ledger.open(needed=True)
    assert str(caught.value).startswith(said)
    assert str(caught.value).endswith("name another file")
    assert len(life.reports) == 1


def test_another_writer_keeps_no_run_from_beginning(life: Life) -> None:
    life.ledger.open(needed=True)
    life.ledger.close()
    with closing(sqlite3.connect(life.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        life.ledger.open(needed=True)
    assert "database is locked; shares wait in memory" in life.reports[0]
    life.lived()
    assert life.one().outcome == "accepted"
    assert life.reports[1].endswith("is written again")


def test_a_run_without_shares_leaves_no_row(life: Life) -> None:
    life.ledger.open()
    assert LedgerReader(life.path).runs() == []
    assert LedgerReader(life.path).shares() == []


def test_an_older_file_is_brought_up_to_date(
    begin: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin()
    old.lived()
    old.ledger.close()
    later = (*MIGRATIONS, ("ALTER TABLE shares ADD COLUMN mood TEXT DEFAULT 'calm'",))
    monkeypatch.setattr("miner.ledger.schema.MIGRATIONS", later)
    new = begin()
    new.lived()
    assert len(new.shares()) == 2
    assert asked(new.path, "SELECT group_concat(mood) FROM shares") == "calm,calm"
    assert asked(new.path, "PRAGMA user_version") == len(later)


OLD = ("accepted", "low difficulty", "stale, not sent", "too late to send", "lost in a disconnect",
       "hardware")  # fmt: skip


def test_the_outcomes_of_older_miners_are_said_as_today_whenever_they_wrote(life: Life) -> None:
    for _ in (*OLD, "a mood"):
        life.lived()
    life.ledger.flush()
    # Behind the back of a miner that has the file open, as another one writes to it.
    change(
        life.path,
        *(f"UPDATE shares SET outcome = '{word}' WHERE number = {number}"
          for number, word in enumerate((*OLD, "a mood"), 1)),
    )  # fmt: skip
    reader = LedgerReader(life.path)
    assert [share.outcome for share in life.shares()] == [
        "accepted", "low_difficulty", "not_sent", "not_sent", "lost", "hardware", "a mood",
    ]  # fmt: skip
    assert [share.number for share in reader.shares(Filter(outcome=("low_difficulty",)))] == [2]
    assert [share.number for share in reader.shares(Filter(outcome=("not_sent",)))] == [4, 3]
    assert {sum_.group[0]: sum_.shares for sum_ in reader.sums(by=["outcome"])} == {
        "accepted": 1, "low_difficulty": 1, "not_sent": 2, "lost": 1, "hardware": 1, "a mood": 1,
    }  # fmt: skip
    assert sum(sum_.answer_seconds is None for sum_ in reader.sums(by=["outcome"])) == 1


def test_a_failed_migration_leaves_the_old_file(
    begin: Callable[..., Life], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = begin()
    old.lived()
    old.ledger.close()
    later = (*MIGRATIONS, ("ALTER TABLE shares ADD COLUMN mood TEXT", "no SQL at all"))
    monkeypatch.setattr("miner.ledger.schema.MIGRATIONS", later)
    new = begin()
    new.lived()
    new.ledger.flush()
    assert "cannot be written" in new.reports[0]
    monkeypatch.undo()
    assert asked(new.path, "PRAGMA user_version") == len(MIGRATIONS)
    assert len(new.shares()) == 2


def test_where_no_log_can_be_kept_there_is_a_journal(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(path: Path) -> sqlite3.Connection:
        path.parent.mkdir(exist_ok=True)
        # Locks with a file of its own, and so cannot share memory: as some network file systems.
        return sqlite3.connect(
            f"file:{path}?vfs=unix-dotfile", uri=True, isolation_level=None, timeout=0.1,
            check_same_thread=False,
        )  # fmt: skip

    monkeypatch.setattr("miner.ledger.store.connect", connect)
    life.lived()
    assert life.one().outcome == "accepted"
    connection = life.ledger._store._connection
    assert connection is not None
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert life.reports == []


def test_the_file_stays_under_its_bound_and_the_oldest_go(begin: Callable[..., Life]) -> None:
    bound = 256 << 10
    life = begin(max_bytes=bound)
    sizes = []
    for _ in range(40):
        for _ in range(50):
            life.lived()
        life.ledger.flush()
        pages = asked(life.path, "PRAGMA page_count")
        sizes.append(pages * asked(life.path, "PRAGMA page_size"))
    assert max(sizes) <= bound
    assert max(sizes) > bound * 0.8
    numbers = [share.number for share in life.shares()]
    assert numbers == list(range(2001 - len(numbers), 2001))
    assert len(numbers) > 300
    life.ledger.close()
    assert life.path.stat().st_size <= bound
    assert_sound(life.path)


def test_a_smaller_bound_shrinks_the_file_itself(begin: Callable[..., Life]) -> None:
    life = begin()
    for _ in range(3000):
        life.lived()
    life.ledger.close()
    before = life.path.stat().st_size
    bound = before // 4
    small = begin(max_bytes=bound)
    small.lived()
    small.ledger.close()
    assert small.path.stat().st_size <= bound
    assert small.shares()[-1].run == small.ledger.run_id


def test_shares_and_runs_go_with_age(begin: Callable[..., Life]) -> None:
    old = begin(max_days=10)
    old.lived()
    old.ledger.close()
    young = begin(max_days=10, seconds=1000.0 + DAY)
    for day in range(1, 10):
        young.lived()
        assert len(young.shares()) == 1 + day
        young.clock.seconds += DAY
    young.lived()
    assert [share.run for share in young.shares()] == [young.ledger.run_id] * 10
    assert [run.id for run in LedgerReader(young.path).runs()] == [young.ledger.run_id]


def test_a_jump_of_the_clock_costs_at_most_the_oldest_day(life: Life) -> None:
    for _ in range(91):
        life.lived()
        life.ledger.flush()
        life.clock.seconds += DAY
    before = len(life.shares())
    jump = 50 * 365 * DAY
    life.clock.seconds += jump
    for _ in range(3):
        life.lived()
        life.ledger.flush()
    life.clock.seconds += 3601 - jump
    life.lived()
    assert len(life.shares()) == before + 4 - 1


def test_two_miners_share_one_file(begin: Callable[..., Life]) -> None:
    lives = [begin(), begin()]

    async def write() -> None:
        with WorkPool("ledger", 2) as pool:
            async with asyncio.TaskGroup() as group:
                for life in lives:
                    group.create_task(many(life, pool))

    async def many(life: Life, pool: WorkPool) -> None:
        for _ in range(50):
            life.lived()
            life.refuted()
            await life.ledger._write(pool.offload)

    asyncio.run(write())
    shares = lives[0].shares()
    assert len(shares) == 200
    for life in lives:
        mine = [share.number for share in shares if share.run == life.ledger.run_id]
        assert mine == list(range(1, 101))
        assert life.reports == []
    assert_sound(lives[0].path)


def test_a_reader_does_not_stop_a_writer_nor_a_writer_a_reader(life: Life) -> None:
    life.lived()
    life.ledger.flush()
    reader = LedgerReader(life.path)
    with reader._open() as reading:
        reading.execute("BEGIN")
        assert reading.execute("SELECT count(*) FROM shares").fetchone() == (1,)
        life.lived()
        life.ledger.flush()
        assert life.ledger.waiting == 0
        assert reading.execute("SELECT count(*) FROM shares").fetchone() == (1,)
    with closing(sqlite3.connect(life.path, isolation_level=None)) as writing:
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DELETE FROM shares")
        assert len(reader.shares()) == 2


def test_a_reader_changes_nothing(life: Life) -> None:
    life.lived()
    life.ledger.flush()
    with LedgerReader(life.path)._open() as reading, pytest.raises(sqlite3.OperationalError):
        reading.execute("DELETE FROM shares")


def test_a_closed_ledger_is_read_where_nothing_can_be_written(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    life.lived()
    life.ledger.close()
    real = sqlite3.connect
    asked_for = []

    def refuse(address: str, **options: object) -> sqlite3.Connection:
        asked_for.append(address)
        if "immutable" not in address:
            raise_on_use = real(":memory:")
            raise_on_use.set_authorizer(lambda *_: sqlite3.SQLITE_DENY)
            return raise_on_use
        return real(address, **options)  # type: ignore[call-overload, no-any-return]

    monkeypatch.setattr("miner.ledger.ledger_reader.sqlite3.connect", refuse)
    monkeypatch.setattr(
        "miner.ledger.ledger_reader.sqlite3.OperationalError", sqlite3.DatabaseError
    )
    assert len(LedgerReader(life.path).shares(Filter())) == 1
    assert len(asked_for) == 2


@pytest.mark.parametrize("missing", ["nothing", "a folder", "an empty file", "garbage"])
def test_what_is_no_ledger_is_a_sentence(path: Path, missing: str) -> None:
    path.parent.mkdir()
    words = "there is no share ledger yet"
    if missing == "a folder":
        path.mkdir()
    elif missing == "an empty file":
        path.touch()
        words = "the share ledger is still empty"
    elif missing == "garbage":
        path.write_bytes(b"\xff" * 5000)
        words = "the share ledger cannot be read: file is not a database"
    reader = LedgerReader(path)
    for ask in (reader.shares, reader.sums, reader.runs, lambda: list(reader.each())):
        with pytest.raises(ConfigError) as caught:
            ask()
        assert str(caught.value).startswith(f"{path}: {words}")

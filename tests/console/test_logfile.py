"""The log file."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from miner.console import LogFile, logfile
from miner.safe_text import Redactor
from miner.telemetry import Level
from tests.fakes.rig import Rig, busy_rig


class Logged:
    """A log file of a rig, with its complaints."""

    def __init__(self, path: Path, rig: Rig | None = None, **options: Any) -> None:
        self.rig = rig or Rig()
        self.path = path
        self.complaints: list[str] = []
        options = {
            "redactor": Redactor(), "format": "text", "max_bytes": 10**7, "kept_files": 5
        } | options  # fmt: skip
        self.log = LogFile(
            path, self.rig.telemetry, self.rig.journal, self.rig.clock, self.complaints.append,
            **options,
        )  # fmt: skip

    def say(self, text: str, level: Level = Level.INFO) -> None:
        self.rig.journal.add("pool", text, level)

    def fill(self, count: int) -> None:
        """Log so many long lines, and close the file."""
        for number in range(count):
            self.say(f"line {number} {'x' * 50}")
        self.log.close()

    @property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "miner.log"


def test_lines_have_date_and_level(path: Path) -> None:
    logged = Logged(path)
    logged.say("welcome")
    logged.say("lost it", Level.WARNING)
    logged.log.close(["2 shares accepted"])
    logged.say("after the end")
    day = logged.lines[0][:10]
    assert day in ("2027-01-14", "2027-01-15")
    texts = [line[20:] for line in logged.lines]
    assert texts == [
        "pool      welcome", "pool      WARNING lost it", "summary   2 shares accepted",
    ]  # fmt: skip
    assert logged.complaints == []


async def test_a_status_is_written_once_a_minute_and_the_first_one_is_full(path: Path) -> None:
    logged = Logged(path, await busy_rig())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(logged.log.keep())
        logged.say("busy")
        logged.say("busy")
        await logged.rig.clock.advance(135)
        task.cancel()
    logged.log.close()
    topics = [line.split()[2] for line in logged.lines]
    full = ["status", "pool", "cuda:0", "opencl:0.1"]
    assert topics == ["pool", "pool", *full, "status", "status"]
    assert logged.lines[1].endswith("busy (repeated once)")


async def test_json_format(path: Path) -> None:
    logged = Logged(path, await busy_rig(), format="json")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(logged.log.keep())
        logged.say("a\nb", Level.ERROR)
        await logged.rig.clock.advance(60)
        task.cancel()
    logged.log.close(["the end"])
    records = [json.loads(line) for line in logged.lines]
    assert [(r["topic"], r["level"]) for r in records] == [
        ("pool", "error"), ("status", "info"), ("summary", "info"),
    ]  # fmt: skip
    assert records[0]["text"] == "a b"
    assert len(records[1]["devices"]) == 2


def test_files_are_rotated_by_size_and_limited_in_number(path: Path) -> None:
    logged = Logged(path, max_bytes=1000, kept_files=2)
    logged.fill(100)
    files = sorted(p.name for p in path.parent.iterdir())
    assert files == ["miner.log", "miner.log.1", "miner.log.2"]
    text = "".join((path.parent / name).read_text() for name in reversed(files))
    numbers = [int(line.split()[4]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 100)), "a line is missing"
    assert all(p.stat().st_size <= 1000 for p in path.parent.iterdir())


def test_without_older_files_the_file_is_emptied(path: Path) -> None:
    logged = Logged(path, max_bytes=1000, kept_files=0)
    logged.fill(100)
    assert [p.name for p in path.parent.iterdir()] == ["miner.log"]
    assert path.stat().st_size <= 1000
    assert logged.lines[-1].split()[4] == "99"


def test_only_the_owner_may_read_the_files(path: Path) -> None:
    path.write_text("older\n")
    path.chmod(0o644)
    logged = Logged(path, max_bytes=200, kept_files=3)
    logged.fill(9)
    modes = {p.stat().st_mode & 0o777 for p in path.parent.iterdir()}
    assert modes == {0o600}


def test_the_level_can_be_changed(path: Path) -> None:
    logged = Logged(path)
    logged.log.set_level(Level.ERROR)
    logged.say("quiet", Level.WARNING)
    logged.log.set_level(Level.DEBUG)
    logged.say("chatty", Level.DEBUG)
    logged.log.close()
    assert [line.split()[-1] for line in logged.lines] == ["chatty"]


def test_a_file_that_was_moved_away_is_created_again(path: Path) -> None:
    logged = Logged(path)
    logged.say("before")
    path.rename(path.with_suffix(".old"))
    logged.say("still there")
    logged.log.reopen()
    logged.say("after")
    logged.log.close()
    assert [line.split()[-1] for line in logged.lines] == ["after"]
    assert path.with_suffix(".old").read_text().count("\n") == 2


@pytest.mark.parametrize("how", ["moved", "deleted", "replaced"])
async def test_a_file_that_disappears_without_a_signal_is_created_again(
    path: Path, how: str
) -> None:
    logged = Logged(path)
    logged.say("before")
    old = path.with_suffix(".old")
    path.unlink() if how == "deleted" else path.rename(old)
    if how == "replaced":
        path.write_text("by another program\n")
    await logged.rig.clock.advance(1)
    logged.say("after")
    logged.log.close()
    assert [line.split()[-1] for line in logged.lines] == [
        *["program"] * (how == "replaced"),
        "after",
    ]
    assert how == "deleted" or old.read_text().count("\n") == 1
    assert logged.complaints == []


async def test_the_path_is_checked_at_most_once_a_second(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Logged(path)
    checks: list[float] = []
    monkeypatch.setattr(
        logfile._Handler, "close_if_moved", lambda _: checks.append(logged.rig.clock.now())
    )
    begun = logged.rig.clock.now()
    for number in range(50):
        logged.say(f"line {number}")
        await logged.rig.clock.advance(0.25)
    logged.log.close()
    assert [second - begun for second in checks] == list(range(1, 13))


def test_a_fifo_without_a_reader_is_reported_and_never_waited_for(path: Path) -> None:
    os.mkfifo(path)
    logged = Logged(path)
    logged.say("hello")
    logged.log.close()
    assert len(logged.complaints) == 1
    assert "cannot be written" in logged.complaints[0]


def test_a_full_pipe_is_reported_and_never_waited_for(path: Path) -> None:
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    logged = Logged(path)
    for _ in range(2000):
        logged.say("x" * 100)
        logged.say("y" * 100)
    logged.log.close()
    os.close(reader)
    assert len(logged.complaints) == 1


@pytest.mark.parametrize("form", ["text", "json"])
async def test_lines_of_every_level_are_redacted(path: Path, form: str) -> None:
    secret, wallet = 'hunter"22', "stratum+tls://first.example:4444"
    redactor = Redactor([secret], [wallet])
    rig = await busy_rig()
    logged = Logged(path, rig, format=form, redactor=redactor)
    logged.log.set_level(Level.DEBUG)
    for level in Level:
        logged.say(f"{level} {secret} {wallet}", level)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(logged.log.keep())
        await rig.clock.advance(60)
        task.cancel()
    logged.log.close([secret])
    text = path.read_text()
    assert text.count("(hidden)") == 5
    assert "hunter" not in text
    assert "first.example" not in text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
async def test_a_full_disk_is_reported_once() -> None:
    logged = Logged(Path("/dev/full"))
    for number in range(5):
        logged.say(f"line {number}")
    (complaint,) = logged.complaints
    assert complaint == (
        "log file /dev/full cannot be written (No space left on device); mining continues "
        "without it; retrying every 10 s"
    )
    await logged.rig.clock.advance(10)
    logged.say("tried again")
    assert len(logged.complaints) == 1
    logged.log.close(["the end"])


async def test_a_disk_that_works_again_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "not-there-yet"
    logged = Logged(folder / "miner.log")
    logged.say("lost")
    assert "No such file or directory" in logged.complaints[0]
    folder.mkdir()
    logged.say("too early")
    assert not logged.path.exists()
    await logged.rig.clock.advance(10)
    logged.say("written")
    assert logged.complaints[1] == f"log file {logged.path} is written again"
    logged.log.close()
    assert len(logged.lines) == 1


@pytest.mark.parametrize("kept_files", [1, 3])
def test_a_file_that_cannot_be_renamed_is_emptied_and_reported_once(
    path: Path, kept_files: int
) -> None:
    path.with_name("miner.log.1").mkdir()
    (path.with_name("miner.log.1") / "in-the-way").touch()
    path.with_name(f"miner.log.{kept_files}").mkdir(exist_ok=True)
    logged = Logged(path, max_bytes=200, kept_files=kept_files)
    logged.fill(20)
    (complaint,) = logged.complaints
    assert complaint.startswith(f"log file {path} cannot be renamed (Is a directory), so it is em")
    assert path.stat().st_size <= 200
    assert logged.lines[-1].split()[4] == "19"


def test_a_link_stays_when_the_file_is_rotated(path: Path) -> None:
    data = path.parent / "data"
    data.mkdir()
    path.symlink_to(data / "today.log")
    logged = Logged(path, max_bytes=200, kept_files=1)
    logged.fill(5)
    assert path.is_symlink()
    assert sorted(p.name for p in path.parent.iterdir()) == ["data", "miner.log"]
    assert sorted(p.name for p in data.iterdir()) == ["today.log", "today.log.1"]
    assert logged.lines[-1].split()[4] == "4"


def test_the_file_of_the_standard_output_is_not_rotated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As with `-l /dev/stdout > miner.log`.
    path.touch()
    fstat = os.fstat
    monkeypatch.setattr(os, "fstat", lambda n: os.stat(path) if n == 1 else fstat(n))
    logged = Logged(path, max_bytes=200, kept_files=1)
    logged.fill(9)
    assert len(logged.lines) == 9
    assert [p.name for p in path.parent.iterdir()] == ["miner.log"]


def test_a_complaint_that_comes_back_as_a_line_causes_no_other(tmp_path: Path) -> None:
    rig = Rig()
    log = LogFile(
        tmp_path / "nowhere" / "miner.log", rig.telemetry, rig.journal, rig.clock,
        lambda sentence: rig.journal.add("log", sentence, Level.WARNING), Redactor(),
        "text", 10**7, 5,
    )  # fmt: skip
    rig.journal.add("pool", "welcome")
    log.close(["the end"])
    assert [entry.topic for entry in rig.journal.entries] == ["pool", "log"]


def test_close_releases_the_file(path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(5):
        logged = Logged(path)
        logged.say("x")
        logged.log.close()
    after = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert before == after

"""A miner in a terminal: closed, it ends in order; alive, SIGHUP has the settings read again."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import pytest

from miner.engine.shutdown_deadline import STOP_SECONDS
from tests.e2e.test_hang import SLACK
from tests.e2e.test_mining import ROOT, Program, port_of
from tests.e2e.test_reload import Rig, Start, a_pool, pool_arguments, rig, start

__all__ = ["rig", "start"]

if os.name == "nt":
    pytest.skip("Windows has neither pseudo terminals nor SIGHUP", allow_module_level=True)

IN_SESSION = """
import fcntl, os, sys, termios
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "miner", *sys.argv[2:]])
"""
"""Makes the terminal of a descriptor the controlling one of a new session, as a login does."""


class Seated:
    """A miner whose controlling terminal is ours to read and to close; `ours` are those of its
    three streams that are not terminals."""

    def __init__(self, *arguments: str, cache: Path, term: str = "xterm", ours: str = "") -> None:
        self.master, slave = os.openpty()
        self.text = ""
        environment = {**os.environ, "PROGPOW_MINER_CACHE": str(cache), "TERM": term}
        streams = {
            name: subprocess.DEVNULL if name in ours.split() else slave
            for name in ("stdin", "stdout", "stderr")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_SESSION, str(slave), *arguments],
            cwd=ROOT, env=environment, start_new_session=True, pass_fds=[slave], **streams,
        )  # fmt: skip
        os.close(slave)

    def until(self, pattern: str) -> None:
        """Read the screen until `pattern` stands on it."""
        while not re.search(pattern, self.text):
            try:
                new = os.read(self.master, 65536)
            except OSError:  # no process has the terminal open any more
                pytest.fail(f"never saw {pattern!r} in:\n{self.text}")
            self.text += new.decode(errors="replace")

    def shut(self) -> None:
        """Close the terminal, as its window's button does."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.shut()


@pytest.fixture
def seated() -> Iterator[list[Seated]]:
    started: list[Seated] = []
    yield started
    for one in started:
        one.close()


def slow_pool(start: Start, toy: str, folder: Path) -> tuple[Program, int]:
    """A pool that keeps its answers back from one second after the login on, for three seconds."""
    script = folder / "script.toml"
    script.write_text('[[fault]]\nafter = 1\ndo = "delay"\nseconds = 3\n')
    pool = start(
        *pool_arguments(
            toy, difficulty="0.00000012", block_difficulty="1000000", script=str(script)
        )
    )
    return pool, port_of(pool)


@pytest.mark.parametrize(
    ("term", "ours"), [("xterm", ""), ("dumb", "stdin"), ("dumb", "stdout stderr")]
)
def test_a_miner_whose_terminal_is_closed_ends_as_if_by_sigterm(
    start: Start, seated: list[Seated], rig: Rig, toy: str, tmp_path: Path, term: str, ours: str
) -> None:
    pool, port = slow_pool(start, toy, tmp_path)
    rig.write(port)
    rig.file.write_text(rig.file.read_text().replace('"plain"', '"auto"'))
    cache = Path(os.environ.get("PROGPOW_MINER_CACHE") or tmp_path / "cache")
    miner = Seated("mine", "-c", str(rig.file), cache=cache, term=term, ours=ours)
    seated.append(miner)
    pool.until(r"^fault .* delay")
    pool.until(r"^share .* accepted")  # the answer is on its way now
    miner.shut()
    begun = monotonic()
    assert miner.process.wait(60) == 0
    assert monotonic() - begun < STOP_SECONDS + SLACK
    assert pool.end(signal.SIGTERM) == 0
    log = rig.log.read_text()
    found = re.search(r"summary +(\d+) shares accepted, not accepted: none", log)
    assert found, log
    assert pool.text.count(" accepted ") == int(found[1])
    with closing(sqlite3.connect(tmp_path / "ledger.sqlite")) as ledger:
        kept = ledger.execute("select outcome, count(*) from shares group by outcome").fetchall()
    assert kept == [("accepted", int(found[1]))]
    assert "Traceback" not in log


def test_sighup_reloads_the_settings_while_the_terminal_is_open(
    start: Start, seated: list[Seated], rig: Rig, toy: str, tmp_path: Path
) -> None:
    pool, port = a_pool(start, toy)
    rig.write(port)
    cache = Path(os.environ.get("PROGPOW_MINER_CACHE") or tmp_path / "cache")
    miner = Seated("mine", "-c", str(rig.file), cache=cache)
    seated.append(miner)
    miner.until("share +accepted")
    rig.write(port, level="debug")
    miner.process.send_signal(signal.SIGHUP)
    miner.until("log.level is now debug")
    pool.until("share .*accepted", times=2)
    miner.process.send_signal(signal.SIGTERM)
    assert miner.process.wait(60) == 0

"""The live view in a pseudo-terminal: drawing, resizing, and the state that a run leaves."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, end: str, columns: int = 80, rows: int = 24, **environ: str) -> None:
        self.fd, slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.fd)
        unset = ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "COLORTERM", "TTY_COMPATIBLE")
        kept = {key: value for key, value in os.environ.items() if key not in unset}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.console.terminal_program", end],
            stdin=slave, stdout=slave, stderr=slave, cwd=CHECKOUT,
            env={**kept, "TERM": "xterm-256color", **environ},
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read_until(self, pattern: str) -> None:
        """Read until new text matches `pattern`."""
        begin = len(self.text)
        while not re.search(pattern, self.text[begin:]):
            assert select.select([self.fd], [], [], 60)[0], f"no {pattern!r} in {self.text!r}"
            self.text += os.read(self.fd, 1 << 16).decode()

    def read_to_the_end(self) -> int:
        """Read all output; return the exit status."""
        while select.select([self.fd], [], [], 60)[0]:
            try:
                self.text += os.read(self.fd, 1 << 16).decode()
            except OSError:  # Linux: the other end is closed
                break
        return self.process.wait(60)


@contextmanager
def terminal(end: str, columns: int = 80, rows: int = 24, **environ: str) -> Iterator[Terminal]:
    running = Terminal(end, columns, rows, **environ)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        os.close(running.fd)


def assert_terminal_is_unchanged(run: Terminal) -> None:
    assert termios.tcgetattr(run.fd) == run.before
    assert run.text.count("\x1b[?2026h") == run.text.count("\x1b[?2026l")
    assert set(re.findall(r"\x1b\[\?(\d+)", run.text)) == {"2026"}, "another mode was changed"


def test_a_run_that_succeeds() -> None:
    with terminal("well") as run:
        assert run.read_to_the_end() == 0
        assert_terminal_is_unchanged(run)
        assert "\x1b[33mno pool yet" in run.text
        assert run.text.index("welcome") < run.text.index("no pool yet")
        last = run.text[run.text.rindex("10 s") :]
        assert "summary    0 shares accepted" in re.sub(r"\x1b\[[0-9;]*m", "", last)


def test_a_run_that_fails() -> None:
    with terminal("exception") as run:
        assert run.read_to_the_end() == 1
        assert "the run fails" in run.text[run.text.rindex("10 s") :]
        assert_terminal_is_unchanged(run)


def test_a_killed_run_leaves_the_terminal_unchanged() -> None:
    with terminal("wait") as run:
        run.read_until("device")
        run.process.send_signal(signal.SIGKILL)
        assert run.read_to_the_end() == -signal.SIGKILL
        assert_terminal_is_unchanged(run)


def test_a_window_that_is_made_narrow() -> None:
    with terminal("wait", 120) as run:
        run.read_until("device")
        run.resize(40, 30)
        run.read_until(r"\x1b\[2J\x1b\[H")
        run.process.send_signal(signal.SIGTERM)
        assert run.read_to_the_end() == 0
        assert_terminal_is_unchanged(run)
        shown = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", run.text[run.text.index("\x1b[2J") :])
        assert "─" * 40 in shown
        assert "─" * 41 not in shown


def test_no_color_in_the_environment() -> None:
    with terminal("well", NO_COLOR="1") as run:
        assert run.read_to_the_end() == 0
        assert "no pool yet" in run.text
        assert not re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m", run.text)


def test_a_dumb_terminal_gets_plain_lines() -> None:
    with terminal("well", TERM="dumb") as run:
        assert run.read_to_the_end() == 0
        assert "\x1b" not in run.text
        assert re.match(r"\d\d:\d\d:\d\d pool      welcome\r\n", run.text)

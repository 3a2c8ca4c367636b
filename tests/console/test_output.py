"""A stream that fails, blocks or is closed does not stop the miner."""

from __future__ import annotations

import errno
import io
import os
import select
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import pytest

from miner.console.output import HELD, Output

CHECKOUT = Path(__file__).parents[2]


def pipe() -> tuple[int, TextIO]:
    reading, writing = os.pipe()
    return reading, open(writing, "w", encoding="utf-8")


def test_a_line_is_written_at_once() -> None:
    reading, stream = pipe()
    with stream:
        Output(stream).line("hello °")
        assert os.read(reading, 100) == "hello °\n".encode()
    os.close(reading)


def test_a_closed_pipe_is_ignored() -> None:
    reading, stream = pipe()
    output = Output(stream)
    os.close(reading)
    for _ in range(3):
        output.line("not read")
    stream.write("still in the buffer at close")
    stream.close()
    output.line("not read either")


def test_a_command_with_a_closed_pipe_prints_no_error() -> None:
    code = (
        "import sys\n"
        "from miner.console.output import Output\n"
        "output = Output(sys.stdout)\n"
        "for number in range(20000):\n"
        "    output.line(f'line {number}')\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "line 0\n"
        running.stdout.close()
        assert running.stderr.read() == ""
        assert running.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_loses_lines_but_stays_open() -> None:
    with suppress(OSError), open("/dev/full", "w", encoding="utf-8") as stream:
        output, device = Output(stream), os.fstat(stream.fileno()).st_rdev
        for size in (10, 9000, 10):
            output.line("x" * size)
        assert os.fstat(stream.fileno()).st_rdev == device, "the stream was replaced"


def test_a_disk_with_room_again_is_written() -> None:
    class Disk(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    disk = Disk()
    output = Output(disk)
    output.line("lost")
    disk.full = False
    output.line("written")
    assert disk.getvalue() == "written\n"


def test_a_closed_stream_is_ignored() -> None:
    stream = io.StringIO()
    output = Output(stream)
    stream.close()
    output.line("not read")
    assert output.ready


def test_lines_are_held_while_the_reader_does_not_read() -> None:
    reading, stream = pipe()
    with stream:
        output = Output(stream)
        lines = [f"{number:05} {'x' * 500}" for number in range(HELD + 500)]
        for line in lines:
            output.line(line)
        assert not output.ready
        seen = b""
        while len(seen.splitlines()) < HELD or select.select([reading], [], [], 0)[0]:
            seen += os.read(reading, 1 << 16)
            output.catch_up()
    os.close(reading)
    read = seen.decode().splitlines()
    lost = next(line for line in read if line.startswith("("))
    assert lost == f"({len(lines) - len(read) + 1} lines dropped: the output was not read)"
    assert read[-1] == lines[-1]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_outside_the_encoding_are_replaced_by_similar_ones(encoding: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, newline="\n")
    Output(stream).line("─ 91 °C …")
    shown = raw.getvalue().decode(encoding).strip()
    assert shown == {"utf-8": "─ 91 °C …"}.get(encoding, "- 91  C ...")

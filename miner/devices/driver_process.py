"""Driver calls in child processes: a driver that crashes, exits or hangs ends only its process."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import miner
from miner.errors import DriverDied
from miner.safe_text import printable

ANSWER_LIMIT = 1 << 20
"""Most bytes of an answer."""

OUTPUT_LIMIT = 1 << 12
"""Bytes of a driver's output that are kept, the last ones."""

SHOWN_CHARACTERS = 160
"""Most characters that are shown of a driver's last line."""

END_SECONDS = 2.0
"""Time for a process to end after its answer or a kill, and for its last output to arrive. One in
an uninterruptible system call does not end, and one that the driver started may keep the pipes
open; the miner waits for neither."""


async def ask_child(
    request: Sequence[object], seconds: float, environment: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON value that a new process answers to `request`, as `miner/devices/__main__.py`
    defines them. `environment` is added to the environment variables.

    Raises `DriverDied`, with the driver's last line, if no answer comes within `seconds`.
    """
    try:
        transport, child = await asyncio.get_running_loop().subprocess_exec(
            _Child,
            # -P: a folder "miner" in the working directory must not be imported.
            sys.executable, "-P", "-m", "miner.devices",
            env={**os.environ, "PYTHONPATH": _search_path(), **(environment or {})},
            start_new_session=True,  # signals that a driver sends to its group miss the miner
        )  # fmt: skip
    except OSError as error:
        raise DriverDied(f"no process can be started to try it: {error.strerror}") from error
    timed_out = False
    try:
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        stdin.write(pickle.dumps(request))
        stdin.close()
        async with asyncio.timeout(seconds):
            await child.ended.wait()
        await _within_end_seconds(child.read)
        if child.answered:
            await _within_end_seconds(child.exited)
    except TimeoutError:
        timed_out = True
    finally:
        await _end(transport, child)
    if child.answered:
        with suppress(ValueError, RecursionError):
            return json.loads(child.answer)
    how = _how_it_ended(transport.get_returncode(), seconds, timed_out)
    raise DriverDied(how + _last_line(child.output))


def _search_path() -> str:
    """Return a PYTHONPATH with which the child imports this package."""
    own = str(Path(miner.__file__).parents[1])
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))


class _Child(asyncio.SubprocessProtocol):
    """The output of a child process, and whether the process still runs."""

    # asyncio's own `Process.wait` also waits for the ends of the pipes, which a process that the
    # driver started may keep open.

    def __init__(self) -> None:
        self.answer, self.output = bytearray(), bytearray()
        self.exited = asyncio.Event()
        self.ended = asyncio.Event()
        """Set when the process has answered or exited."""
        self.read = asyncio.Event()
        """Set when the answer is complete, or there is nothing more to read."""

    @property
    def answered(self) -> bool:
        """Whether the answer is complete: a line."""
        return self.answer.endswith(b"\n")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        kept, limit = (self.answer, ANSWER_LIMIT) if fd == 1 else (self.output, OUTPUT_LIMIT)
        kept += data
        del kept[:-limit]
        if self.answered:
            self.ended.set()
            self.read.set()

    def process_exited(self) -> None:
        self.exited.set()
        self.ended.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.read.set()


async def _within_end_seconds(event: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(END_SECONDS):
            await event.wait()


async def _end(transport: asyncio.SubprocessTransport, child: _Child) -> None:
    if not child.exited.is_set():
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(transport.get_pid(), signal.SIGKILL)  # with what the driver started
            else:
                transport.kill()
        await _within_end_seconds(child.exited)
    transport.close()


def _how_it_ended(code: int | None, seconds: float, timed_out: bool) -> str:
    if timed_out or code is None:
        return f"its driver did not return within {seconds:g} s"
    if code < 0:
        return f"its driver crashed ({signal_name(-code)})"
    return f"its driver ended the process (exit code {code})"


def signal_name(number: int) -> str:
    """Return "SIGABRT" for 6, and "signal 99" for an unknown number."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(output: bytearray) -> str:
    """Return the last line that a driver wrote, as the end of a sentence."""
    lines = output.decode(errors="replace").splitlines()
    line = next(filter(None, (printable(line).strip() for line in reversed(lines))), "")
    line = line[-SHOWN_CHARACTERS:]
    return f'; its last line: "{line}"' if line else ""

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
"""Time for a killed process to end. One in an uninterruptible system call does not end; the miner
stops waiting for it."""


async def ask_child(
    request: Sequence[object], seconds: float, environment: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON value that a new process answers to `request`, as `miner/devices/__main__.py`
    defines them. `environment` is added to the environment variables.

    Raises `DriverDied`, with the driver's last line, if no answer comes within `seconds`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            # -P: a folder "miner" in the working directory must not be imported.
            sys.executable, "-P", "-m", "miner.devices",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _search_path(), **(environment or {})},
        )  # fmt: skip
    except OSError as error:
        raise DriverDied(f"no process can be started to try it: {error.strerror}") from error
    assert process.stdin is not None
    answer, output = _Tail(ANSWER_LIMIT), _Tail(OUTPUT_LIMIT)
    timed_out = False
    async with asyncio.TaskGroup() as group:
        reading = [
            group.create_task(answer.read(process.stdout)),
            group.create_task(output.read(process.stderr)),
        ]
        try:
            async with asyncio.timeout(seconds):
                with suppress(ConnectionError):  # it has ended already
                    process.stdin.write(pickle.dumps(request))
                    await process.stdin.drain()
                process.stdin.close()
                await process.wait()
        except TimeoutError:
            timed_out = True
        finally:
            await _end(process, reading)
    if not timed_out:
        with suppress(ValueError, RecursionError):
            return json.loads(answer.bytes)
    raise DriverDied(
        _how_it_ended(process.returncode, seconds, timed_out) + _last_line(output.bytes)
    )


def _search_path() -> str:
    """Return a PYTHONPATH with which the child imports this package."""
    own = str(Path(miner.__file__).parents[1])
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))


class _Tail:
    """The last `limit` bytes of a stream."""

    def __init__(self, limit: int) -> None:
        self.bytes = bytearray()
        self._limit = limit

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        """Read until the stream ends."""
        while stream is not None and (piece := await stream.read(1 << 16)):
            self.bytes += piece
            del self.bytes[: -self._limit]


async def _end(process: asyncio.subprocess.Process, reading: list[asyncio.Task[None]]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), END_SECONDS)
    # A process that the driver started may keep the pipes open.
    await asyncio.wait(reading, timeout=END_SECONDS)
    for task in reading:
        task.cancel()


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

"""Driver calls in child processes: a driver that crashes, exits or hangs ends only its child."""

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
"""Bytes of an answer."""

WORDS_LIMIT = 1 << 12
"""Bytes that are kept of the end of a driver's output."""

SHOWN_WORDS = 160
"""Characters that are shown of a driver's last line."""

END_SECONDS = 2.0
"""How long a killed process may take to end. One in an uninterruptible call of the kernel does not
end; it is left behind."""


async def ask_child(
    request: Sequence[object], seconds: float, environment: Mapping[str, str] | None = None
) -> Any:
    """Return the JSON value that a new process answers to `request`, a request of
    `miner/devices/__main__.py`. `environment` is added to the environment variables.

    Raises `DriverDied`, with the driver's last line, when no answer comes within `seconds`.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            # -P, since a folder "miner" in the working directory must not be imported.
            sys.executable, "-P", "-m", "miner.devices",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": _search_path(), **(environment or {})},
        )  # fmt: skip
    except OSError as error:
        raise DriverDied(f"no process can be started to try it: {error.strerror}") from error
    assert process.stdin is not None
    answer, words = _End(ANSWER_LIMIT), _End(WORDS_LIMIT)
    timed_out = False
    async with asyncio.TaskGroup() as group:
        reading = [
            group.create_task(answer.read(process.stdout)),
            group.create_task(words.read(process.stderr)),
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
        _how_it_ended(process.returncode, seconds, timed_out) + _last_line(words.bytes)
    )


def _search_path() -> str:
    """Return a PYTHONPATH with which the child imports this package."""
    own = str(Path(miner.__file__).parents[1])
    return os.pathsep.join(filter(None, [own, os.environ.get("PYTHONPATH")]))


class _End:
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


def _last_line(words: bytearray) -> str:
    """Return the last line that a driver wrote, as the end of a sentence."""
    lines = (printable(line).strip() for line in words.decode(errors="replace").splitlines()[::-1])
    line = next(filter(None, lines), "")[-SHOWN_WORDS:]
    return f'; its last line: "{line}"' if line else ""

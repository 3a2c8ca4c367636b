"""The program of test_terminal: a run that ends as its argument says."""

from __future__ import annotations

import asyncio
import signal
import sys
import warnings
from contextlib import suppress

from miner.clock import SystemClock
from miner.console import open_console, summary
from miner.safe_text import Redactor
from miner.telemetry import Journal, Telemetry
from tests.fakes.rig import ABOUT, ONE, ZERO


async def main(end: str) -> None:
    clock = SystemClock()
    telemetry, journal = Telemetry(clock, [ZERO, ONE], ABOUT), Journal(clock)
    view = open_console("auto", telemetry, journal, clock, sys.stdout, Redactor())
    journal.add("pool", "welcome")
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(view.keep())
            await asyncio.sleep(0)  # the view draws its first table
            if end == "exception":
                raise RuntimeError("the run fails")
            if end == "wait":
                await stopped.wait()
            task.cancel()
    view.close(summary(telemetry.snapshot()))


if __name__ == "__main__":
    warnings.simplefilter("error")
    asyncio.run(main(sys.argv[1]))

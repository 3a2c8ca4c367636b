"""Load test: 200 API requests per second against a mining miner, and their effect on launches."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from time import monotonic
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from mining import gaps, mining, settled  # noqa: E402

from tests.e2e.agreement import status  # noqa: E402

RATE = 200.0
"""Requests per second."""

PATHS = ("/api/v1/status", "/metrics", "/")
WARM_SECONDS = 8.0
HASHES = 150
"""Hashes per share."""


async def fire(http: int, seconds: float) -> None:
    """Request the API at a fixed rate after a line on standard input; print statistics as JSON."""
    statuses: Counter[int] = Counter()
    late: list[float] = []
    await asyncio.to_thread(sys.stdin.readline)
    begin = monotonic()

    async def ask(session: aiohttp.ClientSession, number: int) -> None:
        due = begin + number / RATE
        async with session.get(f"http://127.0.0.1:{http}{PATHS[number % len(PATHS)]}") as answer:
            await answer.read()
            statuses[answer.status] += 1
        late.append((monotonic() - due) * 1000)

    connector = aiohttp.TCPConnector(limit=32)
    async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as group:
        for number in range(round(seconds * RATE)):
            await asyncio.sleep(max(begin + number / RATE - monotonic(), 0.0))
            group.create_task(ask(session, number))
    took = monotonic() - begin
    cuts = statistics.quantiles(late, n=100)
    told = {
        "requests": len(late), "per_second": len(late) / took, "statuses": dict(statuses),
        "answer_ms": {"p50": cuts[49], "p99": cuts[98]},
    }  # fmt: skip
    print(json.dumps(told))


async def _fired(http: int, seconds: float) -> asyncio.subprocess.Process:
    """Start the load process; it waits for a line on its standard input."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(http),
        str(seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


async def load(seconds: float, rounds: int, folder: Path) -> dict[str, Any]:
    """Mine with one device; return the times between its launches, without and with load."""
    phases: list[dict[str, Any]] = []
    async with (
        mining(folder, HASHES, block=1e6) as miner,
        aiohttp.ClientSession() as session,
    ):
        for number in range(2 * rounds):
            loaded = bool(number % 2)
            process = await _fired(miner.ports.http, seconds) if loaded else None
            await asyncio.sleep(WARM_SECONDS)
            before, cpu, begin = await status(session, miner.ports), miner.cpu(), monotonic()
            fired = None
            if process is None:
                await asyncio.sleep(seconds)
            else:
                fired = json.loads((await process.communicate(b"\n"))[0])
            end, used = monotonic(), miner.cpu() - cpu
            after = await status(session, miner.ports)
            phases.append({
                "loaded": loaded, "begin": begin, "end": end,
                "cpu": used / (end - begin), "load": fired,
                "machine_load": os.getloadavg()[0],
                "found": after["found"] - before["found"],
                "answered": sum(after["shares"]["outcomes"].values())
                - sum(before["shares"]["outcomes"].values()),
                "accepted": after["shares"]["accepted"] - before["shares"]["accepted"],
            })  # fmt: skip
            print(f"  {'with' if loaded else 'without'} load: done", flush=True)
        await settled(session, miner)
        last = await status(session, miner.ports)
    record = json.loads((folder / "record.json").read_text())
    for phase in phases:
        begin, end = phase.pop("begin"), phase.pop("end")
        phase["gaps_ms"] = gaps(record["launched"], begin, end)
        # The first launch has no idle time before it.
        idle = zip(record["launched"][1:], record["idle"], strict=True)
        phase["idle_ms"] = sum(1000 * seconds for at, seconds in idle if begin <= at <= end)
        phase["launches_per_second"] = phase["gaps_ms"]["launches"] / (end - begin)
    medians = {
        word: statistics.median(p["gaps_ms"]["p99"] for p in phases if p["loaded"] is loaded)
        for word, loaded in (("without", False), ("with", True))
    }
    return {
        "seconds": seconds,
        "phases": phases,
        "p99_ms": medians,
        "difference_ms": medians["with"] - medians["without"],
        "shares": {"claimed": record["claimed"], "found": last["found"], **last["shares"]},
    }


def main() -> None:
    """Run the load alone, as a separate process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float)
    asked = parser.parse_args()
    asyncio.run(fire(asked.port, asked.seconds))


if __name__ == "__main__":
    main()

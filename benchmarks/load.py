"""Load tests of a mining miner's API: the effect on launches, on shares and on health checks.

Without arguments: 1,000 requests per second from 100 addresses, and the answer times of shares and
of health checks without and with them, side by side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from time import monotonic, time
from typing import Any

CHECKOUT = Path(__file__).parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]

import aiohttp  # noqa: E402
from mining import gaps, mining, settled  # noqa: E402

from miner.ledger import Filter, LedgerReader  # noqa: E402
from tests.e2e.agreement import status  # noqa: E402

RATE = 200.0
"""Requests per second."""

PATHS = ("/api/v1/status", "/metrics", "/")
CROWD = 100
"""Addresses of the crowd, each with one connection."""

CROWD_RATE = 1000.0
"""Requests per second of all of them."""

CROWD_PATHS = (
    "/api/v1/events?limit=500",
    "/metrics",
    "/api/v1/status",
    "/api/v1/shares?limit=1000",
)
SHARES_BOUND = 5.0
"""Most milliseconds by which the crowd may move the median answer time of shares."""

PROBES_BOUND = 100.0
"""Most milliseconds that 99 of 100 health checks may take beside the crowd."""

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
    found = {
        "requests": len(late), "per_second": len(late) / took, "statuses": dict(statuses),
        "answer_ms": {"p50": cuts[49], "p99": cuts[98]},
    }  # fmt: skip
    print(json.dumps(found))


class CrowdClient:
    """A client with one address; each of its connections has one request at a time."""

    def __init__(self, http: int, number: int, statuses: Counter[str]) -> None:
        self._http = http
        self._local = (f"127.0.{number // 10 + 1}.{number % 10 + 1}", 0)
        self._statuses = statuses
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def ask(self, path: str) -> None:
        """Request `path` on an idle connection, else on a new one; count the status."""
        writer = None
        try:
            if self._idle:
                reader, writer = self._idle.pop()
            else:
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", self._http, local_addr=self._local, limit=1 << 20
                )
            writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
            self._statuses[head.split()[1]] += 1
            if "connection: close" not in head:
                self._idle.append((reader, writer))
                return
        except (OSError, asyncio.IncompleteReadError):
            self._statuses["disconnected"] += 1
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """Close the idle connections."""
        for _, writer in self._idle:
            writer.close()


async def crowd(http: int, seconds: float) -> None:
    """Request the API from many loopback addresses at a fixed rate, even if answers are late;
    print statistics as JSON."""
    statuses: Counter[str] = Counter()
    clients = [CrowdClient(http, number, statuses) for number in range(CROWD)]
    await asyncio.to_thread(sys.stdin.readline)
    begin = monotonic()
    count, late = round(seconds * CROWD_RATE), 0.0
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            due = begin + number / CROWD_RATE
            late = max(late, monotonic() - due)
            await asyncio.sleep(max(due - monotonic(), 0.0))
            path = CROWD_PATHS[number // CROWD % len(CROWD_PATHS)]
            group.create_task(clients[number % CROWD].ask(path))
        spent = monotonic() - begin
    for client in clients:
        client.close()
    found = {"per_second": count / spent, "latest_request_s": late, "statuses": dict(statuses)}
    print(json.dumps(found))


async def _probed(http: int, seconds: float) -> list[float]:
    """Return the answer times in ms of health checks on new connections; infinite for a failed
    one."""
    times, end = [], monotonic() + seconds
    while (begin := monotonic()) < end:
        answer = b""
        with suppress(OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", http)
            writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            answer = await reader.read()
            writer.close()
        is_alive = answer.startswith(b"HTTP/1.1 200 ")
        times.append((monotonic() - begin) * 1000 if is_alive else float("inf"))
        await asyncio.sleep(0.2)
    return times


async def compare(seconds: float, rounds: int, folder: Path) -> bool:
    """Mine; print the answer times of shares and health checks without and with a crowd, and
    return whether they keep the bounds."""
    probes: dict[bool, list[float]] = {False: [], True: []}
    shares: dict[bool, list[float]] = {False: [], True: []}
    async with mining(folder, HASHES, block=1e6) as miner:
        for number in range(2 * rounds):
            loaded = bool(number % 2)
            process = await _fired(miner.ports.http, seconds, "--crowd") if loaded else None
            await asyncio.sleep(WARM_SECONDS)
            if process is not None and process.stdin is not None:
                process.stdin.write(b"\n")
            begin, cpu = time(), miner.cpu()
            probes[loaded] += await _probed(miner.ports.http, seconds)
            end, used = time(), miner.cpu() - cpu
            statistic = (await process.communicate())[0].decode().strip() if process else ""
            await asyncio.sleep(1.0)
            found = LedgerReader(folder / "ledger.sqlite").shares(Filter(since=begin, until=end))
            shares[loaded] += [1000 * s.answer_seconds for s in found if s.answer_seconds]
            word, cpus = "with" if loaded else "without", used / (end - begin)
            print(f"{word}: {cpus:.2f} CPUs {statistic}")
    medians, tails = {}, {}
    for what, times in (("shares", shares), ("/livez", probes)):
        for word, loaded in (("without", False), ("with", True)):
            median = medians[what, loaded] = statistics.median(times[loaded])
            tail = tails[what, loaded] = statistics.quantiles(times[loaded], n=100)[98]
            print(f"{what} {word}: median {median:.1f} ms, p99 {tail:.1f} ms")
    moved = medians["shares", True] - medians["shares", False]
    return moved <= SHARES_BOUND and tails["/livez", True] <= PROBES_BOUND


async def _fired(http: int, seconds: float, *flags: str) -> asyncio.subprocess.Process:
    """Start the load process; it waits for a line on its standard input."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(http),
        str(seconds),
        *flags,
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
    """Compare, or run a load alone as a separate process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int, nargs="?", help="of the API to load; none: compare")
    parser.add_argument("seconds", type=float, nargs="?", default=30.0, help="per phase")
    parser.add_argument("--rounds", type=int, default=2, help="of phases without and with load")
    parser.add_argument("--crowd", action="store_true", help="load from many addresses")
    asked = parser.parse_args()
    if asked.port is None:
        with tempfile.TemporaryDirectory(prefix="load-") as folder:
            good = asyncio.run(compare(asked.seconds, asked.rounds, Path(folder)))
        sys.exit(not good)
    else:
        asyncio.run((crowd if asked.crowd else fire)(asked.port, asked.seconds))


if __name__ == "__main__":
    main()
